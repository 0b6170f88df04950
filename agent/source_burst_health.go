package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/burst"
	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// burstHealth is how the burst lane fares: whether the kernel lets pressure be
// watched, and what the bounds have cost.
type burstHealth struct {
	files  *sample.Group // nil if the lane wants no triggers
	there  []cgroup.Opt[bool]
	counts *sample.Group
}

// Positions in the counts group, before the bursts by cause.
const (
	burstsNow = iota
	burstsRefused
	burstsDisplaced
	burstsLeftOut
	burstReadings
	burstsLate
	burstsBlurred
	burstsFailed
	burstTriggers
	burstTriggersLeftOut

	burstsByCause
)

func newBurstHealth(lane *burst.Lane, lanes Lanes) *burstHealth {
	metric := func(t sample.Type, name, help string) sample.Series {
		return sample.Series{Metric: &sample.Metric{Name: "plimsoll_agent_burst_" + name, Help: help, Type: t}}
	}
	h := &burstHealth{counts: &sample.Group{
		Every:  max(lanes.Second, 1),
		Labels: []sample.Label{{Name: "job", Value: "plimsoll-agent"}},
		Series: []sample.Series{
			burstsNow:            metric(sample.Gauge, "containers", "Containers that are read more often than at each tick."),
			burstsRefused:        metric(sample.Counter, "refused_total", "Causes for a burst that began none because too many containers were in burst."),
			burstsDisplaced:      metric(sample.Counter, "displaced_total", "Bursts that did not end by themselves and gave their place to another."),
			burstsLeftOut:        metric(sample.Gauge, "left_out", "Containers for which somebody asked and there is no room."),
			burstReadings:        metric(sample.Counter, "readings_total", "Readings of containers in burst."),
			burstsLate:           metric(sample.Counter, "readings_late_total", "Readings that came so late that a window was half as long again, or longer."),
			burstsBlurred:        metric(sample.Counter, "readings_blurred_total", "Readings left out because they were interrupted for too long to say when they were."),
			burstsFailed:         metric(sample.Counter, "readings_failed_total", "Readings that failed in part or whole."),
			burstTriggers:        metric(sample.Gauge, "triggers", "Descriptors held so that the kernel tells of pressure."),
			burstTriggersLeftOut: metric(sample.Gauge, "triggers_left_out", "Pressures of containers that the kernel does not tell of, for want of descriptors or of permission."),
		},
	}}
	begun := &sample.Metric{Name: "plimsoll_agent_bursts_total", Help: "Bursts, by what began them.", Type: sample.Counter}
	for why := range burst.Cause(burst.Causes) {
		h.counts.Series = append(h.counts.Series, sample.Series{Metric: begun, Labels: []sample.Label{{Name: "cause", Value: why.String()}}})
	}
	if files := lane.Files(); len(files) > 0 {
		h.files = newAvailable(files, lanes.Second).group
	}
	return h
}

func (h *burstHealth) collect(b *sample.Batch, lane *burst.Lane, leftOut int) {
	s := lane.Stats()
	v := b.Add(h.counts)
	v[burstsNow] = float64(s.Groups)
	v[burstsRefused] = float64(s.Refused)
	v[burstsDisplaced] = float64(s.Displaced)
	v[burstsLeftOut] = float64(leftOut)
	v[burstReadings] = float64(s.Readings)
	v[burstsLate] = float64(s.Late)
	v[burstsBlurred] = float64(s.Blurred)
	v[burstsFailed] = float64(s.Failed)
	v[burstTriggers] = float64(s.Triggers)
	v[burstTriggersLeftOut] = float64(s.TriggersLeftOut)
	for why, n := range s.Begun {
		v[burstsByCause+why] = float64(n)
	}
	if h.files == nil {
		return
	}
	h.there = lane.Availability(h.there[:0])
	v = b.Add(h.files)
	for i, there := range h.there {
		switch {
		case there.V:
			v[i] = 1
		case there.OK:
			v[i] = 0
		}
	}
}
