package agent

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/gpu"
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// jobsIn are the job labels in a batch, with the metrics_path behind a comma if
// there is one.
func jobsIn(b *sample.Batch) []string {
	found := make(map[string]bool)
	for _, c := range b.Columns {
		job := ""
		for _, l := range c.Group.Labels {
			switch l.Name {
			case "job":
				job = l.Value + job
			case "metrics_path":
				job += "," + l.Value
			}
		}
		found[job] = true
	}
	return slices.Sorted(maps.Keys(found))
}

func TestJobsOfSeries(t *testing.T) {
	containers := func(t *testing.T, jobs Jobs) *sample.Batch {
		h := newHarbour(t, "v1", web())
		h.source.Close()
		h.jobs = jobs
		h.open(cgroup.Options{Root: h.root, MaxOpen: 1})
		h.sail()
		return &h.batch
	}
	collect := func(t *testing.T, s Source) *sample.Batch {
		var b sample.Batch
		b.Reset(0, time.Unix(1_800_000_000, 0))
		if err := s.Collect(context.Background(), &b); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	roots := node.Roots{Proc: "node/testdata/kernel-6.18/proc", Sys: "node/testdata/kernel-6.18/sys"}
	nodes := func(t *testing.T, jobs Jobs) *sample.Batch {
		s := newNodeSource(NodeOptions{Roots: roots, Lanes: DefaultLanes(), Jobs: jobs}, node.ReadUname)
		t.Cleanup(func() { s.Close() })
		return collect(t, s)
	}
	hosts := func(t *testing.T, jobs Jobs) *sample.Batch {
		opts := hostOptions("node/testdata/metal")
		opts.Jobs = jobs
		s := newHostSource(opts, berth, steadyClock)
		t.Cleanup(func() { s.Close() })
		return collect(t, s)
	}
	gpus := func(t *testing.T, jobs Jobs) *sample.Batch {
		n := newGPUNode(t)
		n.source.opts.Jobs = jobs
		n.read(&gpu.Snapshot{Devices: []gpu.Device{{UUID: "GPU-aa"}}})
		return n.tick()
	}
	tests := map[string]struct {
		of   func(*testing.T, Jobs) *sample.Batch
		jobs Jobs
		want []string
	}{
		"of containers are cadvisor's":         {containers, Jobs{}, []string{"cadvisor", "plimsoll-agent"}},
		"of containers may be others":          {containers, Jobs{Containers: "shop/cadvisor"}, []string{"plimsoll-agent", "shop/cadvisor"}},
		"of containers may have a path behind": {containers, Jobs{Containers: "kubelet,/metrics/cadvisor"}, []string{"kubelet,/metrics/cadvisor", "plimsoll-agent"}},
		"of the node are node_exporter's":      {nodes, Jobs{Containers: "x", GPU: "x"}, []string{"node-exporter", "plimsoll-agent"}},
		"of the node may be others":            {nodes, Jobs{Node: "node"}, []string{"node", "plimsoll-agent"}},
		"of the host are node_exporter's":      {hosts, Jobs{}, []string{"node-exporter", "plimsoll-agent"}},
		"of the host may be others":            {hosts, Jobs{Node: "node"}, []string{"node", "plimsoll-agent"}},
		"of GPUs are dcgm-exporter's":          {gpus, Jobs{}, []string{"dcgm-exporter", "plimsoll-agent"}},
		"of GPUs may be others":                {gpus, Jobs{GPU: "dcgm"}, []string{"dcgm", "plimsoll-agent"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, jobsIn(tt.of(t, tt.jobs))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
