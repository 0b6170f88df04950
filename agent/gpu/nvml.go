//go:build cgo

package gpu

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// inBuild tells whether this program can read GPUs.
const inBuild = true

func open() (devices, error) { return openNVML(nvml.New(), time.Now) }

// library is NVML, with what must be remembered from one snapshot to the next.
type library struct {
	nvml.Interface
	symbols map[string]bool // that were asked for, and whether they are there
	driver  string
	now     func() time.Time
	known   map[int]*known // by index
	xids    nvml.EventSet  // nil if the driver does not report
}

// known is what is remembered of a device.
type known struct {
	uuid, name, busID string
	watched           bool   // for XIDs
	busy, memoryBusy  uint64 // µs by the driver's clock, the newest samples seen
	usage             usage
	gpm               map[int]*gpm // by GPU instance; wholeDevice is no instance
}

// openNVML loads the library and the driver. A driver that is not there is
// absence; one that is there and does not work is a failure.
func openNVML(lib nvml.Interface, now func() time.Time) (devices, error) {
	switch ret := lib.Init(); ret {
	case nvml.SUCCESS:
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return nil, absentError("the NVIDIA driver's library (libnvidia-ml.so.1) is not here")
	case nvml.ERROR_DRIVER_NOT_LOADED:
		return nil, absentError("the NVIDIA driver is not loaded")
	default:
		return nil, fmt.Errorf("start NVML: %w", failure(ret))
	}
	l := &library{Interface: lib, now: now, symbols: make(map[string]bool), known: make(map[int]*known)}
	for _, needed := range [][]string{
		versions("nvmlDeviceGetCount", 2), versions("nvmlDeviceGetHandleByIndex", 2),
		{"nvmlDeviceGetUUID"},
		{"nvmlDeviceGetName"},
		{"nvmlShutdown"},
	} {
		if !l.has(needed...) {
			return nil, fmt.Errorf("the NVIDIA driver's library has no %s; it is too old or not NVML", needed[0])
		}
	}
	if l.has("nvmlSystemGetDriverVersion") {
		if v, ret := lib.SystemGetDriverVersion(); ret == nvml.SUCCESS {
			l.driver = text(v)
		}
	}
	n, ret := lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		l.close()
		return nil, fmt.Errorf("count GPUs: %w", failure(ret))
	}
	if n == 0 {
		l.close()
		return nil, absentError("the NVIDIA driver knows of no GPU")
	}
	l.watch()
	return l, nil
}

// has tells whether the library has one of these symbols. To call one that it
// lacks ends the process: the dynamic linker looks it up at the first call.
func (l *library) has(symbols ...string) bool {
	for _, s := range symbols {
		there, asked := l.symbols[s]
		if !asked {
			there = l.Extensions().LookupSymbol(s) == nil
			l.symbols[s] = there
		}
		if there {
			return true
		}
	}
	return false
}

// versions are the names that a symbol has had; the bindings call the newest
// that is there.
func versions(symbol string, newest int) []string {
	names := []string{symbol}
	for v := 2; v <= newest; v++ {
		names = append(names, fmt.Sprintf("%s_v%d", symbol, v))
	}
	return names
}

// close gives back what it can; the process ends after it anyway.
func (l *library) close() {
	if l.xids != nil && l.has("nvmlEventSetFree") {
		_ = l.xids.Free()
	}
	_ = l.Shutdown()
}

// snapshot reads one device after the other: the driver has one lock for all.
func (l *library) snapshot() (*Snapshot, []xidEvent, error) {
	n, ret := l.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return nil, nil, fmt.Errorf("count GPUs: %w", failure(ret))
	}
	s := &Snapshot{Driver: l.driver}
	for i := range n {
		if d, ok := l.device(i); ok {
			s.Devices = append(s.Devices, d)
		}
	}
	return s, l.events(), nil
}

// device reads one device. One that never said what it is called is left out.
func (l *library) device(i int) (Device, bool) {
	h, ret := l.DeviceGetHandleByIndex(i)
	if ret == nvml.SUCCESS {
		ret = l.identify(i, h)
	}
	k := l.known[i]
	if k == nil {
		return Device{}, false
	}
	d := Device{Index: i, UUID: k.uuid, Name: k.name, BusID: k.busID}
	if ret != nvml.SUCCESS {
		d.Lost = ret == nvml.ERROR_GPU_IS_LOST
		return d, true
	}
	d.XIDs.Watched = k.watched
	l.read(h, k, &d)
	return d, true
}

// identify learns what the device at an index is called. Another device there,
// such as after a reset, starts afresh.
func (l *library) identify(i int, h nvml.Device) nvml.Return {
	uuid, ret := h.GetUUID()
	if ret != nvml.SUCCESS {
		return ret
	}
	uuid = text(uuid)
	if k := l.known[i]; k != nil && k.uuid == uuid {
		return nvml.SUCCESS
	}
	k := &known{uuid: uuid, gpm: make(map[int]*gpm)}
	if name, ret := h.GetName(); ret == nvml.SUCCESS {
		k.name = text(name)
	}
	if l.has(versions("nvmlDeviceGetPciInfo", 3)...) {
		if pci, ret := h.GetPciInfo(); ret == nvml.SUCCESS {
			id, _, _ := strings.Cut(string(pci.BusId[:]), "\x00")
			k.busID = text(id)
		}
	}
	k.watched = l.register(h)
	l.known[i] = k
	return nvml.SUCCESS
}

// text is what a driver wrote, fit to be a label.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// failure says what NVML said, and what to do about it. It does not ask the
// library for words, which would be one more symbol.
func failure(ret nvml.Return) error {
	switch ret {
	case nvml.ERROR_NO_PERMISSION:
		return errors.New("no permission; let this process open /dev/nvidiactl and /dev/nvidia*")
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return errors.New("library and kernel module of the driver have different versions; reload the module or reboot")
	case nvml.ERROR_GPU_IS_LOST:
		return errors.New("a GPU fell off the bus; reset it or reboot")
	}
	return fmt.Errorf("NVML error %d", int(ret))
}
