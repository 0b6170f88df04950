package node

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/prometheus/procfs/sysfs"
)

// Identity tells a machine from others, and one boot of it from others. What is
// unknown is empty.
type Identity struct {
	MachineID  string // made when the system was installed, see machine-id(5)
	SystemUUID string // of the firmware, which only root may read; x86 and ARM servers
	BootID     string // made by the kernel at every boot
}

// Identity reads who the machine is. It stays the same as long as the machine
// runs.
func (r Roots) Identity() Identity {
	return Identity{
		MachineID:  firstID(r.root("etc/machine-id"), r.root("var/lib/dbus/machine-id")),
		SystemUUID: firstID(r.sys("class/dmi/id/product_uuid")),
		BootID:     firstID(r.proc("sys/kernel/random/boot_id")),
	}
}

// firstID is what is in the first of some files that has 128 bits in
// hexadecimal, with or without hyphens. A machine-id may also be empty, or say
// "uninitialized".
func firstID(paths ...string) string {
	for _, path := range paths {
		id, err := text(path)
		digits := strings.ReplaceAll(id, "-", "")
		other := strings.Trim(digits, "0123456789abcdefABCDEF")
		if err == nil && len(digits) == 32 && other == "" && len(id) <= 36 {
			return id
		}
	}
	return ""
}

// Topology is what the CPUs that are online are parts of.
type Topology struct{ Cores, Sockets int }

// Topology reads /sys/devices/system/cpu/cpu*/topology, four files for each
// CPU. The error wraps fs.ErrNotExist where the kernel does not tell.
func (r Roots) Topology() (Topology, error) {
	sys, err := sysfs.NewFS(r.sys())
	if err != nil {
		return Topology{}, err
	}
	cpus, err := sys.CPUs()
	if err != nil {
		return Topology{}, err
	}
	// CPUs of one core say the same of their siblings, and so do those of one
	// socket. The ids of cores are only unique within what the vendor likes.
	cores, sockets := make(map[string]bool), make(map[string]bool)
	for _, cpu := range cpus {
		t, err := cpu.Topology()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is offline
		}
		if err != nil {
			return Topology{}, err
		}
		cores[t.ThreadSiblingsList], sockets[t.CoreSiblingsList] = true, true
	}
	if len(cores) == 0 {
		return Topology{}, fmt.Errorf("%s: %w", r.sys("devices/system/cpu/cpu*/topology"), fs.ErrNotExist)
	}
	return Topology{Cores: len(cores), Sockets: len(sockets)}, nil
}
