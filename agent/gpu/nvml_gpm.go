//go:build cgo

package gpu

import (
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// wholeDevice stands for no GPU instance.
const wholeDevice = -1

// gpmEvery is the shortest time between two samples of the performance monitors
// that NVML allows.
const gpmEvery = 100 * time.Millisecond

// gpm is the last sample of a device or instance: readings are the difference
// of two.
type gpm struct {
	unsupported bool
	last, next  nvml.GpmSample
	at          time.Time // of last; zero before the first
}

// profile reads the performance monitors of a device, or of one instance of it.
func (l *library) profile(h nvml.Device, k *known, instance int, d *Device) Profile {
	g := k.gpm[instance]
	if g == nil {
		g = l.newGPM(h, instance)
		k.gpm[instance] = g
	}
	now := l.now()
	if g.unsupported || now.Sub(g.at) < gpmEvery {
		return Profile{}
	}
	var ret nvml.Return
	if instance == wholeDevice {
		ret = g.next.Get(h)
	} else {
		ret = g.next.MigGet(h, instance)
	}
	if ret != nvml.SUCCESS {
		g.at = time.Time{} // the next difference would be over a gap
		return Profile{}
	}
	first := g.at.IsZero()
	g.last, g.next, g.at = g.next, g.last, now
	if first {
		return Profile{}
	}
	return l.difference(g, d)
}

// newGPM asks whether there are performance monitors, and makes room for two
// samples. They last as long as the child.
func (l *library) newGPM(h nvml.Device, instance int) *gpm {
	g := &gpm{unsupported: true}
	needed := []string{"nvmlGpmQueryDeviceSupport", "nvmlGpmSampleAlloc", "nvmlGpmSampleGet", "nvmlGpmMetricsGet"}
	if instance != wholeDevice {
		needed = append(needed, "nvmlGpmMigSampleGet")
	}
	for _, symbol := range needed {
		if !l.has(symbol) {
			return g
		}
	}
	if support, ret := h.GpmQueryDeviceSupport(); ret != nvml.SUCCESS || support.IsSupportedDevice == 0 {
		return g
	}
	var a, b nvml.Return
	g.last, a = l.GpmSampleAlloc()
	g.next, b = l.GpmSampleAlloc()
	g.unsupported = a != nvml.SUCCESS || b != nvml.SUCCESS
	return g
}

// difference is what the monitors saw between the two samples: shares in
// percent, traffic in MiB/s.
func (l *library) difference(g *gpm, d *Device) Profile {
	var p Profile
	ratios := []struct {
		id   nvml.GpmMetricId
		into *Opt[Ratio]
	}{
		{nvml.GPM_METRIC_GRAPHICS_UTIL, &p.Engine},
		{nvml.GPM_METRIC_SM_UTIL, &p.SM},
		{nvml.GPM_METRIC_SM_OCCUPANCY, &p.Occupancy},
		{nvml.GPM_METRIC_ANY_TENSOR_UTIL, &p.Tensor},
		{nvml.GPM_METRIC_DRAM_BW_UTIL, &p.DRAM},
		{nvml.GPM_METRIC_FP64_UTIL, &p.FP64},
		{nvml.GPM_METRIC_FP32_UTIL, &p.FP32},
		{nvml.GPM_METRIC_FP16_UTIL, &p.FP16},
	}
	rates := []struct {
		id   nvml.GpmMetricId
		into *Opt[BytesPerSecond]
	}{
		{nvml.GPM_METRIC_PCIE_TX_PER_SEC, &p.PCIeSent},
		{nvml.GPM_METRIC_PCIE_RX_PER_SEC, &p.PCIeReceived},
	}
	// After the swap, next is the older of the two.
	get := nvml.GpmMetricsGetType{Sample1: g.next, Sample2: g.last, NumMetrics: uint32(len(ratios) + len(rates))}
	for i := range ratios {
		get.Metrics[i].MetricId = uint32(ratios[i].id)
	}
	for i := range rates {
		get.Metrics[len(ratios)+i].MetricId = uint32(rates[i].id)
	}
	if l.GpmMetricsGet(&get) != nvml.SUCCESS {
		return Profile{}
	}
	for i := range ratios {
		m := &get.Metrics[i]
		if v := keep(d, nvml.Return(m.NvmlReturn), m.Value, maxGPM); v.OK {
			*ratios[i].into = some(Ratio(min(v.V/100, 1)))
		}
	}
	for i := range rates {
		m := &get.Metrics[len(ratios)+i]
		if v := keep(d, nvml.Return(m.NvmlReturn), m.Value, maxBandwidth); v.OK {
			*rates[i].into = some(BytesPerSecond(v.V * (1 << 20)))
		}
	}
	return p
}
