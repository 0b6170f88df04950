//go:build cgo

package gpu

import "github.com/NVIDIA/go-nvml/pkg/nvml"

// maxEvents bounds the events of one snapshot; the others come with the next.
const maxEvents = 256

// watch asks the driver to keep XID errors for this process.
func (l *library) watch() {
	if !l.has("nvmlEventSetCreate") || !l.has("nvmlDeviceRegisterEvents") || !l.has("nvmlDeviceGetSupportedEventTypes") ||
		!l.has(versions("nvmlEventSetWait", 2)...) {
		return
	}
	if set, ret := l.EventSetCreate(); ret == nvml.SUCCESS {
		l.xids = set
	}
}

// register has the XID errors of a device kept, if the device reports any.
func (l *library) register(h nvml.Device) bool {
	if l.xids == nil {
		return false
	}
	types, ret := h.GetSupportedEventTypes()
	if ret != nvml.SUCCESS || types&nvml.EventTypeXidCriticalError == 0 {
		return false
	}
	return h.RegisterEvents(nvml.EventTypeXidCriticalError, l.xids) == nvml.SUCCESS
}

// events are the errors since the last call. The shortest wait is a millisecond:
// what 0 means is not said.
func (l *library) events() []xidEvent {
	if l.xids == nil {
		return nil
	}
	var list []xidEvent
	for range maxEvents {
		e, ret := l.xids.Wait(1)
		if ret != nvml.SUCCESS {
			break // ERROR_TIMEOUT: there are no more
		}
		if e.EventType&nvml.EventTypeXidCriticalError == 0 || e.Device == nil {
			continue
		}
		if uuid, ret := e.Device.GetUUID(); ret == nvml.SUCCESS {
			list = append(list, xidEvent{UUID: text(uuid), Code: e.EventData})
		}
	}
	return list
}
