package agent

import (
	"cmp"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/gpu"
)

// ProcessOwner tells by the /proc of the node, "/proc" if proc is empty, which
// container a process is in: its id, empty if it is in none or gone. The numbers
// of processes must be those of that /proc, as they are in the node's pid
// namespace.
func ProcessOwner(proc string) func(pid int) string {
	proc = cmp.Or(proc, "/proc")
	return func(pid int) string {
		paths, err := gpu.Cgroups(proc, uint32(pid))
		if err != nil {
			return ""
		}
		for _, path := range paths {
			if owner, ok := discover.Owner(path); ok {
				return owner.ID
			}
		}
		return ""
	}
}
