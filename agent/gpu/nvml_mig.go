//go:build cgo

package gpu

import (
	"fmt"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// maxInstances is more than any GPU can be split into.
const maxInstances = 64

// instances reads the parts of a device that MIG has split. A GPU instance can
// hold several compute instances, each with a handle of its own and all with the
// same memory; it is read through the first.
func (l *library) instances(h nvml.Device, k *known, d *Device) {
	if !l.has("nvmlDeviceGetMigMode") {
		return
	}
	if mode, _, ret := h.GetMigMode(); ret != nvml.SUCCESS || mode != nvml.DEVICE_MIG_ENABLE {
		return
	}
	d.MIG = true
	if !l.has("nvmlDeviceGetMaxMigDeviceCount") || !l.has("nvmlDeviceGetMigDeviceHandleByIndex") || !l.has("nvmlDeviceGetGpuInstanceId") {
		return
	}
	n, ret := h.GetMaxMigDeviceCount()
	if ret != nvml.SUCCESS {
		return
	}
	seen := make(map[int]bool)
	for i := range min(n, maxInstances) {
		part, ret := h.GetMigDeviceHandleByIndex(i)
		if ret != nvml.SUCCESS {
			continue // ERROR_NOT_FOUND: none there
		}
		id, ret := part.GetGpuInstanceId()
		if ret != nvml.SUCCESS || id < 0 || seen[id] {
			continue
		}
		seen[id] = true
		d.Instances = append(d.Instances, Instance{
			ID:   uint32(id),
			Name: l.profileName(part),
			Part: Part{Memory: l.memory(part, d), Profile: l.profile(h, k, id, d)},
		})
	}
}

// profileName is how NVIDIA calls the size of an instance, "1g.5gb": slices of
// compute and memory. It ends the name of the device.
func (l *library) profileName(part nvml.Device) string {
	if name, ret := part.GetName(); ret == nvml.SUCCESS {
		if _, profile, ok := strings.Cut(name, " MIG "); ok {
			return text(profile)
		}
	}
	if l.has(versions("nvmlDeviceGetAttributes", 2)...) {
		if a, ret := part.GetAttributes(); ret == nvml.SUCCESS {
			return fmt.Sprintf("%dg.%dgb", a.GpuInstanceSliceCount, (a.MemorySizeMB+512)/1024)
		}
	}
	return ""
}
