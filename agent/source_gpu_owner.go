package agent

import (
	"slices"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/gpu"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// gpuOwners tells which container a process is in. To look is to read a file of
// /proc, so what was found is kept, for processes in no container too, as long
// as the process uses a GPU; a look now and then finds a number that went to
// another process.
type gpuOwners struct {
	opts   GPUOptions
	naming naming
	series []sample.Series // of a user: memory, multiprocessors

	version    uint64
	containers map[string]*discover.Container // by cgroup; nil before the first list
	byID       map[string]*discover.Container
	processes  map[uint32]*gpuProcess
}

// gpuProcess is a process that uses a GPU.
type gpuProcess struct {
	cgroup string // of its container; empty if it is in none
	seen   bool   // in this snapshot
}

func newGPUOwners(opts GPUOptions) *gpuOwners {
	return &gpuOwners{
		opts:   opts,
		naming: newNaming(opts.Labels),
		series: []sample.Series{
			{Metric: &sample.Metric{Name: "plimsoll_container_gpu_memory_used_bytes", Help: "Memory of the GPU that the container uses. What no container uses is in a series without one.", Type: sample.Gauge, Unit: "bytes"}},
			{Metric: &sample.Metric{Name: "plimsoll_container_gpu_sm_utilization_ratio", Help: "Share of time that the container had the GPU's multiprocessors.", Type: sample.Gauge}},
		},
		processes: make(map[uint32]*gpuProcess),
	}
}

// begin prepares for a snapshot. With anew every process is looked for again, as
// it is when there are other containers than before.
func (o *gpuOwners) begin(anew bool) {
	version, list := o.opts.Containers()
	if o.containers == nil || version != o.version {
		o.version, anew = version, true
		o.containers = make(map[string]*discover.Container, len(list))
		o.byID = make(map[string]*discover.Container, len(list))
		for i := range list {
			o.containers[list[i].Cgroup] = &list[i]
			if list[i].ID != "" {
				o.byID[list[i].ID] = &list[i]
			}
		}
	}
	if anew {
		clear(o.processes)
	}
}

// of is the cgroup of the container that a process is in, empty if it is in none
// or gone.
func (o *gpuOwners) of(pid uint32) string {
	p := o.processes[pid]
	if p == nil {
		p = &gpuProcess{cgroup: o.look(pid)}
		o.processes[pid] = p
	}
	p.seen = true
	return p.cgroup
}

func (o *gpuOwners) look(pid uint32) string {
	paths, err := gpu.Cgroups(o.opts.Proc, pid)
	if err != nil {
		return "" // it is gone, or /proc is not that of the node
	}
	for _, path := range paths {
		owner, ok := discover.Owner(path)
		if !ok {
			continue
		}
		if c := o.containers[owner.Cgroup]; c != nil {
			return c.Cgroup
		}
		// From inside a cgroup namespace only the end of the path is true.
		if c := o.byID[owner.ID]; c != nil {
			return c.Cgroup
		}
	}
	return ""
}

// settle ends a snapshot: what was kept of processes that it did not have goes.
func (o *gpuOwners) settle() {
	for pid, p := range o.processes {
		if !p.seen {
			delete(o.processes, pid)
		}
		p.seen = false
	}
}

// labels are those of a container's own series but for the job; none if cgroup
// is empty.
func (o *gpuOwners) labels(cgroup string) []sample.Label {
	c := o.containers[cgroup]
	if c == nil {
		return nil
	}
	return slices.DeleteFunc(o.naming.of(c), func(l sample.Label) bool { return l.Name == "job" })
}
