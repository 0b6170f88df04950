package node

import "github.com/prometheus/procfs"

// Schedule is how one CPU was shared, as its scheduler counts.
type Schedule struct {
	CPU        string
	Running    uint64 // ns that tasks ran
	Waiting    uint64 // ns that tasks were ready and waited
	Timeslices uint64
}

// Schedules reads /proc/schedstat, which kernels without CONFIG_SCHEDSTATS do
// not have.
func (r Roots) Schedules() ([]Schedule, error) {
	fs, err := procfs.NewFS(r.proc())
	if err != nil {
		return nil, err
	}
	stat, err := fs.Schedstat()
	if err != nil {
		return nil, err
	}
	all := make([]Schedule, len(stat.CPUs))
	for i, cpu := range stat.CPUs {
		all[i] = Schedule{cpu.CPUNum, cpu.RunningNanoseconds, cpu.WaitingNanoseconds, cpu.RunTimeslices}
	}
	return all, nil
}
