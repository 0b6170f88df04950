package engine_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnEngineRunsContainersAndLeavesNothingBehind(t *testing.T) {
	var dir, cgroup string
	t.Run("while it runs", func(t *testing.T) {
		e := engine.Start(t)
		dir = filepath.Dir(strings.TrimPrefix(e.Host(), "unix://"))

		if got := e.Docker("run", "--rm", engine.Image, "echo", "aye"); got != "aye" {
			t.Errorf("container said %q, want aye", got)
		}
		id := e.Docker("run", "-d", engine.Image, "sleep", "1000")
		found, err := filepath.Glob("/sys/fs/cgroup/*/docker/" + id)
		if err != nil || len(found) == 0 {
			t.Fatalf("cgroups of %s: %v, error %v", id, found, err)
		}
		cgroup = found[0]
	})
	if dir == "" {
		t.Skip("no engine")
	}
	for _, path := range []string{dir, cgroup} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there (error %v)", path, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("mounts are left below %s (error %v)", dir, err)
	}
}

func TestContainersOutliveAKilledEngineUnderLiveRestore(t *testing.T) {
	e := engine.Start(t, engine.LiveRestore())
	e.Docker("run", "-d", "--name", "survivor", engine.Image, "sleep", "1000")
	pid := e.Docker("inspect", "-f", "{{.State.Pid}}", "survivor")

	e.Kill()
	if _, err := os.Stat("/proc/" + pid); err != nil {
		t.Fatalf("the container died with its engine: %v", err)
	}
	e.Start()
	if got := e.Docker("inspect", "-f", "{{.State.Pid}}", "survivor"); got != pid {
		t.Errorf("pid %s after the restart, want %s", got, pid)
	}
}

func TestWhatAKilledEngineLeavesIsCleanedUp(t *testing.T) {
	var pid, id string
	t.Run("killed", func(t *testing.T) {
		e := engine.Start(t)
		id = e.Docker("run", "-d", "--name", "orphan", engine.Image, "sleep", "1000")
		pid = e.Docker("inspect", "-f", "{{.State.Pid}}", "orphan")
		e.Kill()
	})
	if pid == "" {
		t.Skip("no engine")
	}
	// A zombie that init has not reaped yet has no command line.
	if command, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && len(command) > 0 {
		t.Errorf("container process %s is still there: %q", pid, command)
	}
	if left, err := filepath.Glob("/sys/fs/cgroup/*/docker/" + id); err != nil || len(left) > 0 {
		t.Errorf("cgroups %v are still there (error %v)", left, err)
	}
}

func TestAFrozenEngineGoesOnAfterAThaw(t *testing.T) {
	e := engine.Start(t)
	e.Freeze()
	if stat, err := os.ReadFile("/proc/" + strconv.Itoa(e.Pid()) + "/stat"); err != nil || !strings.Contains(string(stat), ") T ") {
		t.Errorf("dockerd is not stopped: %s (error %v)", stat, err)
	}
	e.Thaw()
	e.Docker("version")
}

// Two swarms at once, each scaled, is what packages tested side by side need.
func TestASwarmOfOneNodeScalesItsService(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "other"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := engine.Start(t)
			e.Swarm()
			e.Service("web", []string{"--replicas", "1", "--limit-cpu", "0.2"}, "sleep", "1000")
			running(t, e, "1/1")
			e.Docker("service", "scale", "--detach", "web=3")
			running(t, e, "3/3")
		})
	}
}

// running waits until the service has the replicas it should.
func running(t *testing.T, e *engine.Engine, want string) {
	t.Helper()
	var got string
	limit := time.After(30 * time.Second)
	for got != want {
		got = e.Docker("service", "ls", "--format", "{{.Replicas}}")
		select {
		case <-limit:
			t.Fatalf("replicas %s, want %s", got, want)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
