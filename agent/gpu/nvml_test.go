//go:build cgo

package gpu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
)

// dgx is NVIDIA's own model of a DGX A100: eight GPUs that know what they are
// called. What a test wants read of them it adds, with the symbol to read it by;
// the library has no others, since the model ends the test when it is asked for
// more than it knows.
type dgx struct {
	*dgxa100.Server
	t       *testing.T
	symbols map[string]bool
	now     time.Time
}

func newDGX(t *testing.T) *dgx {
	d := &dgx{Server: dgxa100.New(), t: t, symbols: make(map[string]bool), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	d.LookupSymbolFunc = func(s string) error {
		if d.symbols[s] {
			return nil
		}
		return fmt.Errorf("no symbol %s", s)
	}
	d.add("nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlShutdown",
		"nvmlSystemGetDriverVersion", "nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMigMode")
	return d
}

func (d *dgx) add(symbols ...string) {
	for _, s := range symbols {
		d.symbols[s] = true
	}
}

func (d *dgx) gpu(i int) *dgxa100.Device { return d.Devices[i].(*dgxa100.Device) }

func (d *dgx) open() devices {
	d.t.Helper()
	l, err := openNVML(d, func() time.Time { return d.now })
	if err != nil {
		d.t.Fatal(err)
	}
	return l
}

func (d *dgx) read(l devices) *Snapshot {
	d.t.Helper()
	s, _, err := l.snapshot()
	if err != nil {
		d.t.Fatal(err)
	}
	d.now = d.now.Add(time.Second)
	return s
}

func TestEveryDeviceOfADGXIsRead(t *testing.T) {
	d := newDGX(t)
	s := d.read(d.open())
	if s.Driver != "550.54.15" || len(s.Devices) != 8 {
		t.Fatalf("driver %q, %d devices", s.Driver, len(s.Devices))
	}
	for i, is := range s.Devices {
		if is.Index != i || is.UUID != d.gpu(i).UUID || is.Name != "Mock NVIDIA A100-SXM4-40GB" || is.MIG || is.Lost {
			t.Errorf("device %d: %+v", i, is)
		}
		if is.Memory != some(Memory{Total: 40 << 30}) {
			t.Errorf("device %d: memory %+v", i, is.Memory)
		}
		if is.Busy.OK || is.Temperature.OK || is.Power.OK || is.ECC.SingleVolatile.OK || is.Rows.OK || is.XIDs.Watched {
			t.Errorf("device %d has readings that were not given: %+v", i, is)
		}
	}
}

func TestReadingsHaveTheirUnits(t *testing.T) {
	d := newDGX(t)
	g := d.gpu(0)
	d.symbols = nil
	d.LookupSymbolFunc = func(s string) error { // only of what follows
		for _, family := range []string{
			"Count", "Handle", "UUID", "Name", "Shutdown", "Temperature", "Power", "Energy", "Clock", "Encoder", "Decoder",
			"Pcie", "Ecc", "Remapped", "FieldValues", "UtilizationRates", "MemoryInfo_v2",
		} {
			if strings.Contains(s, family) {
				return nil
			}
		}
		return errors.New("no")
	}
	d.DeviceGetCountFunc = func() (int, nvml.Return) { return 1, nvml.SUCCESS }
	g.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 61, nvml.SUCCESS }
	g.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 412_345, nvml.SUCCESS }
	g.GetTotalEnergyConsumptionFunc = func() (uint64, nvml.Return) { return 987_654_321, nvml.SUCCESS }
	g.GetClockInfoFunc = func(of nvml.ClockType) (uint32, nvml.Return) {
		return map[nvml.ClockType]uint32{nvml.CLOCK_SM: 1980, nvml.CLOCK_MEM: 2619}[of], nvml.SUCCESS
	}
	g.GetEncoderUtilizationFunc = func() (uint32, uint32, nvml.Return) { return 5, 1e6, nvml.SUCCESS }
	g.GetDecoderUtilizationFunc = func() (uint32, uint32, nvml.Return) { return 0, 0, nvml.ERROR_NOT_SUPPORTED }
	g.GetPcieReplayCounterFunc = func() (int, nvml.Return) { return 3, nvml.SUCCESS }
	g.GetTotalEccErrorsFunc = func(kind nvml.MemoryErrorType, since nvml.EccCounterType) (uint64, nvml.Return) {
		return 10*uint64(kind) + uint64(since) + 1, nvml.SUCCESS
	}
	g.GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 2, 1, true, true, nvml.SUCCESS }
	g.GetFieldValuesFunc = func(v []nvml.FieldValue) nvml.Return {
		for i := range v {
			v[i].ValueType = uint32(nvml.VALUE_TYPE_UNSIGNED_LONG_LONG)
			binary.NativeEndian.PutUint64(v[i].Value[:], map[uint32]uint64{82: 70, 74: 5e9, 75: 6e9}[v[i].FieldId])
		}
		return nvml.SUCCESS
	}
	g.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 87, Memory: 40}, nvml.SUCCESS }
	g.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) {
		return nvml.Memory_v2{Total: 80 << 30, Used: 60 << 30, Free: 19 << 30, Reserved: 1 << 30}, nvml.SUCCESS
	}
	got := d.read(d.open()).Devices[0]
	want := Device{
		UUID: g.UUID, Name: g.Name,
		Busy: some(Percent(87)), MemoryBusy: some(Percent(40)), EncoderBusy: some(Percent(5)),
		Temperature: some(Celsius(61)), MemoryTemperature: some(Celsius(70)),
		Power: some(Milliwatts(412_345)), Energy: some(Millijoules(987_654_321)),
		SMClock: some(Megahertz(1980)), MemoryClock: some(Megahertz(2619)),
		PowerViolation: some(Nanoseconds(5e9)), ThermalViolation: some(Nanoseconds(6e9)),
		PCIeReplays: some(uint64(3)),
		ECC:         ECC{SingleVolatile: some(uint64(1)), SingleAggregate: some(uint64(2)), DoubleVolatile: some(uint64(11)), DoubleAggregate: some(uint64(12))},
		Rows:        some(RemappedRows{Correctable: 2, Uncorrectable: 1, Failed: true}),
		Part:        Part{Memory: some(Memory{Used: 60 << 30, Free: 19 << 30, Total: 80 << 30, Reserved: some(uint64(1 << 30))})},
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestReadingsThatCannotBeTrueAreRefused(t *testing.T) {
	d := newDGX(t)
	g := d.gpu(0)
	d.add("nvmlDeviceGetTemperature", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo_v2")
	for _, other := range d.Devices[1:] {
		g := other.(*dgxa100.Device)
		g.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED }
		g.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) {
			return nvml.Utilization{}, nvml.ERROR_NOT_SUPPORTED
		}
		g.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) { return nvml.Memory_v2{}, nvml.ERROR_NOT_SUPPORTED }
	}
	g.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return math.MaxUint32, nvml.SUCCESS }
	g.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 101, Memory: 100}, nvml.SUCCESS }
	g.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) { return nvml.Memory_v2{Total: 8, Used: 9}, nvml.SUCCESS }
	s := d.read(d.open())
	is := s.Devices[0]
	if is.Temperature.OK || is.Busy.OK || is.Memory.OK || is.MemoryBusy != some(Percent(100)) || is.Refused != 3 {
		t.Errorf("got %+v", is)
	}
	if is := s.Devices[1]; is.Refused != 0 || !is.Memory.OK {
		t.Errorf("what is not supported was refused: %+v", is)
	}
}

func TestUtilizationIsTheMeanOfTheSamplesSinceTheLastSnapshot(t *testing.T) {
	d := newDGX(t)
	d.add("nvmlDeviceGetSamples", "nvmlDeviceGetUtilizationRates")
	d.DeviceGetCountFunc = func() (int, nvml.Return) { return 1, nvml.SUCCESS }
	g := d.gpu(0)
	sample := func(at uint64, v byte) nvml.Sample {
		s := nvml.Sample{TimeStamp: at}
		binary.NativeEndian.PutUint32(s.SampleValue[:], uint32(v))
		return s
	}
	var list []nvml.Sample
	tries := 0
	g.GetSamplesFunc = func(nvml.SamplingType, uint64) (nvml.ValueType, []nvml.Sample, nvml.Return) {
		if tries++; tries%2 == 1 {
			return 0, list, nvml.ERROR_INSUFFICIENT_SIZE
		}
		return nvml.VALUE_TYPE_UNSIGNED_INT, list, nvml.SUCCESS
	}
	g.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 7, Memory: 8}, nvml.SUCCESS }
	l := d.open()
	for _, tt := range []struct {
		name string
		list []nvml.Sample
		want Percent
	}{
		{"of a buffer full of the past, the last second", []nvml.Sample{sample(60e6, 100), sample(99.5e6, 20), sample(100e6, 40)}, 30},
		{"what is new", []nvml.Sample{sample(99.5e6, 20), sample(100e6, 40), sample(100.5e6, 50), sample(101e6, 70), {}}, 60},
		{"the last value where nothing is new", []nvml.Sample{sample(101e6, 70)}, 7},
		{"without what cannot be", []nvml.Sample{sample(102e6, 255), sample(103e6, 50)}, 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list = tt.list
			if got := d.read(l).Devices[0].Busy; got != some(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// process is an entry as the driver gives it without MIG.
func process(pid uint32, memory uint64) nvml.ProcessInfo {
	return nvml.ProcessInfo{Pid: pid, UsedGpuMemory: memory, GpuInstanceId: noInstance, ComputeInstanceId: noInstance}
}

func TestProcessesOfAllKindsAreListedOnce(t *testing.T) {
	d := newDGX(t)
	d.add("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2", "nvmlDeviceGetMPSComputeRunningProcesses", "nvmlDeviceGetProcessUtilization")
	d.DeviceGetCountFunc = func() (int, nvml.Return) { return 1, nvml.SUCCESS }
	g := d.gpu(0)
	g.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{
			process(10, 5<<30), process(11, math.MaxUint64),
			process(0, 1), process(math.MaxUint32, 1), process(12, 41<<30), // another layout than ours
		}, nvml.SUCCESS
	}
	g.GetGraphicsRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{process(10, 5<<30), process(20, 1<<30)}, nvml.SUCCESS
	}
	g.GetMPSComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{process(30, 2<<30)}, nvml.SUCCESS
	}
	at := uint64(100e6)
	g.GetProcessUtilizationFunc = func(uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) {
		at += 1e6
		return []nvml.ProcessUtilizationSample{
			{Pid: 10, TimeStamp: at, SmUtil: 25}, {Pid: 40, TimeStamp: at, SmUtil: 50}, {Pid: 30, TimeStamp: at, SmUtil: 4000},
		}, nvml.SUCCESS
	}
	l := d.open()
	d.read(l)
	is := d.read(l).Devices[0]
	want := []Process{
		{PID: 10, Memory: some(uint64(5 << 30)), SM: some(Ratio(0.25))},
		{PID: 11},
		{PID: 20, Memory: some(uint64(1 << 30))},
		{PID: 30, Memory: some(uint64(2 << 30))},
		{PID: 40, Memory: some(uint64(0)), SM: some(Ratio(0.5))}, // ended between the two questions
	}
	if !slices.Equal(is.Processes, want) || is.Refused != 4 {
		t.Errorf("refused %d, processes\n%+v, want\n%+v", is.Refused, is.Processes, want)
	}
}

func TestADeviceWithEndlessProcessesIsBounded(t *testing.T) {
	d := newDGX(t)
	d.add("nvmlDeviceGetComputeRunningProcesses")
	d.gpu(0).GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		var list []nvml.ProcessInfo
		for pid := range uint32(2 * maxProcesses) {
			list = append(list, process(pid+1, 1))
		}
		return list, nvml.SUCCESS
	}
	d.DeviceGetCountFunc = func() (int, nvml.Return) { return 1, nvml.SUCCESS }
	if is := d.read(d.open()).Devices[0]; len(is.Processes) != maxProcesses || is.Refused != maxProcesses {
		t.Errorf("%d processes, %d refused", len(is.Processes), is.Refused)
	}
}

func TestAListOfUtilizationThatGrowsIsReadAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(try int) ([]nvml.ProcessUtilizationSample, nvml.Return)
		want   int // entries
		ok     bool
	}{
		"the binding cuts beyond the end": {
			answer: func(try int) ([]nvml.ProcessUtilizationSample, nvml.Return) {
				list := make([]nvml.ProcessUtilizationSample, 1)
				if n := 2; try == 0 {
					return list[:n], nvml.SUCCESS
				}
				return list, nvml.SUCCESS
			},
			want: 1, ok: true,
		},
		"it says so": {
			answer: func(try int) ([]nvml.ProcessUtilizationSample, nvml.Return) {
				if try == 0 {
					return make([]nvml.ProcessUtilizationSample, 1), nvml.ERROR_INSUFFICIENT_SIZE
				}
				return make([]nvml.ProcessUtilizationSample, 2), nvml.SUCCESS
			},
			want: 2, ok: true,
		},
		"it never ends": {
			answer: func(int) ([]nvml.ProcessUtilizationSample, nvml.Return) {
				return make([]nvml.ProcessUtilizationSample, 1), nvml.ERROR_INSUFFICIENT_SIZE
			},
		},
		"there is none": {
			answer: func(int) ([]nvml.ProcessUtilizationSample, nvml.Return) {
				return []nvml.ProcessUtilizationSample{}, nvml.ERROR_INSUFFICIENT_SIZE
			},
			ok: true,
		},
		"there is nothing new":    {answer: func(int) ([]nvml.ProcessUtilizationSample, nvml.Return) { return nil, nvml.ERROR_NOT_FOUND }, ok: true},
		"the device does not say": {answer: func(int) ([]nvml.ProcessUtilizationSample, nvml.Return) { return nil, nvml.ERROR_NOT_SUPPORTED }},
	} {
		t.Run(name, func(t *testing.T) {
			try := 0
			h := &mock.Device{GetProcessUtilizationFunc: func(uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) {
				defer func() { try++ }()
				return tt.answer(try)
			}}
			list, ok := utilizations(h, 0)
			if len(list) != tt.want || ok != tt.ok {
				t.Errorf("%d entries, %v; want %d, %v", len(list), ok, tt.want, tt.ok)
			}
		})
	}
}

func TestInstancesOfASplitDeviceAreReadEach(t *testing.T) {
	d := newDGX(t)
	d.add("nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetGpuInstanceId", "nvmlDeviceGetAttributes_v2",
		"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetProcessUtilization") // the last must not be asked
	d.DeviceGetCountFunc = func() (int, nvml.Return) { return 1, nvml.SUCCESS }
	g := d.gpu(0)
	if _, ret := g.SetMigMode(nvml.DEVICE_MIG_ENABLE); ret != nvml.SUCCESS {
		t.Fatal(ret)
	}
	g.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 7, nvml.SUCCESS }
	part := func(id int, name string) *mock.Device {
		return &mock.Device{
			GetGpuInstanceIdFunc: func() (int, nvml.Return) { return id, nvml.SUCCESS },
			GetNameFunc:          func() (string, nvml.Return) { return name, nvml.SUCCESS },
			GetAttributesFunc: func() (nvml.DeviceAttributes, nvml.Return) {
				return nvml.DeviceAttributes{GpuInstanceSliceCount: 3, MemorySizeMB: 19968}, nvml.SUCCESS
			},
			GetMemoryInfoFunc: func() (nvml.Memory, nvml.Return) {
				return nvml.Memory{Total: 5 << 30, Used: uint64(id) << 20, Free: 4 << 30}, nvml.SUCCESS
			},
		}
	}
	parts := map[int]*mock.Device{
		0: part(7, "NVIDIA A100-SXM4-40GB MIG 1g.5gb"),
		1: part(7, "NVIDIA A100-SXM4-40GB MIG 1c.1g.5gb"), // a second compute instance
		3: part(2, "NVIDIA A100-SXM4-40GB"),
	}
	g.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if p := parts[i]; p != nil {
			return p, nvml.SUCCESS
		}
		return nil, nvml.ERROR_NOT_FOUND
	}
	g.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{
			{Pid: 10, UsedGpuMemory: 1 << 20, GpuInstanceId: 7}, {Pid: 10, UsedGpuMemory: 2 << 20, GpuInstanceId: 2},
		}, nvml.SUCCESS
	}
	is := d.read(d.open()).Devices[0]
	want := []Instance{
		{ID: 7, Name: "1g.5gb", Part: Part{Memory: some(Memory{Total: 5 << 30, Used: 7 << 20, Free: 4 << 30})}},
		{ID: 2, Name: "3g.20gb", Part: Part{Memory: some(Memory{Total: 5 << 30, Used: 2 << 20, Free: 4 << 30})}},
	}
	if !is.MIG || !slices.Equal(is.Instances, want) {
		t.Errorf("instances %+v, want %+v", is.Instances, want)
	}
	users := []Process{
		{PID: 10, Instance: some(uint32(2)), Memory: some(uint64(2 << 20))},
		{PID: 10, Instance: some(uint32(7)), Memory: some(uint64(1 << 20))},
	}
	if !slices.Equal(is.Processes, users) {
		t.Errorf("processes %+v, want %+v", is.Processes, users)
	}
}

func TestPerformanceMonitorsAreTheDifferenceOfTwoSamples(t *testing.T) {
	d := newDGX(t)
	d.add("nvmlGpmQueryDeviceSupport", "nvmlGpmSampleAlloc", "nvmlGpmSampleGet", "nvmlGpmMetricsGet")
	supported := map[int]uint32{0: 1}
	for i := range d.Devices {
		d.gpu(i).GpmQueryDeviceSupportFunc = func() (nvml.GpmSupport, nvml.Return) {
			return nvml.GpmSupport{IsSupportedDevice: supported[i]}, nvml.SUCCESS
		}
	}
	taken := make(map[nvml.GpmSample]int) // the number of each sample, from 1
	n := 0
	ret := nvml.SUCCESS
	d.GpmSampleAllocFunc = func() (nvml.GpmSample, nvml.Return) {
		s := new(mock.GpmSample)
		s.GetFunc = func(nvml.Device) nvml.Return {
			n++
			taken[s] = n
			return ret
		}
		return s, nvml.SUCCESS
	}
	d.GpmMetricsGetFunc = func(get *nvml.GpmMetricsGetType) nvml.Return {
		if older, newer := taken[get.Sample1], taken[get.Sample2]; older+1 != newer {
			t.Errorf("the difference of samples %d and %d", older, newer)
		}
		for i := range get.NumMetrics {
			m := &get.Metrics[i]
			m.Value = float64(m.MetricId)
			switch nvml.GpmMetricId(m.MetricId) {
			case nvml.GPM_METRIC_FP64_UTIL:
				m.NvmlReturn = uint32(nvml.ERROR_NOT_SUPPORTED)
			case nvml.GPM_METRIC_FP32_UTIL:
				m.Value = math.NaN()
			case nvml.GPM_METRIC_FP16_UTIL:
				m.Value = 1e9
			}
		}
		return nvml.SUCCESS
	}
	l := d.open()
	if p := d.read(l).Devices[0].Profile; p != (Profile{}) {
		t.Errorf("one sample gives %+v", p)
	}
	want := Profile{
		Engine: some(Ratio(0.01)), SM: some(Ratio(0.02)), Occupancy: some(Ratio(0.03)), Tensor: some(Ratio(0.05)), DRAM: some(Ratio(0.10)),
		PCIeSent: some(BytesPerSecond(20 << 20)), PCIeReceived: some(BytesPerSecond(21 << 20)),
	}
	for range 2 {
		s := d.read(l)
		if is := s.Devices[0]; is.Profile != want || is.Refused != 2 {
			t.Errorf("got %+v, %d refused; want %+v", is.Profile, is.Refused, want)
		}
		if p := s.Devices[1].Profile; p != (Profile{}) {
			t.Errorf("a device without monitors gives %+v", p)
		}
	}
	ret = nvml.ERROR_UNKNOWN
	d.read(l)
	ret = nvml.SUCCESS
	if p := d.read(l).Devices[0].Profile; p != (Profile{}) {
		t.Errorf("a difference over a gap: %+v", p)
	}
}

func TestErrorsAreTakenFromTheDriverOnce(t *testing.T) {
	d := newDGX(t)
	d.add("nvmlEventSetCreate", "nvmlEventSetFree", "nvmlDeviceRegisterEvents", "nvmlDeviceGetSupportedEventTypes", "nvmlEventSetWait_v2")
	queue := []nvml.EventData{
		{Device: d.Devices[1], EventType: nvml.EventTypeXidCriticalError, EventData: 79},
		{Device: d.Devices[1], EventType: nvml.EventTypeXidCriticalError, EventData: 31},
		{Device: d.Devices[2], EventType: 1, EventData: 5}, // not asked for
	}
	freed := false
	set := &mock.EventSet{
		WaitFunc: func(uint32) (nvml.EventData, nvml.Return) {
			if len(queue) == 0 {
				return nvml.EventData{}, nvml.ERROR_TIMEOUT
			}
			e := queue[0]
			queue = queue[1:]
			return e, nvml.SUCCESS
		},
		FreeFunc: func() nvml.Return { freed = true; return nvml.SUCCESS },
	}
	d.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return set, nvml.SUCCESS }
	registered := 0
	for i := range d.Devices {
		d.gpu(i).GetSupportedEventTypesFunc = func() (uint64, nvml.Return) { return nvml.EventTypeXidCriticalError, nvml.SUCCESS }
		d.gpu(i).RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { registered++; return nvml.SUCCESS }
	}
	l := d.open()
	s, events, err := l.snapshot()
	want := []xidEvent{{d.gpu(1).UUID, 79}, {d.gpu(1).UUID, 31}}
	if err != nil || !slices.Equal(events, want) || !s.Devices[0].XIDs.Watched {
		t.Errorf("events %v, %v; want %v", events, err, want)
	}
	if _, events, _ := l.snapshot(); len(events) != 0 || registered != 8 {
		t.Errorf("again %v, %d registrations of 8 devices", events, registered)
	}
	if l.close(); !freed {
		t.Error("the set was not given back")
	}
}

func TestADeviceThatFellOffTheBusIsToldOf(t *testing.T) {
	d := newDGX(t)
	d.add("nvmlDeviceGetTemperature", "nvmlDeviceGetPowerUsage")
	for i := range d.Devices {
		d.gpu(i).GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 50, nvml.SUCCESS }
		d.gpu(i).GetPowerUsageFunc = func() (uint32, nvml.Return) { return 1, nvml.SUCCESS }
	}
	l := d.open()
	d.read(l)
	d.gpu(3).GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 0, nvml.ERROR_GPU_IS_LOST }
	d.gpu(3).GetPowerUsageFunc = func() (uint32, nvml.Return) { t.Error("it is asked further"); return 0, nvml.ERROR_GPU_IS_LOST }
	byIndex := d.DeviceGetHandleByIndexFunc
	for _, how := range []string{"while it is read", "before"} {
		s := d.read(l)
		if len(s.Devices) != 8 || !s.Devices[3].Lost || s.Devices[3].UUID != d.gpu(3).UUID || s.Devices[3].Memory.OK || s.Devices[4].Lost || !s.Devices[4].Temperature.OK {
			t.Errorf("lost %s: %+v", how, s.Devices[3])
		}
		d.DeviceGetHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
			if i == 3 {
				return nil, nvml.ERROR_GPU_IS_LOST
			}
			return byIndex(i)
		}
	}
}

func TestAbsenceIsToldFromFailure(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*dgx)
		absent bool
		want   string
	}{
		"no library":           {func(d *dgx) { d.InitFunc = fails(nvml.ERROR_LIBRARY_NOT_FOUND) }, true, "libnvidia-ml.so.1"},
		"no driver":            {func(d *dgx) { d.InitFunc = fails(nvml.ERROR_DRIVER_NOT_LOADED) }, true, "not loaded"},
		"no device":            {func(d *dgx) { d.DeviceGetCountFunc = func() (int, nvml.Return) { return 0, nvml.SUCCESS } }, true, "no GPU"},
		"a half upgrade":       {func(d *dgx) { d.InitFunc = fails(nvml.ERROR_LIB_RM_VERSION_MISMATCH) }, false, "reload the module or reboot"},
		"not allowed":          {func(d *dgx) { d.InitFunc = fails(nvml.ERROR_NO_PERMISSION) }, false, "/dev/nvidiactl"},
		"a library too old":    {func(d *dgx) { delete(d.symbols, "nvmlDeviceGetUUID") }, false, "nvmlDeviceGetUUID"},
		"a driver that breaks": {func(d *dgx) { d.DeviceGetCountFunc = func() (int, nvml.Return) { return 0, nvml.ERROR_UNKNOWN } }, false, "999"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDGX(t)
			tt.change(d)
			_, err := openNVML(d, time.Now)
			var absent absentError
			if err == nil || errors.As(err, &absent) != tt.absent || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q, absent %v", err, tt.want, tt.absent)
			}
		})
	}
}

func fails(ret nvml.Return) func() nvml.Return { return func() nvml.Return { return ret } }
