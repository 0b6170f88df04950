package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// diskLive is a source on this machine, at ticks as fast as its walks.
type diskLive struct {
	t      *testing.T
	source *diskSource
	tick   uint64
	told   map[string]string
}

func newDiskLive(t *testing.T, opts DiskOptions, ids ...string) *diskLive {
	t.Helper()
	var list []discover.Container
	for _, id := range ids {
		list = append(list, discover.Container{Cgroup: "/docker/" + id, ID: id, Runtime: "docker", Known: true, Name: id})
	}
	opts.Containers = func() (uint64, []discover.Container) { return 1, list }
	s, err := DiskSource(opts)
	if err != nil {
		t.Fatal(err)
	}
	l := &diskLive{t: t, source: s.(*diskSource), told: make(map[string]string)}
	t.Cleanup(func() { l.source.Close() })
	return l
}

// until ticks until done.
func (l *diskLive) until(what string, done func() bool) {
	l.t.Helper()
	limit := time.After(time.Minute)
	for !done() {
		var b sample.Batch
		b.Reset(l.tick, time.Now())
		l.tick++
		if err := l.source.Collect(l.t.Context(), &b); err != nil {
			l.t.Fatal(err)
		}
		for series, v := range values(&b) {
			l.told[series] = v
		}
		select {
		case <-limit:
			l.t.Fatalf("%s: not within a minute, told %v", what, l.told)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (l *diskLive) usage(id string) int {
	n, err := strconv.Atoi(diskSeriesOf(l.told, id)["container_fs_usage_bytes"])
	if err != nil {
		return 0
	}
	return n
}

func (l *diskLive) walks(result diskResult) func() bool {
	return func() bool { return l.source.results[result] > 0 }
}

// noPressure lets walks begin whatever else this machine does.
const noPressure = 1000

// duOf is what du says of a directory of one of the engine's containers, and how
// large its file system is.
func duOf(t *testing.T, dir string) (usage, inodes, limit int) {
	t.Helper()
	number := func(command string, args ...string) int {
		out, err := exec.Command(command, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(string(out))
		n, err := strconv.Atoi(words[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	space, err := node.Statfs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return number("du", "--summarize", "--block-size=1", dir), number("du", "--summarize", "--inodes", dir), int(space.SizeBytes)
}

func TestTheUsageOfARealContainerIsWhatDuSaysOfItsUpperDirectory(t *testing.T) {
	e := engine.Start(t)
	volume := t.TempDir()
	// What is outside must not count: the volume, and what links lead to.
	id := e.Docker("run", "-d", "-v", volume+":/volume", engine.Image, "sh", "-c", `
		dd if=/dev/zero of=/volume/large bs=1M count=64 2>/dev/null
		ln -s / /tmp/root; ln -s /proc/1/root /tmp/init; ln -s loop /tmp/loop
		dd if=/dev/zero of=/tmp/file bs=1M count=32 conv=fsync 2>/dev/null && ln /tmp/file /tmp/again
		touch /tmp/ready; sleep 1000`)
	idle := e.Docker("run", "-d", engine.Image, "sleep", "1000")
	upper := e.Docker("inspect", "--format", "{{.GraphDriver.Name}} {{.GraphDriver.Data.UpperDir}}", id)
	driver, upper, _ := strings.Cut(upper, " ")
	if driver != "overlay2" {
		t.Skipf("the engine's storage driver is %s", driver)
	}

	l := newDiskLive(t, DiskOptions{Lanes: Lanes{Fourth: 1}, MaxIOPressure: noPressure}, id, idle)
	l.until("the file", func() bool {
		_, err := os.Stat(filepath.Join(upper, "tmp/ready"))
		return err == nil
	})
	usage, inodes, limit := duOf(t, upper)
	before := l.source.results[diskDone]
	l.until("two more walks of each", func() bool { return l.source.results[diskDone] >= before+6 })

	const block = 4096
	if got := l.usage(id); got < usage-block || got > usage+block {
		t.Errorf("%d bytes, du says %d", got, usage)
	}
	if got := l.usage(id); got < 32<<20 || got > 33<<20 {
		t.Errorf("%d bytes for 32 MiB and a few links", got)
	}
	if got := l.usage(idle); got == 0 || got > 1<<20 {
		t.Errorf("%d bytes for one that wrote nothing", got)
	}
	got := diskSeriesOf(l.told, id)
	if got["container_fs_limit_bytes"] != strconv.Itoa(limit) || got["plimsoll_container_fs_inodes_used"] != strconv.Itoa(inodes) {
		t.Errorf("got %v, want a limit of %d and %d inodes", got, limit, inodes)
	}
	for series := range l.told {
		if strings.HasPrefix(series, "container_fs_usage_bytes") && !strings.Contains(series, `device="`) {
			t.Errorf("%s: no device", series)
		}
	}

	e.Docker("exec", id, "rm", "/tmp/file", "/tmp/again")
	l.until("that the file is gone", func() bool { return l.usage(id) > 0 && l.usage(id) < 1<<20 })
}

func TestWithoutTheNodesTreeAWalkFailsAndSaysWhatToSee(t *testing.T) {
	e := engine.Start(t)
	id := e.Docker("run", "-d", engine.Image, "sleep", "1000")
	l := newDiskLive(t, DiskOptions{Lanes: Lanes{Fourth: 1}, MaxIOPressure: noPressure, Roots: node.Roots{Root: t.TempDir()}}, id)
	var b sample.Batch
	var err error
	limit := time.After(time.Minute)
	for err == nil {
		b.Reset(l.tick, time.Now())
		l.tick++
		err = l.source.Collect(t.Context(), &b)
		select {
		case <-limit:
			t.Fatal("no error")
		case <-time.After(20 * time.Millisecond):
		}
	}
	if !strings.Contains(err.Error(), "--path.rootfs") || l.source.results[diskFailed] == 0 {
		t.Errorf("it says %v", err)
	}
}

// TestAContainerCannotPassOffADirectoryOfTheNodeAsItsLayer has one mount an overlay
// of its own, whose upper directory has the name of one that the node has too.
func TestAContainerCannotPassOffADirectoryOfTheNodeAsItsLayer(t *testing.T) {
	e := engine.Start(t)
	id := e.Docker("run", "-d", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", engine.Image, "sh", "-c", `
		mkdir -p /var /new && mount -t tmpfs none /var && mkdir /var/lib /var/work &&
		mount -t overlay none -o lowerdir=/bin,upperdir=/var/lib,workdir=/var/work /new &&
		mkdir /new/bin && cp /bin/busybox /new/bin/ && exec chroot /new /bin/busybox sleep 1000`)
	pid := e.Docker("inspect", "--format", "{{.State.Pid}}", id)
	l := newDiskLive(t, DiskOptions{Lanes: Lanes{Fourth: 1}, MaxIOPressure: noPressure}, id)
	lies := func() bool {
		mounts, err := os.ReadFile("/proc/" + pid + "/mountinfo")
		return err == nil && strings.Contains(string(mounts), " / / ") && strings.Contains(string(mounts), "upperdir=/var/lib,")
	}
	limit := time.After(time.Minute)
	for !lies() {
		select {
		case <-limit:
			t.Fatal("the container is not as it should be: " + e.Docker("logs", id))
		case <-time.After(20 * time.Millisecond):
		}
	}
	l.until("that it has no layer", l.walks(diskUnsupported))
	if got := diskSeriesOf(l.told, id); len(got) != 0 || l.source.results[diskDone] > 0 {
		t.Errorf("told %v", got)
	}
}

func TestOnThisMachineAContainerIsGoneOrWaitsOrHasNoLayer(t *testing.T) {
	if os.Getuid() != 0 && os.Getenv("CI") != "true" {
		t.Skip("only root sees all processes")
	}
	tests := map[string]struct {
		pressure float64
		cgroup   string
		want     diskResult
	}{
		"while others need the disk":       {pressure: -1, want: diskSkipped},
		"a group that is not there":        {pressure: noPressure, cgroup: "/docker/none", want: diskGone},
		"processes in the node's own root": {pressure: noPressure, cgroup: "/", want: diskUnsupported},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := newDiskLive(t, DiskOptions{Lanes: Lanes{Fourth: 1}, MaxIOPressure: tt.pressure}, "x")
			_, list := l.source.opts.Containers()
			list[0].Cgroup = tt.cgroup
			l.until(tt.want.String(), l.walks(tt.want))
		})
	}
}
