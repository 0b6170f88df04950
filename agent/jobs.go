package agent

import (
	"cmp"
	"slices"
	"strings"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Jobs are the job labels of series that another exporter has by the same
// names. Dashboards and rules select by them.
type Jobs struct {
	// Containers is that of container_* and machine_*, "cadvisor" if empty. A
	// metrics_path may follow behind a comma, which is also a label then:
	// "kubelet,/metrics/cadvisor" is what kube-prometheus selects by.
	Containers string
	Node       string // of node_*, "node-exporter" if empty
	GPU        string // of DCGM_*, "dcgm-exporter" if empty
}

// containerJob are the labels that a Containers of Jobs stands for.
func containerJob(job string) []sample.Label {
	job, path, _ := strings.Cut(cmp.Or(job, "cadvisor"), ",")
	return told([]sample.Label{{Name: "job", Value: job}, {Name: "metrics_path", Value: path}})
}

// nodeJob is the job that series of node_exporter have until they are entered
// with another.
func nodeJob() sample.Label { return sample.Label{Name: "job", Value: "node-exporter"} }

// enter gives groups that are new in a batch, so that nobody else has them yet,
// their lane and the job that was asked for.
func enter(added []sample.Column, lane uint64, jobs Jobs) {
	for _, c := range added {
		if c.Group.Every != 0 {
			continue
		}
		c.Group.Every = max(lane, 1)
		at := slices.Index(c.Group.Labels, nodeJob())
		if jobs.Node != "" && at >= 0 {
			c.Group.Labels = slices.Clone(c.Group.Labels)
			c.Group.Labels[at].Value = jobs.Node
		}
	}
}

// sortLabels puts labels in the order of their names.
func sortLabels(labels []sample.Label) []sample.Label {
	slices.SortFunc(labels, func(a, b sample.Label) int { return strings.Compare(a.Name, b.Name) })
	return labels
}
