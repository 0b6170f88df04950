package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// cgroupHealth is how the reading of containers fares: which files there are to
// be read, and what the bounds have cost.
type cgroupHealth struct {
	files  *sample.Group
	there  []cgroup.Opt[bool]
	counts *sample.Group

	errors                          *sample.Group
	containersFailed, machineFailed bool // since that was last told
}

// Positions in the counts group.
const (
	containersNow = iota
	descriptorsNow
	labelsCut
	remainsDropped
)

// Positions in the errors group.
const (
	containerError = iota
	machineError
)

func newCgroupHealth(fs *cgroup.FS, opts CgroupOptions) *cgroupHealth {
	files, lane := fs.Files(), opts.Lanes.Third
	for i, name := range files {
		files[i] = "cgroup/" + name
	}
	return &cgroupHealth{
		files: newAvailable(files, lane).group,
		counts: &sample.Group{
			Every:  max(lane, 1),
			Labels: []sample.Label{{Name: "job", Value: "plimsoll-agent"}},
			Series: []sample.Series{
				containersNow:  {Metric: &sample.Metric{Name: "plimsoll_agent_containers", Help: "Containers that are read.", Type: sample.Gauge}},
				descriptorsNow: {Metric: &sample.Metric{Name: "plimsoll_agent_cgroup_descriptors", Help: "Descriptors kept open to read containers.", Type: sample.Gauge}},
				labelsCut:      {Metric: &sample.Metric{Name: "plimsoll_agent_container_labels_mended_total", Help: "Names, images and labels of containers that were too long or no text.", Type: sample.Counter}},
				remainsDropped: {Metric: &sample.Metric{Name: "plimsoll_agent_container_remains_dropped_total", Help: "Containers whose last series ended early because too many had ended.", Type: sample.Counter}},
			},
		},
		errors: &sample.Group{
			Every:  max(lane, 1),
			Labels: containerJob(opts.Jobs.Containers),
			Series: []sample.Series{
				containerError: {Metric: &sample.Metric{Name: "container_scrape_error", Help: "1 if something of a container could not be read since this was last told, 0 otherwise.", Type: sample.Gauge}},
				machineError:   {Metric: &sample.Metric{Name: "machine_scrape_error", Help: "1 if something of the machine could not be read since this was last told, 0 otherwise.", Type: sample.Gauge}},
			},
		},
	}
}

func (h *cgroupHealth) collect(b *sample.Batch, s *cgroupSource) {
	h.there = s.fs.Availability(h.there[:0])
	v := b.Add(h.files)
	for i, there := range h.there {
		switch {
		case there.V:
			v[i] = 1
		case there.OK:
			v[i] = 0
		}
	}
	v = b.Add(h.counts)
	v[containersNow] = 0
	for _, c := range s.containers {
		if c.is.Kind != discover.Pod {
			v[containersNow]++
		}
	}
	v[descriptorsNow] = float64(s.fs.Opened())
	v[labelsCut] = float64(s.naming.cut)
	v[remainsDropped] = float64(s.remains.dropped + s.brief.unattended)

	v = b.Add(h.errors)
	v[containerError], v[machineError] = 0, 0
	if h.containersFailed {
		v[containerError] = 1
	}
	if h.machineFailed {
		v[machineError] = 1
	}
	h.containersFailed, h.machineFailed = false, false
}
