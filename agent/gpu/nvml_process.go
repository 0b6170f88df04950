//go:build cgo

package gpu

import (
	"cmp"
	"math"
	"slices"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

const (
	maxProcesses = 1024    // of a device that are told of
	maxPID       = 1 << 22 // PID_MAX_LIMIT of the kernel
	noInstance   = math.MaxUint32
	notAvailable = math.MaxUint64 // memory, where the driver does not manage it
)

// processKey tells a process apart: under MIG one can be in several instances.
type processKey struct{ pid, instance uint32 }

// processes lists who uses a device: for computing, for graphics, and as clients
// of a Multi-Process Service, whose server alone is in the first list. A process
// in two lists has the same memory in both.
func (l *library) processes(h nvml.Device, k *known, d *Device) {
	found := make(map[processKey]*Process)
	for _, list := range []struct {
		symbol string
		get    func() ([]nvml.ProcessInfo, nvml.Return)
	}{
		{"nvmlDeviceGetComputeRunningProcesses", h.GetComputeRunningProcesses},
		{"nvmlDeviceGetGraphicsRunningProcesses", h.GetGraphicsRunningProcesses},
		{"nvmlDeviceGetMPSComputeRunningProcesses", h.GetMPSComputeRunningProcesses},
	} {
		if !l.has(versions(list.symbol, 3)...) {
			continue
		}
		infos, ret := list.get()
		if ret != nvml.SUCCESS {
			continue
		}
		for i := range infos {
			add(found, &infos[i], d)
		}
	}
	l.usages(h, k, d, found)
	for _, p := range found {
		d.Processes = append(d.Processes, *p)
	}
	slices.SortFunc(d.Processes, func(a, b Process) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Instance.V, b.Instance.V))
	})
}

// add takes one entry, unless it cannot be true: drivers and bindings have
// disagreed on the size of an entry, and all after the first was garbage.
func add(found map[processKey]*Process, info *nvml.ProcessInfo, d *Device) {
	key := processKey{info.Pid, noInstance}
	if d.MIG {
		key.instance = info.GpuInstanceId
	}
	memory := Opt[uint64]{V: info.UsedGpuMemory, OK: info.UsedGpuMemory != notAvailable}
	most := uint64(maxMemory)
	if d.Memory.OK {
		most = d.Memory.V.Total
	}
	p := found[key]
	switch {
	case info.Pid == 0 || info.Pid > maxPID || memory.OK && memory.V > most, p == nil && len(found) >= maxProcesses:
		d.Refused++
		return
	case p == nil:
		p = &Process{PID: info.Pid}
		if key.instance != noInstance {
			p.Instance = some(key.instance)
		}
		found[key] = p
	}
	if memory.OK {
		p.Memory = some(max(p.Memory.V, memory.V))
	}
}

// usages adds what share of the multiprocessors each process had. MIG devices do
// not tell.
func (l *library) usages(h nvml.Device, k *known, d *Device, found map[processKey]*Process) {
	if d.MIG || !l.has("nvmlDeviceGetProcessUtilization") {
		return
	}
	list, ok := utilizations(h, k.usage.since())
	if !ok {
		return
	}
	samples := make([]smSample, 0, len(list))
	for _, s := range list {
		if s.Pid == 0 || s.Pid > maxPID || s.SmUtil > 100 {
			d.Refused++
			continue
		}
		samples = append(samples, smSample{PID: s.Pid, At: s.TimeStamp, Percent: s.SmUtil})
	}
	now := l.now()
	k.usage.add(samples, now)
	for _, s := range samples {
		key := processKey{s.PID, noInstance}
		if found[key] == nil && len(found) < maxProcesses && k.usage.fresh(s.PID, now) {
			found[key] = &Process{PID: s.PID, Memory: some(uint64(0))} // it just ended
		}
	}
	for key, p := range found {
		p.SM = k.usage.ratio(key.pid, now)
	}
}

// utilizations asks for samples, again if their number grew meanwhile.
func utilizations(h nvml.Device, since uint64) ([]nvml.ProcessUtilizationSample, bool) {
	for range sizeRetries {
		list, ret := utilization(h, since)
		switch {
		case ret == nvml.SUCCESS:
			return list, true
		case ret == nvml.ERROR_NOT_FOUND, ret == nvml.ERROR_INSUFFICIENT_SIZE && list != nil && len(list) == 0:
			return nil, true // there are none
		case ret != nvml.ERROR_INSUFFICIENT_SIZE:
			return nil, false
		}
	}
	return nil, false
}

// utilization guards the binding, which cuts its list to the length that the
// driver wishes for, even if that is more than the list has.
func utilization(h nvml.Device, since uint64) (list []nvml.ProcessUtilizationSample, ret nvml.Return) {
	defer func() {
		if recover() != nil {
			list, ret = nil, nvml.ERROR_INSUFFICIENT_SIZE
		}
	}()
	return h.GetProcessUtilization(since)
}
