package node

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
)

// ProcessStates are the letters that proc_pid_stat(5) gives the states of
// processes on kernels since 3.13.
const ProcessStates = "RSDTtZXI"

// Processes is how many processes and threads the machine has, and may have.
type Processes struct {
	Processes    Number
	Threads      Number
	States       [len(ProcessStates)]Number // of processes, in the order of ProcessStates
	MaxProcesses Number
	MaxThreads   Number
}

// Processes reads the stat file of every process: about 10 µs each.
func (r Roots) Processes() (Processes, error) {
	var p Processes
	proc, err := procfs.NewFS(r.proc())
	if err != nil {
		return p, err
	}
	all, err := proc.AllProcs()
	if err != nil {
		return p, err
	}
	p.Processes.Known, p.Threads.Known = true, true
	for i := range p.States {
		p.States[i].Known = true
	}
	for _, one := range all {
		stat, err := one.Stat()
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended since it was listed
		}
		if err != nil {
			return Processes{}, err
		}
		p.Processes.Value++
		p.Threads.Value += uint64(max(stat.NumThreads, 0))
		if at := strings.Index(ProcessStates, stat.State); at >= 0 && len(stat.State) == 1 {
			p.States[at].Value++
		}
	}
	if p.MaxProcesses, err = attribute(r.proc("sys/kernel/pid_max")); err != nil {
		return p, err
	}
	p.MaxThreads, err = attribute(r.proc("sys/kernel/threads-max"))
	return p, err
}
