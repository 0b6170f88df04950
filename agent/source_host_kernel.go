package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func openFiles(r node.Roots) func() ([]float64, error) {
	return func() ([]float64, error) {
		f, err := r.Files()
		return valuesOf(f.Allocated, f.Maximum), err
	}
}

func newHostFiles() *hostValues {
	return &hostValues{newNodeGroup(
		gauge("node_filefd_allocated", "Files that are open, of all processes."),
		gauge("node_filefd_maximum", "Most files that can be open."),
	)}
}

func entropy(r node.Roots) func() ([]float64, error) {
	return func() ([]float64, error) {
		e, err := r.Entropy()
		return valuesOf(e.Available, e.PoolSize), err
	}
}

func newHostEntropy() *hostValues {
	return &hostValues{newNodeGroup(
		gauge("node_entropy_available_bits", "Entropy that the random number generator has."),
		gauge("node_entropy_pool_size_bits", "Most entropy that it can have."),
	)}
}

func newHostSchedules() *hostTable[node.Schedule] {
	seconds := func(name, help string) sample.Series {
		return sample.Series{Metric: &sample.Metric{
			Name: "node_schedstat_" + name + "_seconds_total", Help: help, Type: sample.Counter, Unit: "seconds", Divisor: 1e9,
		}}
	}
	series := []sample.Series{
		seconds("running", "Time that threads ran on the CPU."),
		seconds("waiting", "Time that threads were ready to run on the CPU and waited for it."),
		{Metric: &sample.Metric{Name: "node_schedstat_timeslices_total", Help: "Times that a thread was put on the CPU.", Type: sample.Counter}},
	}
	return newHostTable("cpu", series,
		func(s *node.Schedule) string { return s.CPU },
		func(s *node.Schedule) []float64 {
			return []float64{float64(s.Running) / 1e9, float64(s.Waiting) / 1e9, float64(s.Timeslices)}
		})
}

func processes(r node.Roots) func() ([]float64, error) {
	return func() ([]float64, error) {
		p, err := r.Processes()
		return append(valuesOf(p.Processes, p.Threads, p.MaxProcesses, p.MaxThreads), valuesOf(p.States[:]...)...), err
	}
}

func newHostProcesses() *hostValues {
	series := []sample.Series{
		gauge("node_processes_pids", "Processes there are."),
		gauge("node_processes_threads", "Threads there are."),
		gauge("node_processes_max_processes", "Most processes and threads there can be, by pid_max."),
		gauge("node_processes_max_threads", "Most threads there can be."),
	}
	state := &sample.Metric{Name: "node_processes_state", Help: "Processes in each state, by the letter of ps(1).", Type: sample.Gauge}
	for _, letter := range node.ProcessStates {
		series = append(series, sample.Series{Metric: state, Labels: []sample.Label{{Name: "state", Value: string(letter)}}})
	}
	return &hostValues{newNodeGroup(series...)}
}
