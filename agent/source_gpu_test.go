package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/gpu"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

const (
	trainID = "1111111111111111111111111111111111111111111111111111111111111111"
	serveID = "2222222222222222222222222222222222222222222222222222222222222222"
)

// gpuNode is a node with GPUs as far as the source sees it.
type gpuNode struct {
	t          *testing.T
	state      gpu.State
	now        time.Time
	version    uint64
	containers []discover.Container
	proc       string
	source     *gpuSource
	ticks      uint64
}

func newGPUNode(t *testing.T) *gpuNode {
	n := &gpuNode{
		t: t, proc: t.TempDir(), version: 1,
		now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		containers: []discover.Container{
			{Cgroup: "/docker/" + trainID, ID: trainID, Runtime: "docker", Known: true, Name: "train", Image: "torch:2"},
			{Cgroup: "/docker/" + serveID, ID: serveID, Runtime: "docker", Known: true, Name: "serve", Image: "vllm:1"},
		},
	}
	n.source = newGPUSource(GPUOptions{
		State:      func() gpu.State { return n.state },
		Containers: func() (uint64, []discover.Container) { return n.version, n.containers },
		Proc:       n.proc,
		Hostname:   "node-1",
		Lanes:      DefaultLanes(),
	}, func() time.Time { return n.now })
	return n
}

// process puts a process into a cgroup, as /proc of a hybrid kernel shows it.
func (n *gpuNode) process(pid int, cgroup string) {
	n.t.Helper()
	dir := filepath.Join(n.proc, strconv.Itoa(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	lines := "4:memory:" + cgroup + "\n1:name=systemd:" + cgroup + "\n0::/\n"
	if err := os.WriteFile(filepath.Join(dir, "cgroup"), []byte(lines), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

func (n *gpuNode) read(s *gpu.Snapshot) {
	n.state = gpu.State{Expected: true, Up: true, Snapshot: s, Taken: n.now, Starts: 1}
}

func (n *gpuNode) tick() *sample.Batch {
	n.t.Helper()
	b := new(sample.Batch)
	b.Reset(n.ticks, n.now)
	if err := n.source.Collect(n.t.Context(), b); err != nil {
		n.t.Fatal(err)
	}
	n.ticks++
	n.now = n.now.Add(time.Second)
	return b
}

func is[T any](v T) gpu.Opt[T] { return gpu.Opt[T]{V: v, OK: true} }

// hopper has all readings there are, and three processes of two containers.
func hopper() gpu.Device {
	return gpu.Device{
		Index: 0, UUID: "GPU-aa", Name: "NVIDIA H100", BusID: "00000000:07:00.0",
		Busy: is(gpu.Percent(87.5)), MemoryBusy: is(gpu.Percent(40)), EncoderBusy: is(gpu.Percent(1)), DecoderBusy: is(gpu.Percent(2)),
		Temperature: is(gpu.Celsius(61)), MemoryTemperature: is(gpu.Celsius(70)),
		Power: is(gpu.Milliwatts(412_345)), Energy: is(gpu.Millijoules(987_654_321)),
		SMClock: is(gpu.Megahertz(1980)), MemoryClock: is(gpu.Megahertz(2619)),
		PowerViolation: is(gpu.Nanoseconds(5e9)), ThermalViolation: is(gpu.Nanoseconds(0)),
		PCIeReplays: is(uint64(3)),
		ECC:         gpu.ECC{SingleVolatile: is(uint64(1)), DoubleVolatile: is(uint64(0)), SingleAggregate: is(uint64(12)), DoubleAggregate: is(uint64(0))},
		Rows:        is(gpu.RemappedRows{Correctable: 2, Uncorrectable: 1}),
		XIDs:        gpu.XIDs{Watched: true, Last: 31, Counts: []gpu.XIDCount{{Code: 31, Count: 4}}},
		Part: gpu.Part{
			Memory: is(gpu.Memory{Used: 60 << 30, Free: 19 << 30, Total: 80 << 30, Reserved: is(uint64(1 << 30))}),
			Profile: gpu.Profile{
				Engine: is(gpu.Ratio(0.9)), SM: is(gpu.Ratio(0.8)), Occupancy: is(gpu.Ratio(0.4)), Tensor: is(gpu.Ratio(0.35)), DRAM: is(gpu.Ratio(0.5)),
				FP64: is(gpu.Ratio(0)), FP32: is(gpu.Ratio(0.2)), FP16: is(gpu.Ratio(0.1)),
				PCIeSent: is(gpu.BytesPerSecond(1 << 30)), PCIeReceived: is(gpu.BytesPerSecond(1 << 29)),
			},
		},
		Processes: []gpu.Process{
			{PID: 100, Memory: is(uint64(30 << 30)), SM: is(gpu.Ratio(0.5))},
			{PID: 101, Memory: is(uint64(10 << 30)), SM: is(gpu.Ratio(0.25))},
			{PID: 200, Memory: is(uint64(15 << 30)), SM: is(gpu.Ratio(0.125))},
			{PID: 300, Memory: is(uint64(1 << 30)), SM: is(gpu.Ratio(0.0625))},
		},
	}
}

// migDevice is a device that MIG has split, one that says little by itself.
func migDevice() gpu.Device {
	return gpu.Device{
		Index: 1, UUID: "GPU-bb", Name: "NVIDIA A100", BusID: "00000000:0A:00.0", MIG: true,
		Temperature: is(gpu.Celsius(40)),
		Part:        gpu.Part{Memory: is(gpu.Memory{Used: 6 << 30, Free: 34 << 30, Total: 40 << 30})},
		Instances: []gpu.Instance{
			{ID: 7, Name: "1g.5gb", Part: gpu.Part{Memory: is(gpu.Memory{Used: 2 << 30, Free: 3 << 30, Total: 5 << 30})}},
			{ID: 2, Name: "3g.20gb", Part: gpu.Part{Memory: is(gpu.Memory{Used: 4 << 30, Free: 16 << 30, Total: 20 << 30}), Profile: gpu.Profile{SM: is(gpu.Ratio(0.5))}}},
		},
		Processes: []gpu.Process{
			{PID: 200, Instance: is(uint32(7)), Memory: is(uint64(1 << 30))},
			{PID: 100, Instance: is(uint32(2)), Memory: is(uint64(4 << 30))},
		},
	}
}

func TestGPUSeriesAreThoseOfDCGM(t *testing.T) {
	n := newGPUNode(t)
	n.process(100, "/docker/"+trainID)
	n.process(101, "/docker/"+trainID+"/nested")
	n.process(200, "/docker/"+serveID)
	n.process(300, "/system.slice/xorg.service")
	n.read(&gpu.Snapshot{Driver: "550.54.15", Devices: []gpu.Device{hopper(), migDevice()}})
	n.tick()
	golden(t, "golden_gpu.prom", exposition(n.tick()))
}

func TestTheRowsOfASharedGPUSumUpToTheDevice(t *testing.T) {
	n := newGPUNode(t)
	n.process(100, "/docker/"+trainID)
	n.process(200, "/docker/"+serveID)
	n.read(&gpu.Snapshot{Devices: []gpu.Device{hopper(), migDevice()}}) // 101 and 300 are in no container, or unknown
	b := n.tick()
	want := map[string]float64{"GPU-aa": 60 << 30, "GPU-bb": 6 << 30}
	got := make(map[string]float64)
	for _, c := range b.Columns {
		for i, s := range c.Group.Series {
			if s.Metric.Name == "plimsoll_container_gpu_memory_used_bytes" {
				got[c.Group.Labels[slices.IndexFunc(c.Group.Labels, func(l sample.Label) bool { return l.Name == "UUID" })].Value] += c.Values[i]
			}
		}
	}
	for uuid := range want {
		if got[uuid] != want[uuid] {
			t.Errorf("%s: the rows sum up to %v, want %v", uuid, got[uuid], want[uuid])
		}
	}
}

func TestWhatAProcessDoesNotTellIsNotZero(t *testing.T) {
	n := newGPUNode(t)
	n.process(100, "/docker/"+trainID)
	d := gpu.Device{UUID: "GPU-aa", Part: gpu.Part{Memory: is(gpu.Memory{Used: 10, Total: 20, Free: 10})}, Processes: []gpu.Process{{PID: 100}}}
	n.read(&gpu.Snapshot{Devices: []gpu.Device{d}})
	if text := exposition(n.tick()); strings.Contains(text, "plimsoll_container_gpu") {
		t.Errorf("there are rows of what is not known:\n%s", text)
	}
}

func TestReadingsThatAreTooOldEnd(t *testing.T) {
	n := newGPUNode(t)
	n.read(&gpu.Snapshot{Devices: []gpu.Device{hopper()}})
	fresh := n.tick()
	n.now = n.now.Add(maxGPUAge)
	b := n.tick()
	for _, c := range fresh.Columns {
		if c.Group != n.source.health && !slices.Contains(b.Ended, c.Group) {
			t.Errorf("%v did not end", c.Group.Labels)
		}
	}
	got := values(b)
	if v := got[`plimsoll_gpu_helper_up{job="plimsoll-agent"}`]; v != "0" || len(b.Columns) != 1 {
		t.Errorf("up is %q, %d groups; want 0 and nothing else", v, len(b.Columns))
	}
	if v := got[`plimsoll_gpu_snapshot_age_seconds{job="plimsoll-agent"}`]; v != "6" {
		t.Errorf("age %q, want 6", v)
	}
	n.read(&gpu.Snapshot{Devices: []gpu.Device{hopper()}})
	if v := values(n.tick())[`plimsoll_gpu_helper_up{job="plimsoll-agent"}`]; v != "1" {
		t.Errorf("up is %q after a new snapshot", v)
	}
}

func TestANodeWithoutAGPUHasNoSeries(t *testing.T) {
	n := newGPUNode(t)
	n.state = gpu.State{Starts: 1}
	if b := n.tick(); len(b.Columns) != 0 {
		t.Errorf("%d groups", len(b.Columns))
	}
}

func TestADriverThatFailsFromTheStartIsTold(t *testing.T) {
	n := newGPUNode(t)
	n.state = gpu.State{Expected: true, Starts: 3}
	got := values(n.tick())
	if got[`plimsoll_gpu_helper_up{job="plimsoll-agent"}`] != "0" || got[`plimsoll_gpu_helper_starts_total{job="plimsoll-agent"}`] != "3" {
		t.Errorf("series %v", got)
	}
	if v, there := got[`plimsoll_gpu_snapshot_age_seconds{job="plimsoll-agent"}`]; there {
		t.Errorf("no snapshot has the age %s", v)
	}
}

func TestTheFirstErrorOfAKindIsAnIncrease(t *testing.T) {
	n := newGPUNode(t)
	n.read(&gpu.Snapshot{Devices: []gpu.Device{hopper()}})
	var seen []string
	for range 3 {
		for series, v := range values(n.tick()) {
			if strings.HasPrefix(series, "plimsoll_gpu_xid_errors_total") && strings.Contains(series, `xid="31"`) {
				seen = append(seen, v)
			}
		}
	}
	if !slices.Equal(seen, []string{"0", "4", "4"}) {
		t.Errorf("count %v, want it to begin at 0", seen)
	}
}

func TestAContainerThatGetsANameKeepsItsRow(t *testing.T) {
	n := newGPUNode(t)
	n.containers[0].Known, n.containers[0].Name, n.containers[0].Image = false, "", ""
	n.process(100, "/docker/"+trainID)
	n.read(&gpu.Snapshot{Devices: []gpu.Device{hopper()}})
	n.tick()
	n.version, n.containers = 2, slices.Clone(n.containers)
	n.containers[0].Known, n.containers[0].Name = true, "train"
	b := n.tick()
	if len(b.Ended) != 1 {
		t.Errorf("%d groups ended, want the one without a name", len(b.Ended))
	}
	want := `plimsoll_container_gpu_memory_used_bytes{UUID="GPU-aa",gpu="0",id="/docker/` + trainID + `",job="plimsoll-agent",name="train"}`
	if v := values(b)[want]; v != strconv.Itoa(30<<30) {
		t.Errorf("%s is %q", want, v)
	}
}

func TestAProcessIsFoundFromInsideACgroupNamespace(t *testing.T) {
	n := newGPUNode(t)
	n.process(100, "/../"+trainID)
	n.read(&gpu.Snapshot{Devices: []gpu.Device{hopper()}})
	if text := exposition(n.tick()); !strings.Contains(text, `name="train"`) {
		t.Errorf("no row of the container:\n%s", text)
	}
}

func TestANumberThatWentToAnotherProcessIsFound(t *testing.T) {
	n := newGPUNode(t)
	n.process(100, "/docker/"+trainID)
	n.read(&gpu.Snapshot{Devices: []gpu.Device{hopper()}})
	n.tick()
	n.process(100, "/docker/"+serveID)
	var last string
	for range DefaultLanes().Third {
		n.read(n.state.Snapshot)
		last = exposition(n.tick())
	}
	if strings.Contains(last, `name="train"`) || !strings.Contains(last, `name="serve"`) {
		t.Errorf("the process still counts for its predecessor:\n%s", last)
	}
}

func TestADeviceThatIsLostSaysSoAndNoMore(t *testing.T) {
	n := newGPUNode(t)
	n.read(&gpu.Snapshot{Devices: []gpu.Device{{Index: 3, UUID: "GPU-cc", Name: "NVIDIA T4", BusID: "00000000:01:00.0", Lost: true}}})
	want := `# TYPE plimsoll_gpu_lost gauge
plimsoll_gpu_lost{UUID="GPU-cc",device="nvidia3",gpu="3",hostname="node-1",job="dcgm-exporter",modelName="NVIDIA T4",pci_bus_id="00000000:01:00.0"} 1
`
	if text := exposition(n.tick()); !strings.Contains(text, want) || strings.Contains(text, "DCGM_FI_DEV") || strings.Contains(text, "plimsoll_container") {
		t.Errorf("got:\n%s\nwant of the device only:\n%s", text, want)
	}
}

func TestTheHostnameCanHaveItsOldLabel(t *testing.T) {
	n := newGPUNode(t)
	n.source.opts.OldHostname = true
	n.read(&gpu.Snapshot{Devices: []gpu.Device{hopper()}})
	if text := exposition(n.tick()); !strings.Contains(text, `Hostname="node-1"`) || strings.Contains(text, `,hostname=`) {
		t.Errorf("got:\n%s", text)
	}
}

func TestASteadyGPUCostsFewAllocations(t *testing.T) {
	n := newGPUNode(t)
	n.process(100, "/docker/"+trainID)
	n.read(&gpu.Snapshot{Devices: []gpu.Device{hopper()}})
	b := new(sample.Batch)
	collect := func() {
		b.Reset(1, n.now)
		if err := n.source.Collect(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	collect()
	if got := testing.AllocsPerRun(100, collect); got > 20 {
		t.Errorf("%v allocations a tick", got)
	}
}
