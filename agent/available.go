package agent

import "github.com/plimsoll-io/plimsoll/agent/sample"

// available tells of each file that a source wants whether it could be read
// the last time, so that an absent series has a reason that can be looked up.
type available struct {
	group *sample.Group
	ok    []bool
}

func newAvailable(files []string, lane uint64) *available {
	a := &available{
		group: &sample.Group{Labels: []sample.Label{{Name: "job", Value: "plimsoll-agent"}}, Every: max(lane, 1)},
		ok:    make([]bool, len(files)),
	}
	metric := &sample.Metric{Name: "plimsoll_agent_source_available", Help: "1 if the agent can read this file of the kernel, 0 if not; its series are absent then.", Type: sample.Gauge}
	for _, file := range files {
		a.group.Series = append(a.group.Series, sample.Series{Metric: metric, Labels: []sample.Label{{Name: "file", Value: file}}})
	}
	return a
}

func (a *available) add(b *sample.Batch) {
	v := b.Add(a.group)
	for i, ok := range a.ok {
		v[i] = 0
		if ok {
			v[i] = 1
		}
	}
}
