package cgroup

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Device is a block device by its numbers.
type Device struct{ Major, Minor uint32 }

// String is the device as the kernel writes it, "254:0".
func (d Device) String() string {
	return strconv.FormatUint(uint64(d.Major), 10) + ":" + strconv.FormatUint(uint64(d.Minor), 10)
}

// parseDevice reads "254:0".
func parseDevice(name []byte) (Device, bool) {
	i := bytes.IndexByte(name, ':')
	if i < 0 {
		return Device{}, false
	}
	major, majorOK := parseUint(name[:i])
	minor, minorOK := parseUint(name[i+1:])
	if !majorOK || !minorOK || major > 1<<12 || minor > 1<<20 {
		return Device{}, false // 12 and 20 bits are what a dev_t has
	}
	return Device{uint32(major), uint32(minor)}, true
}

// DeviceName is the device's path, "/dev/vda", or its numbers where the kernel
// does not tell. Numbers are used again for other devices, so ask when a device
// turns up and do not remember for long.
func (f *FS) DeviceName(d Device) string {
	uevent, err := os.ReadFile(filepath.Join(f.sysfs, "dev/block", d.String(), "uevent"))
	if err != nil {
		return d.String()
	}
	for line := range strings.Lines(string(uevent)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
			return "/dev/" + name
		}
	}
	return d.String()
}
