package agent

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// everyLane reads all files at each tick.
var everyLane = Lanes{First: 1, Second: 1, Third: 1}

func nodeOf(t testing.TB, root string, lanes Lanes) *nodeSource {
	t.Helper()
	s := newNodeSource(NodeOptions{
		Roots: node.Roots{Proc: filepath.Join(root, "proc"), Sys: filepath.Join(root, "sys")},
		Lanes: lanes,
	}, func(u *node.Uname) error {
		*u = node.Uname{Sysname: "Linux", Release: "6.18.44", Version: "#1 SMP", Machine: "x86_64", Nodename: "ship", Domainname: "(none)"}
		return nil
	})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// read collects one tick and returns its batch.
func read(t *testing.T, s Source, tick uint64) *sample.Batch {
	t.Helper()
	var b sample.Batch
	b.Reset(tick, noon.Add(time.Duration(tick)*time.Second))
	if err := s.Collect(t.Context(), &b); err != nil {
		t.Error(err)
	}
	return &b
}

func TestGoldenNode(t *testing.T) {
	b := read(t, nodeOf(t, "node/testdata/kernel-6.18", everyLane), 0)
	golden(t, "golden_node.prom", exposition(b))
}

func TestGoldenNodeOfAnOldKernel(t *testing.T) {
	b := read(t, nodeOf(t, "node/testdata/kernel-2.6.18", everyLane), 0)
	golden(t, "golden_node_old.prom", exposition(b))
}

func TestEveryLaneIsReadAtTheFirstTickAndThenInItsTurn(t *testing.T) {
	s := nodeOf(t, "node/testdata/kernel-6.18", Lanes{First: 1, Second: 5, Third: 15})
	lanes := map[string]uint64{
		`node_context_switches_total{job="node-exporter"}`:                  1,
		`node_memory_MemFree_bytes{job="node-exporter"}`:                    1,
		`node_pressure_io_stalled_seconds_total{job="node-exporter"}`:       5,
		`node_network_receive_bytes_total{device="lo",job="node-exporter"}`: 5,
		`node_disk_io_now{device="vda",job="node-exporter"}`:                15,
		`node_network_up{device="eth0",job="node-exporter"}`:                15,
	}
	for tick := range uint64(31) {
		got := values(read(t, s, tick))
		for series, lane := range lanes {
			if _, there := got[series]; there != (tick%lane == 0) {
				t.Errorf("tick %d: %s there is %t", tick, series, there)
			}
		}
	}
}

// shore is a copy of the fixture that a test may change.
func shore(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("node/testdata/kernel-6.18")); err != nil {
		t.Fatal(err)
	}
	return root
}

func rewrite(t *testing.T, path string, change func(string) string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(change(string(data))), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestADeviceThatLeavesEndsAloneAndMayComeBack(t *testing.T) {
	root := shore(t)
	s := nodeOf(t, root, everyLane)
	path := filepath.Join(root, "proc/net/dev")
	eth0 := regexp.MustCompile(`(?m)^ +eth0:.*\n`)
	received := `node_network_receive_bytes_total{device="eth0",job="node-exporter"}`
	var line string

	read(t, s, 0)
	rewrite(t, path, func(all string) string { line = eth0.FindString(all); return eth0.ReplaceAllString(all, "") })
	b := read(t, s, 1)
	if _, there := values(b)[received]; there {
		t.Error("a device that is gone has values")
	}
	for _, g := range b.Ended {
		if g.Labels[0].Value != "eth0" {
			t.Errorf("ended %v, want only eth0", g.Labels)
		}
	}
	if len(b.Ended) != 2 { // what it counts, and its state
		t.Errorf("%d groups ended, want 2", len(b.Ended))
	}

	rewrite(t, path, func(all string) string { return all + line })
	b = read(t, s, 2)
	if _, there := values(b)[received]; !there || len(b.Ended) != 0 {
		t.Errorf("a device that came back: there is %t, %d ended", there, len(b.Ended))
	}
}

func TestADeviceThatLeavesTakesItsOpenFilesAlong(t *testing.T) {
	root := shore(t)
	s := nodeOf(t, root, everyLane)
	read(t, s, 0)
	if n := openBelow(t, filepath.Join(root, "sys/class/net/eth0")); n != 4 {
		t.Errorf("%d files of eth0 are open, want 4", n)
	}
	rewrite(t, filepath.Join(root, "proc/net/dev"), func(all string) string {
		return strings.ReplaceAll(all, "eth0:", "eth1:")
	})
	read(t, s, 1)
	if n := openBelow(t, filepath.Join(root, "sys/class/net/eth0")); n != 0 {
		t.Errorf("%d files of eth0 are open though it left", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := openBelow(t, root); n != 0 {
		t.Errorf("%d files are open after Close", n)
	}
}

// openBelow counts this process' descriptors of files below dir.
func openBelow(t *testing.T, dir string) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, fd := range fds {
		if path, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(path, dir+"/") {
			n++
		}
	}
	return n
}

func TestACPUTakenOutEndsAndIdleTimeNeverGoesBack(t *testing.T) {
	root := shore(t)
	s := nodeOf(t, root, everyLane)
	path := filepath.Join(root, "proc/stat")
	set := func(content string) *sample.Batch {
		t.Helper()
		rewrite(t, path, func(string) string { return content })
		return read(t, s, 0)
	}
	idle := func(b *sample.Batch) string {
		return values(b)[`node_cpu_seconds_total{cpu="0",job="node-exporter",mode="idle"}`]
	}

	set("cpu0 1 0 0 5000 0 0 0 0 0 0\ncpu1 1 0 0 5000 0 0 0 0 0 0\n")
	b := set("cpu0 2 0 0 4999 0 0 0 0 0 0\n")
	if idle(b) != "50" {
		t.Errorf("idle %s s after a tick was taken back, want 50", idle(b))
	}
	if len(b.Ended) != 1 || b.Ended[0].Labels[0].Value != "1" {
		t.Errorf("ended %v, want CPU 1", b.Ended)
	}
	if b = set("cpu0 2 0 0 10 0 0 0 0 0 0\n"); idle(b) != "0.1" {
		t.Errorf("idle %s s after the CPU started anew, want 0.1", idle(b))
	}
}

func TestAFileThatCannotBeReadIsAbsentAndSaysSo(t *testing.T) {
	root := shore(t)
	s := nodeOf(t, root, everyLane)
	stat := filepath.Join(root, "proc/stat")
	available := func(b *sample.Batch) string {
		return values(b)[`plimsoll_agent_source_available{file="proc/stat",job="plimsoll-agent"}`]
	}
	b := read(t, s, 0)
	before := len(values(b))
	if available(b) != "1" {
		t.Errorf("available %s, want 1", available(b))
	}

	rewrite(t, stat, func(all string) string { return strings.TrimSuffix(all, "\n") }) // cut off
	b = &sample.Batch{}
	b.Reset(1, noon)
	if err := s.Collect(t.Context(), b); err == nil || !strings.Contains(err.Error(), stat) {
		t.Errorf("error %v, want one that names the file", err)
	}
	got := values(b)
	if available(b) != "0" || len(got) != before-2*int(node.NumModes)-6 {
		t.Errorf("available %s, %d series of %d", available(b), len(got), before)
	}
	absent := 0
	for _, c := range b.Columns {
		for _, v := range c.Values {
			if sample.IsAbsent(v) {
				absent++
			}
		}
	}
	if absent < 2*int(node.NumModes)+6 {
		t.Errorf("%d series said to be absent, want every one of the file's", absent)
	}
}

func TestAKernelWithoutPressureIsNoError(t *testing.T) {
	root := shore(t)
	if err := os.RemoveAll(filepath.Join(root, "proc/pressure")); err != nil {
		t.Fatal(err)
	}
	got := values(read(t, nodeOf(t, root, everyLane), 0))
	for series, value := range got {
		if strings.HasPrefix(series, "node_pressure_") {
			t.Errorf("%s %s, want none", series, value)
		}
	}
	if v := got[`plimsoll_agent_source_available{file="proc/pressure/io",job="plimsoll-agent"}`]; v != "0" {
		t.Errorf("available %q, want 0", v)
	}
}

func TestANewNameOfTheNodeTakesTheOldOnesPlace(t *testing.T) {
	names := []string{"a", "a", "b"}
	s := newNodeUname(func(u *node.Uname) error { u.Nodename, names = names[0], names[1:]; return nil })
	var ended int
	for range 3 {
		var b sample.Batch
		if err := s.collect(&b); err != nil {
			t.Fatal(err)
		}
		ended += len(b.Ended)
	}
	if ended != 1 || s.group.Series[0].Labels[2].Value != "b" {
		t.Errorf("%d ended, labels %v", ended, s.group.Series[0].Labels)
	}
}

func TestDisksLeftOutAreThoseOfNodeExporter(t *testing.T) {
	d := newNodeDisks(node.New(node.Roots{}))
	for name, kept := range map[string]bool{
		"sda": true, "sda1": false, "vda": true, "vda15": false, "xvda": true, "xvda1": false, "hda1": false,
		"nvme0n1": true, "nvme0n1p1": false, "loop0": false, "ram0": false, "zram0": false, "fd0": false,
		"dm-0": true, "md127": true, "sr0": true, "sdaa": true,
	} {
		if got := d.disks.came(name) != nil; got != kept {
			t.Errorf("%s kept is %t, want %t", name, got, kept)
		}
	}
}

func TestMetricsSayTheirUnit(t *testing.T) {
	b := read(t, nodeOf(t, "node/testdata/kernel-6.18", everyLane), 0)
	for _, c := range b.Columns {
		for _, s := range c.Group.Series {
			m := s.Metric
			base := strings.TrimSuffix(m.Name, "_total")
			for _, unit := range []string{"seconds", "bytes"} {
				if strings.HasSuffix(base, "_"+unit) != (m.Unit == unit) {
					t.Errorf("%s has unit %q", m.Name, m.Unit)
				}
			}
			if m.Help == "" {
				t.Errorf("%s has no help", m.Name)
			}
			if strings.HasSuffix(m.Name, "_total") != (m.Type == sample.Counter) {
				t.Errorf("%s is a %s", m.Name, m.Type)
			}
		}
	}
}

// Each value times its divisor must be the kernel's integer again, or the wire
// cannot be small.
func TestDivisorsGiveIntegers(t *testing.T) {
	b := read(t, nodeOf(t, "node/testdata/kernel-6.18", everyLane), 0)
	for _, c := range b.Columns {
		for i, v := range c.Values {
			m := c.Group.Series[i].Metric
			if sample.IsAbsent(v) {
				continue
			}
			n := v * float64(max(m.Divisor, 1))
			if off := n - float64(int64(n+0.5)); off > 1e-3 || off < -1e-3 {
				t.Errorf("%s %v times %d is %v", m.Name, v, m.Divisor, n)
			}
		}
	}
}

func TestASteadyNodeIsSampledWithoutAllocating(t *testing.T) {
	for name, roots := range map[string]node.Roots{
		"a fixture":    {Proc: "node/testdata/kernel-6.18/proc", Sys: "node/testdata/kernel-6.18/sys"},
		"this machine": {},
	} {
		t.Run(name, func(t *testing.T) {
			measure := func() float64 {
				s := newNodeSource(NodeOptions{Roots: roots, Lanes: everyLane}, node.ReadUname)
				defer s.Close()
				var b sample.Batch
				tick := uint64(0)
				// Few enough ticks that no missing file is looked for again.
				return testing.AllocsPerRun(10, func() {
					b.Reset(tick, noon)
					tick++
					if err := s.Collect(t.Context(), &b); err != nil {
						t.Fatal(err)
					}
				})
			}
			allocs := measure()
			for range 4 {
				if allocs == 0 {
					break
				}
				allocs = measure() // this machine may have got an interface meanwhile
			}
			if allocs != 0 {
				t.Errorf("%v allocations per tick, want none", allocs)
			}
		})
	}
}

func BenchmarkNodeSource(b *testing.B) {
	s := NodeSource(NodeOptions{Lanes: Lanes{First: 1, Second: 5, Third: 15}}).(*nodeSource)
	defer s.Close()
	var batch sample.Batch
	b.ReportAllocs()
	for tick := uint64(0); b.Loop(); tick++ {
		batch.Reset(tick, noon)
		if err := s.Collect(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
}
