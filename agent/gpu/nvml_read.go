//go:build cgo

package gpu

import (
	"cmp"
	"encoding/binary"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Above these a reading cannot be true. The driver says "not available" by a
// number with all bits set, and a structure of another version gives anything.
const (
	maxCelsius   Celsius    = 250
	maxPower     Milliwatts = 20_000_000
	maxClock     Megahertz  = 20_000
	maxMemory               = 1 << 50 // bytes
	maxCount     uint64     = 1 << 62
	maxGPM                  = 100 + 1e-6 // percent
	maxBandwidth            = 1 << 40    // MiB/s
)

// call is a function of NVML and where its result goes.
type call struct {
	symbol string
	read   func(nvml.Device, *Device) nvml.Return
}

// calls are the readings that need nothing but one function.
func calls() []call {
	return []call{
		{"nvmlDeviceGetTemperature", func(h nvml.Device, d *Device) nvml.Return {
			v, ret := h.GetTemperature(nvml.TEMPERATURE_GPU)
			d.Temperature = keep(d, ret, Celsius(v), maxCelsius)
			return ret
		}},
		{"nvmlDeviceGetPowerUsage", func(h nvml.Device, d *Device) nvml.Return {
			v, ret := h.GetPowerUsage()
			d.Power = keep(d, ret, Milliwatts(v), maxPower)
			return ret
		}},
		{"nvmlDeviceGetTotalEnergyConsumption", func(h nvml.Device, d *Device) nvml.Return {
			v, ret := h.GetTotalEnergyConsumption()
			d.Energy = keep(d, ret, Millijoules(v), Millijoules(maxCount))
			return ret
		}},
		{"nvmlDeviceGetClockInfo", func(h nvml.Device, d *Device) nvml.Return {
			v, ret := h.GetClockInfo(nvml.CLOCK_SM)
			d.SMClock = keep(d, ret, Megahertz(v), maxClock)
			v, mem := h.GetClockInfo(nvml.CLOCK_MEM)
			d.MemoryClock = keep(d, mem, Megahertz(v), maxClock)
			return cmp.Or(ret, mem)
		}},
		{"nvmlDeviceGetEncoderUtilization", func(h nvml.Device, d *Device) nvml.Return {
			v, _, ret := h.GetEncoderUtilization()
			d.EncoderBusy = keep(d, ret, Percent(v), 100)
			return ret
		}},
		{"nvmlDeviceGetDecoderUtilization", func(h nvml.Device, d *Device) nvml.Return {
			v, _, ret := h.GetDecoderUtilization()
			d.DecoderBusy = keep(d, ret, Percent(v), 100)
			return ret
		}},
		{"nvmlDeviceGetPcieReplayCounter", func(h nvml.Device, d *Device) nvml.Return {
			v, ret := h.GetPcieReplayCounter()
			d.PCIeReplays = keep(d, ret, uint64(v), maxCount)
			return ret
		}},
		{"nvmlDeviceGetTotalEccErrors", func(h nvml.Device, d *Device) nvml.Return {
			var worst nvml.Return
			count := func(kind nvml.MemoryErrorType, since nvml.EccCounterType) Opt[uint64] {
				v, ret := h.GetTotalEccErrors(kind, since)
				worst = cmp.Or(worst, ret)
				return keep(d, ret, v, maxCount)
			}
			d.ECC = ECC{
				SingleVolatile:  count(nvml.MEMORY_ERROR_TYPE_CORRECTED, nvml.VOLATILE_ECC),
				DoubleVolatile:  count(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC),
				SingleAggregate: count(nvml.MEMORY_ERROR_TYPE_CORRECTED, nvml.AGGREGATE_ECC),
				DoubleAggregate: count(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.AGGREGATE_ECC),
			}
			return worst
		}},
		{"nvmlDeviceGetRemappedRows", func(h nvml.Device, d *Device) nvml.Return {
			corr, unc, _, failed, ret := h.GetRemappedRows()
			if ret == nvml.SUCCESS {
				d.Rows = some(RemappedRows{Correctable: uint64(corr), Uncorrectable: uint64(unc), Failed: failed})
			}
			return ret
		}},
		{"nvmlDeviceGetFieldValues", func(h nvml.Device, d *Device) nvml.Return {
			fields := []nvml.FieldValue{
				{FieldId: nvml.FI_DEV_MEMORY_TEMP},
				{FieldId: nvml.FI_DEV_PERF_POLICY_POWER},
				{FieldId: nvml.FI_DEV_PERF_POLICY_THERMAL},
			}
			ret := h.GetFieldValues(fields)
			if ret != nvml.SUCCESS {
				return ret
			}
			d.MemoryTemperature = field(d, &fields[0], maxCelsius)
			if d.MemoryTemperature.V == 0 {
				d.MemoryTemperature.OK = false // how boards without that sensor say so
			}
			d.PowerViolation = field(d, &fields[1], Nanoseconds(maxCount))
			d.ThermalViolation = field(d, &fields[2], Nanoseconds(maxCount))
			return ret
		}},
	}
}

// read fills d as far as driver and device go. A device that is lost while it is
// read is not asked further: each question to it can take seconds.
func (l *library) read(h nvml.Device, k *known, d *Device) {
	for _, c := range calls() {
		if l.has(c.symbol) && c.read(h, d) == nvml.ERROR_GPU_IS_LOST {
			*d = Device{Index: d.Index, UUID: d.UUID, Name: d.Name, BusID: d.BusID, XIDs: d.XIDs, Lost: true}
			return
		}
	}
	l.busy(h, k, d)
	d.Memory = l.memory(h, d)
	d.Profile = l.profile(h, k, wholeDevice, d)
	l.instances(h, k, d)
	l.processes(h, k, d)
}

// keep is a reading that succeeded and can be true.
func keep[T ~uint64 | ~float64](d *Device, ret nvml.Return, v, most T) Opt[T] {
	if ret != nvml.SUCCESS {
		return Opt[T]{}
	}
	if !(v >= 0 && v <= most) { // NaN neither
		d.Refused++
		return Opt[T]{}
	}
	return some(v)
}

// field is the value of one field, each of which can fail by itself.
func field[T ~uint64 | ~float64](d *Device, f *nvml.FieldValue, most T) Opt[T] {
	v, ok := integer(nvml.ValueType(f.ValueType), f.Value)
	if !ok {
		return Opt[T]{}
	}
	return keep(d, nvml.Return(f.NvmlReturn), T(v), most)
}

// memory prefers the second version, which tells what the driver keeps for
// itself from what is used.
func (l *library) memory(h nvml.Device, d *Device) Opt[Memory] {
	if l.has("nvmlDeviceGetMemoryInfo_v2") {
		if m, ret := h.GetMemoryInfo_v2(); ret == nvml.SUCCESS {
			is := Memory{Used: m.Used, Free: m.Free, Total: m.Total, Reserved: some(m.Reserved)}
			return possible(d, is)
		}
	}
	if l.has("nvmlDeviceGetMemoryInfo") {
		if m, ret := h.GetMemoryInfo(); ret == nvml.SUCCESS {
			return possible(d, Memory{Used: m.Used, Free: m.Free, Total: m.Total})
		}
	}
	return Opt[Memory]{}
}

func possible(d *Device, m Memory) Opt[Memory] {
	if m.Total > maxMemory || m.Used > m.Total || m.Free > m.Total || m.Reserved.V > m.Total {
		d.Refused++
		return Opt[Memory]{}
	}
	return some(m)
}

// busy is the mean of the driver's own samples since the last snapshot, about
// six a second, rather than only the last of them.
func (l *library) busy(h nvml.Device, k *known, d *Device) {
	d.Busy = l.samples(h, nvml.GPU_UTILIZATION_SAMPLES, &k.busy, d)
	d.MemoryBusy = l.samples(h, nvml.MEMORY_UTILIZATION_SAMPLES, &k.memoryBusy, d)
	if d.Busy.OK && d.MemoryBusy.OK || !l.has("nvmlDeviceGetUtilizationRates") {
		return
	}
	last, ret := h.GetUtilizationRates()
	if !d.Busy.OK {
		d.Busy = keep(d, ret, Percent(last.Gpu), 100)
	}
	if !d.MemoryBusy.OK {
		d.MemoryBusy = keep(d, ret, Percent(last.Memory), 100)
	}
}

// samples is the mean of those newer than last, which moves on. The first time
// it is the mean of the last second in the driver's buffer.
func (l *library) samples(h nvml.Device, of nvml.SamplingType, last *uint64, d *Device) Opt[Percent] {
	if !l.has("nvmlDeviceGetSamples") {
		return Opt[Percent]{}
	}
	var (
		kind nvml.ValueType
		list []nvml.Sample
		ret  nvml.Return
	)
	for range sizeRetries {
		if kind, list, ret = h.GetSamples(of, *last); ret != nvml.ERROR_INSUFFICIENT_SIZE {
			break
		}
	}
	if ret != nvml.SUCCESS {
		return Opt[Percent]{}
	}
	newest := *last
	for _, s := range list {
		newest = max(newest, s.TimeStamp)
	}
	from := *last
	if from == 0 {
		from = newest - min(newest, uint64(samplePeriod.Microseconds()))
	}
	var sum Percent
	n := 0
	for _, s := range list { // the end of it may be empty: its length is that of the buffer
		if s.TimeStamp <= from {
			continue
		}
		if v, ok := integer(kind, s.SampleValue); ok {
			if p := keep(d, nvml.SUCCESS, Percent(v), 100); p.OK {
				sum += p.V
				n++
			}
		}
	}
	*last = newest
	if n == 0 {
		return Opt[Percent]{}
	}
	return some(sum / Percent(n))
}

// sizeRetries is how often a list is asked for anew that grew between the
// question how long it is and the one for what is in it.
const sizeRetries = 4

// integer is the value of a union that NVML tagged.
func integer(kind nvml.ValueType, v [8]byte) (uint64, bool) {
	switch kind {
	case nvml.VALUE_TYPE_UNSIGNED_INT, nvml.VALUE_TYPE_SIGNED_INT:
		return uint64(binary.NativeEndian.Uint32(v[:])), true
	case nvml.VALUE_TYPE_UNSIGNED_LONG, nvml.VALUE_TYPE_UNSIGNED_LONG_LONG, nvml.VALUE_TYPE_SIGNED_LONG_LONG:
		return binary.NativeEndian.Uint64(v[:]), true
	case nvml.VALUE_TYPE_UNSIGNED_SHORT:
		return uint64(binary.NativeEndian.Uint16(v[:])), true
	}
	return 0, false
}
