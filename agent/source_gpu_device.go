package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/gpu"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// mebibyte is the unit in which DCGM gives memory.
const mebibyte = 1 << 20

// gpuMetric is a metric and where its value is.
type gpuMetric[T any] struct {
	metric *sample.Metric
	value  func(*T) float64 // Absent if there is none
}

// gpuMetrics are the series of devices and of instances of devices. All share
// them, so that a device costs its labels and its values.
type gpuMetrics struct {
	devices  []gpuMetric[gpu.Device]
	memory   []gpuMetric[gpu.Part]
	profile  []gpuMetric[gpu.Part]
	device   []sample.Series // of devices, memory and profile
	instance []sample.Series // of memory and profile
	xids     *sample.Metric
}

func newGPUMetrics() *gpuMetrics {
	m := &gpuMetrics{
		devices: gpuDeviceMetrics(),
		memory:  gpuMemoryMetrics(),
		profile: gpuProfileMetrics(),
		xids:    &sample.Metric{Name: "plimsoll_gpu_xid_errors_total", Help: "Errors that the driver reported on the GPU, by NVIDIA's code, since the agent started.", Type: sample.Counter},
	}
	for i := range m.devices {
		m.device = append(m.device, sample.Series{Metric: m.devices[i].metric})
	}
	for _, list := range [][]gpuMetric[gpu.Part]{m.memory, m.profile} {
		for i := range list {
			m.instance = append(m.instance, sample.Series{Metric: list[i].metric})
		}
	}
	m.device = append(m.device, m.instance...)
	return m
}

// ofDevice sets the values of a device's group. One that is split has no memory
// of its own, for its instances have it, and a sum must not count it twice.
func (m *gpuMetrics) ofDevice(d *gpu.Device, v []float64) {
	for i := range m.devices {
		v[i] = m.devices[i].value(d)
	}
	v = v[len(m.devices):]
	if len(d.Instances) == 0 {
		m.ofPart(&d.Part, v)
		return
	}
	for i := range m.profile {
		v[len(m.memory)+i] = m.profile[i].value(&d.Part)
	}
}

func (m *gpuMetrics) ofPart(p *gpu.Part, v []float64) {
	for i := range m.memory {
		v[i] = m.memory[i].value(p)
	}
	for i := range m.profile {
		v[len(m.memory)+i] = m.profile[i].value(p)
	}
}

// gpuValue is a reading in the unit of its metric, of which per go into one.
func gpuValue[T ~uint64 | ~float64](o gpu.Opt[T], per float64) float64 {
	if !o.OK {
		return sample.Absent
	}
	return float64(o.V) / per
}

func gpuDeviceMetrics() []gpuMetric[gpu.Device] {
	type device = gpu.Device
	gauge := func(name, help string, divisor uint32, value func(*device) float64) gpuMetric[device] {
		return gpuMetric[device]{&sample.Metric{Name: name, Help: help, Type: sample.Gauge, Divisor: divisor}, value}
	}
	counter := func(name, help string, value func(*device) float64) gpuMetric[device] {
		return gpuMetric[device]{&sample.Metric{Name: name, Help: help, Type: sample.Counter}, value}
	}
	rows := func(d *device, value func(gpu.RemappedRows) float64) float64 {
		if !d.Rows.OK {
			return sample.Absent
		}
		return value(d.Rows.V)
	}
	return []gpuMetric[device]{
		gauge("plimsoll_gpu_lost", "1 if the GPU does not answer any more, as one that fell off the bus.", 0, func(d *device) float64 {
			if d.Lost {
				return 1
			}
			return 0
		}),
		gauge("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %), mean since the last reading.", 0, func(d *device) float64 { return gpuValue(d.Busy, 1) }),
		gauge("DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %), mean since the last reading.", 0, func(d *device) float64 { return gpuValue(d.MemoryBusy, 1) }),
		gauge("DCGM_FI_DEV_ENC_UTIL", "Encoder utilization (in %).", 0, func(d *device) float64 { return gpuValue(d.EncoderBusy, 1) }),
		gauge("DCGM_FI_DEV_DEC_UTIL", "Decoder utilization (in %).", 0, func(d *device) float64 { return gpuValue(d.DecoderBusy, 1) }),
		gauge("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", 0, func(d *device) float64 { return gpuValue(d.Temperature, 1) }),
		gauge("DCGM_FI_DEV_MEMORY_TEMP", "Memory temperature (in C).", 0, func(d *device) float64 { return gpuValue(d.MemoryTemperature, 1) }),
		gauge("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", 1000, func(d *device) float64 { return gpuValue(d.Power, 1000) }),
		counter("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "Energy since the driver was loaded (in mJ).", func(d *device) float64 { return gpuValue(d.Energy, 1) }),
		gauge("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).", 0, func(d *device) float64 { return gpuValue(d.SMClock, 1) }),
		gauge("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).", 0, func(d *device) float64 { return gpuValue(d.MemoryClock, 1) }),
		counter("DCGM_FI_DEV_POWER_VIOLATION", "Time slowed down to stay within the power limit (in ns).", func(d *device) float64 { return gpuValue(d.PowerViolation, 1) }),
		counter("DCGM_FI_DEV_THERMAL_VIOLATION", "Time slowed down to stay cool (in ns).", func(d *device) float64 { return gpuValue(d.ThermalViolation, 1) }),
		counter("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "PCIe transfers that were repeated.", func(d *device) float64 { return gpuValue(d.PCIeReplays, 1) }),
		counter("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "Single-bit memory errors since the driver was loaded.", func(d *device) float64 { return gpuValue(d.ECC.SingleVolatile, 1) }),
		counter("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "Double-bit memory errors since the driver was loaded.", func(d *device) float64 { return gpuValue(d.ECC.DoubleVolatile, 1) }),
		counter("DCGM_FI_DEV_ECC_SBE_AGG_TOTAL", "Single-bit memory errors ever.", func(d *device) float64 { return gpuValue(d.ECC.SingleAggregate, 1) }),
		counter("DCGM_FI_DEV_ECC_DBE_AGG_TOTAL", "Double-bit memory errors ever.", func(d *device) float64 { return gpuValue(d.ECC.DoubleAggregate, 1) }),
		counter("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "Rows of memory replaced for errors that could be corrected.", func(d *device) float64 {
			return rows(d, func(r gpu.RemappedRows) float64 { return float64(r.Correctable) })
		}),
		counter("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "Rows of memory replaced for errors that could not be corrected.", func(d *device) float64 {
			return rows(d, func(r gpu.RemappedRows) float64 { return float64(r.Uncorrectable) })
		}),
		gauge("DCGM_FI_DEV_ROW_REMAP_FAILURE", "1 if a row of memory could not be replaced.", 0, func(d *device) float64 {
			return rows(d, func(r gpu.RemappedRows) float64 {
				if r.Failed {
					return 1
				}
				return 0
			})
		}),
		gauge("DCGM_FI_DEV_XID_ERRORS", "Code of the last error that the driver reported, 0 if there was none since the agent started.", 0, func(d *device) float64 {
			if !d.XIDs.Watched && d.XIDs.Last == 0 {
				return sample.Absent
			}
			return float64(d.XIDs.Last)
		}),
	}
}

func gpuMemoryMetrics() []gpuMetric[gpu.Part] {
	gauge := func(name, help string, value func(gpu.Memory) float64) gpuMetric[gpu.Part] {
		return gpuMetric[gpu.Part]{
			&sample.Metric{Name: name, Help: help, Type: sample.Gauge, Divisor: mebibyte},
			func(p *gpu.Part) float64 {
				if !p.Memory.OK {
					return sample.Absent
				}
				return value(p.Memory.V)
			},
		}
	}
	return []gpuMetric[gpu.Part]{
		gauge("DCGM_FI_DEV_FB_USED", "Memory used (in MiB).", func(m gpu.Memory) float64 { return float64(m.Used) / mebibyte }),
		gauge("DCGM_FI_DEV_FB_FREE", "Memory free (in MiB).", func(m gpu.Memory) float64 { return float64(m.Free) / mebibyte }),
		gauge("DCGM_FI_DEV_FB_RESERVED", "Memory that the driver keeps for itself (in MiB).", func(m gpu.Memory) float64 { return gpuValue(m.Reserved, mebibyte) }),
		gauge("DCGM_FI_DEV_FB_TOTAL", "Memory in all (in MiB).", func(m gpu.Memory) float64 { return float64(m.Total) / mebibyte }),
	}
}

func gpuProfileMetrics() []gpuMetric[gpu.Part] {
	type part = gpu.Part
	gauge := func(name, help string, value func(*part) float64) gpuMetric[part] {
		return gpuMetric[part]{&sample.Metric{Name: name, Help: help, Type: sample.Gauge}, value}
	}
	return []gpuMetric[part]{
		gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "Ratio of time the graphics or compute engine was active.", func(p *part) float64 { return gpuValue(p.Profile.Engine, 1) }),
		gauge("DCGM_FI_PROF_SM_ACTIVE", "Ratio of time a multiprocessor had a warp, mean over all.", func(p *part) float64 { return gpuValue(p.Profile.SM, 1) }),
		gauge("DCGM_FI_PROF_SM_OCCUPANCY", "Ratio of warps to what the multiprocessors can hold.", func(p *part) float64 { return gpuValue(p.Profile.Occupancy, 1) }),
		gauge("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "Ratio of time the tensor pipe was active.", func(p *part) float64 { return gpuValue(p.Profile.Tensor, 1) }),
		gauge("DCGM_FI_PROF_DRAM_ACTIVE", "Ratio of time memory sent or received.", func(p *part) float64 { return gpuValue(p.Profile.DRAM, 1) }),
		gauge("DCGM_FI_PROF_PIPE_FP64_ACTIVE", "Ratio of time the fp64 pipe was active.", func(p *part) float64 { return gpuValue(p.Profile.FP64, 1) }),
		gauge("DCGM_FI_PROF_PIPE_FP32_ACTIVE", "Ratio of time the fp32 pipe was active.", func(p *part) float64 { return gpuValue(p.Profile.FP32, 1) }),
		gauge("DCGM_FI_PROF_PIPE_FP16_ACTIVE", "Ratio of time the fp16 pipe was active.", func(p *part) float64 { return gpuValue(p.Profile.FP16, 1) }),
		gauge("DCGM_FI_PROF_PCIE_TX_BYTES", "Bytes sent over PCIe per second.", func(p *part) float64 { return gpuValue(p.Profile.PCIeSent, 1) }),
		gauge("DCGM_FI_PROF_PCIE_RX_BYTES", "Bytes received over PCIe per second.", func(p *part) float64 { return gpuValue(p.Profile.PCIeReceived, 1) }),
	}
}
