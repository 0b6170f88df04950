package node

import "bytes"

// UserHZ is the number of ticks in a second of CPU time. Linux has told user
// space 100 on every architecture since 2.6, whatever the kernel's own HZ.
const UserHZ = 100

// Mode is a way for a CPU to spend its time: a column of the cpu lines of
// /proc/stat, as proc(5) names them.
type Mode int

// The modes. User contains Guest, and Nice contains GuestNice.
const (
	User Mode = iota
	Nice
	System
	Idle
	IOWait
	IRQ
	SoftIRQ
	Steal
	Guest
	GuestNice
	NumModes
)

// CPU is what one CPU has done since boot.
type CPU struct {
	ID    int
	Ticks [NumModes]uint64 // of 1/UserHZ s
	Modes Mode             // how many of them this kernel counts: all since 2.6.33, 4 at least
}

// Stat is the content of /proc/stat.
type Stat struct {
	CPUs            []CPU // that are online, in the kernel's order
	Interrupts      Number
	ContextSwitches Number
	BootTime        Number // seconds since 1970
	Forks           Number
	Running         Number // runnable threads now
	Blocked         Number // threads waiting for disks now
}

// Stat reads /proc/stat into s, which keeps its memory from call to call.
func (r *Reader) Stat(s *Stat) error {
	data, err := r.read(&r.stat)
	if err != nil {
		return err
	}
	return in(&r.stat, parseStat(data, s))
}

// parseStat reads lines such as
//
//	cpu0 6986 8585 4023 101721 86 0 41 31 0 0
//	intr 1050979 0 0 0 …
//	ctxt 1612407
func parseStat(data []byte, s *Stat) error {
	*s = Stat{CPUs: s.CPUs[:0]}
	if len(data) == 0 {
		return malformed("empty", nil)
	}
	for len(data) > 0 {
		line, rest, err := cutLine(data)
		if err != nil {
			return err
		}
		data = rest
		key, values := cutField(line)
		switch string(key) {
		case "cpu":
			continue // the sum of the others
		case "intr":
			s.Interrupts, err = number(values)
		case "ctxt":
			s.ContextSwitches, err = number(values)
		case "btime":
			s.BootTime, err = number(values)
		case "processes":
			s.Forks, err = number(values)
		case "procs_running":
			s.Running, err = number(values)
		case "procs_blocked":
			s.Blocked, err = number(values)
		default:
			if id, ok := bytes.CutPrefix(key, []byte("cpu")); ok {
				var cpu *CPU
				s.CPUs, cpu = extend(s.CPUs)
				err = parseCPU(id, values, cpu)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parseCPU(id, values []byte, cpu *CPU) error {
	n, ok := parseUint(id)
	if !ok || n > 1<<20 {
		return malformed("CPU number", id)
	}
	*cpu = CPU{ID: int(n)}
	modes, err := uints(values, cpu.Ticks[:])
	if err != nil {
		return err
	}
	if modes <= int(Idle) {
		return malformed("CPU line too short", values)
	}
	cpu.Modes = Mode(modes)
	return nil
}

// hotplug is how far idle time goes back at least when a CPU was taken out and
// put in again, and its account started anew.
const hotplug = 3 * UserHZ

// NotBefore keeps each of c's counts from falling below the one of last, an
// earlier reading of the same CPU. The kernel computes idle and iowait on
// other CPUs' behalf and may take a tick back, which would pass for a counter
// reset and a rate of millions. When the CPU did start anew, c stays as read.
func (c *CPU) NotBefore(last *CPU) {
	if last.Ticks[Idle] >= c.Ticks[Idle]+hotplug {
		return
	}
	for m := range c.Ticks {
		c.Ticks[m] = max(c.Ticks[m], last.Ticks[m])
	}
}
