//go:build e2e

package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// outageFor is how long the collector is away. Agents read ten times a second, so
// that a minute has the batches of ten. The ten minutes themselves, for a person
// who wants to see them, are PLIMSOLL_OUTAGE=10m.
func outageFor(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(cmp.Or(os.Getenv("PLIMSOLL_OUTAGE"), "60s"))
	if err != nil {
		t.Fatalf("PLIMSOLL_OUTAGE: %v", err)
	}
	return d
}

// Four agents live through one outage of the collector: one is left in peace,
// one is killed, one has a small bound, and one's disk fills up.
func TestAnOutageLeavesNoHoleAndNoBoundIsPassed(t *testing.T) {
	const read = 100 * time.Millisecond
	outage := outageFor(t)
	frames := float64(outage / read)
	y := newYard(t) // or what others run would be read ten times a second, four times
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "c1", "--cgroup-parent=/"+y.name, engine.Image, "sh", "-c", "while :; do sleep 0.1; done")
	c, restart, _ := apart(t, e)
	agent := func(node, spool string, args ...string) *process {
		return y.alone(nil, append([]string{
			"--node.name=" + node, "--data.path=" + spool, "--collector.address=" + c.grpc, "--docker.host=" + e.Host(),
			"--interval=" + read.String(), "--no-gpu", "--no-disk",
		}, args...)...)
	}
	const bound = 1 << 20 // 1 MiB in 256 KiB segments
	killedSpool, boundSpool, disk := t.TempDir(), t.TempDir(), tmpfs(t, "size=8m")
	steady := agent("steady", t.TempDir())
	killed := agent("killed", killedSpool)
	bounded := agent("bounded", boundSpool, "--spool.max-size=1MiB")
	crowded := agent("crowded", disk, "--spool.max-size=4MiB")
	for _, node := range []string{"steady", "killed", "bounded", "crowded"} {
		c.eventually(2*time.Minute, `count_over_time(`+cpuOf(node)+`[1m]) > 20`, some)
	}
	began := time.Now()
	c.kill()

	held := func(p *process, n float64) {
		t.Helper()
		if wait(4*outage, func() bool { return p.own("plimsoll_agent_unacknowledged_batches") >= n }) < 0 {
			t.Fatalf("%v batches wait, want %v", p.own("plimsoll_agent_unacknowledged_batches"), n)
		}
	}
	held(killed, frames/3)
	ticks := killed.own("plimsoll_agent_ticks_total")
	died := seconds(time.Now())
	killed.kill()
	killed = agent("killed", killedSpool)

	fill(t, filepath.Join(disk, "ballast"))
	if wait(time.Minute, func() bool { return crowded.own("plimsoll_agent_spool_dropped_batches_total") > 0 }) < 0 {
		t.Error("a full disk makes the spool drop nothing")
	}
	if !strings.Contains(crowded.logged(), "disk is full and the spool drops") {
		t.Error("the log does not say that the disk is full")
	}

	largest := 0.0
	if wait(4*outage, func() bool {
		largest = max(largest, size(t, filepath.Join(boundSpool, "spool")))
		return steady.own("plimsoll_agent_unacknowledged_batches") >= frames
	}) < 0 {
		t.Fatalf("only %v batches in %v", steady.own("plimsoll_agent_unacknowledged_batches"), 4*outage)
	}
	away := time.Since(began)
	if dropped := bounded.own("plimsoll_agent_spool_dropped_batches_total"); dropped == 0 {
		t.Error("the bound of a spool was not reached, so that nothing is known of it")
	}
	// What is over the bound is known when a batch has been written.
	if largest > bound*1.1 {
		t.Errorf("a spool of %.0f bytes, bound to %d", largest, bound)
	}
	crowdedDropped := crowded.own("plimsoll_agent_spool_dropped_batches_total")
	crowdedTicks := crowded.own("plimsoll_agent_ticks_total")
	if wait(patience, func() bool { return crowded.own("plimsoll_agent_ticks_total") > crowdedTicks }) < 0 {
		t.Error("the agent whose disk is full does not sample any more")
	}

	c = restart()
	for _, p := range []*process{steady, killed, bounded, crowded} {
		if wait(2*time.Minute, func() bool { return p.own("plimsoll_agent_unacknowledged_batches") < 30 }) < 0 {
			t.Fatalf("%v batches still wait", p.own("plimsoll_agent_unacknowledged_batches"))
		}
	}
	t.Logf("the collector was away for %v; the largest spool of 1 MiB had %.0f bytes; on the full disk %v batches were dropped",
		away.Round(time.Second), largest, crowdedDropped)

	for node, whole := range map[string]bool{"steady": true, "killed": true, "bounded": false, "crowded": false} {
		holes, stored := c.holes(node)
		t.Logf("%s: %d samples, missing %v", node, stored, holes)
		if whole && len(holes) > 0 || float64(stored) < frames && whole {
			t.Errorf("%s: %d samples, missing %v", node, stored, holes)
		}
		// The oldest go first, so that what is missing is in one piece.
		if !whole && len(holes) > 1 {
			t.Errorf("%s: samples are missing in %d places: %v", node, len(holes), holes)
		}
		c.inOrder(node)
	}
	last := point{}
	for _, p := range c.points(`plimsoll_agent_ticks_total{node="killed"}`, "1h") {
		if p.at <= died {
			last = p
		}
	}
	t.Logf("of %v ticks before the kill the last that is stored is %v, %.3f s before it", ticks, last.value, died-last.at)
	if ticks-last.value > 10 { // a second of them
		t.Errorf("the last %v ticks before the kill are lost", ticks-last.value)
	}
	if n := c.sum("plimsoll_collector_ingest_refused_samples_total"); n != 0 {
		t.Errorf("%v samples were refused", n)
	}
}

func cpuOf(node string) string {
	return fmt.Sprintf(`container_cpu_usage_seconds_total{name="c1",node=%q}`, node)
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

type point struct{ at, value float64 }

// points are the samples of a series in the window before now, as the store has
// them.
func (p *process) points(series, window string) []point {
	p.t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Values [][2]any
			}
		}
	}
	if err := p.get("/api/v1/query?query="+escape(series+"["+window+"]"), &answer); err != nil {
		p.t.Fatal(err)
	}
	if len(answer.Data.Result) != 1 {
		p.t.Fatalf("%s: %d series, want 1", series, len(answer.Data.Result))
	}
	var list []point
	for _, v := range answer.Data.Result[0].Values {
		f, err := strconv.ParseFloat(v[1].(string), 64)
		if err != nil {
			p.t.Fatal(err)
		}
		list = append(list, point{v[0].(float64), f})
	}
	return list
}

// holes compares what a node's agent has read, by its own count of ticks, with
// what is stored of a series that is read at each: of each stretch in which
// samples are missing, how many. However late the ticks of a busy machine are,
// it is exact.
func (p *process) holes(node string) (missing []int, stored int) {
	p.t.Helper()
	// In this order: what comes meanwhile must not look like a hole.
	ticks := p.points(fmt.Sprintf(`plimsoll_agent_ticks_total{node=%q}`, node), "1h")
	samples := p.points(cpuOf(node), "1h")
	within := func(from, to float64) (n int) {
		for _, s := range samples {
			if s.at > from && s.at <= to {
				n++
			}
		}
		return n
	}
	for i := 1; i < len(ticks); i++ {
		a, b := ticks[i-1], ticks[i]
		if b.value <= a.value || a.at < samples[0].at {
			continue // another process, or before the container was there
		}
		if n := int(b.value-a.value) - within(a.at, b.at); n != 0 {
			missing = append(missing, n)
			var at []float64
			for _, s := range samples {
				if s.at > a.at-1 && s.at <= b.at+1 {
					at = append(at, s.at)
				}
			}
			p.t.Logf("%s: %v samples between tick %v at %.3f and tick %v at %.3f: %.3f", node, within(a.at, b.at), a.value, a.at, b.value, b.at, at)
		}
	}
	return missing, len(samples)
}

// inOrder checks that a counter only grows: samples that changed places would
// not.
func (p *process) inOrder(node string) {
	p.t.Helper()
	before := point{}
	for _, s := range p.points(cpuOf(node), "1h") {
		if s.value < before.value || s.at <= before.at {
			p.t.Errorf("%s: %v follows %v", node, s, before)
		}
		before = s
	}
}

// tmpfs mounts a file system of its own for the test.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("plimsoll-e2e", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes to a file until the disk is full.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// size is that of all files in a directory, in bytes.
func size(t *testing.T, dir string) (total float64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // it may go meanwhile
			total += float64(info.Size())
		}
	}
	return total
}
