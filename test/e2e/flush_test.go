//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// strace makes calls of a process slow, or fail, until it is told to end.
func strace(t *testing.T, p *process, args ...string) (end func()) {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	cmd := exec.Command(path, append([]string{"-f", "-p", strconv.Itoa(p.cmd.Process.Pid)}, args...)...)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.Contains(lines.Text(), "attached") {
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() {
		}
	}()
	return func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		<-drained
		_ = cmd.Wait() // interrupted
	}
}

// A disk that cannot flush any more ends what is acknowledged, and nothing else.
func TestNothingIsAcknowledgedThatIsNotFlushed(t *testing.T) {
	y, s := newYard(t), newSite(t, t.TempDir())
	c := s.start()
	agents := map[string]*process{}
	for _, node := range []string{"n1", "n2", "n3"} {
		agents[node] = s.quickly(y, nil, "--data.path="+t.TempDir(), "--node.name="+node)
	}
	for node := range agents {
		c.eventually(patience, fmt.Sprintf(`plimsoll_agent_ticks_total{node=%q} > 20`, node), some)
	}

	report := filepath.Join(t.TempDir(), "flushes")
	frames := c.sum("plimsoll_collector_ingest_frames_total")
	end := strace(t, c, "-y", "-e", "trace=fsync,fdatasync", "-o", report)
	if wait(patience, func() bool { return c.sum("plimsoll_collector_ingest_frames_total") > frames+100 }) < 0 {
		t.Error("no frames come")
	}
	end()
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	flushes := strings.Count(string(data), "/tsdb/wal/")
	frames = c.sum("plimsoll_collector_ingest_frames_total") - frames
	t.Logf("%v frames of three agents in %d flushes of the log", frames, flushes)
	if flushes == 0 || float64(flushes) > frames {
		t.Errorf("%d flushes of the log for %v frames", flushes, frames)
	}

	end = strace(t, c, "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-o", "/dev/null")
	c.becomes(patience, false)
	acked := func(a *process) (n float64) {
		if wait(time.Minute, func() bool {
			v := a.owns("plimsoll_agent_ticks_total", "plimsoll_agent_unacknowledged_batches")
			if v != nil {
				n = v[0] - v[1]
			}
			return v != nil
		}) < 0 {
			t.Fatal("an agent does not answer")
		}
		return n
	}
	before := map[string]float64{}
	for node, a := range agents {
		before[node] = acked(a)
	}
	for node, a := range agents {
		waiting := a.own("plimsoll_agent_unacknowledged_batches")
		if wait(time.Minute, func() bool { return a.own("plimsoll_agent_unacknowledged_batches") > waiting+50 }) < 0 {
			t.Errorf("%s: what cannot be flushed is acknowledged", node)
		}
		if n := acked(a) - before[node]; n > 2 { // ticks may go on while the agent adds up
			t.Errorf("%s: %v frames were acknowledged meanwhile", node, n)
		}
	}
	c.eventually(patience, `count_over_time(plimsoll_agent_ticks_total{node="n1"}[5m]) > 2`, some)
	_, err = c.read("/-/ready")
	t.Log(err)
	end()
	t.Logf("ready %v after the disk was well", c.becomes(time.Minute, true).Round(100*time.Millisecond))
	for node, a := range agents {
		c.complete(node, a)
	}
	c.kill()
	c = s.start()
	for node, a := range agents {
		t.Logf("%s: %d frames, each stored once", node, c.complete(node, a))
	}
}
