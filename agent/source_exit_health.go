package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/exit"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// exitHealth is how the following of containers to their end fares.
type exitHealth struct{ group *sample.Group }

// Positions in its group, before the priorities.
const (
	exitFollowed = iota
	exitUnheard
	exitUnfollowed
	exitMissed
	exitEnds
	exitIncomplete
	exitNameless
	exitDropped
	exitServices
	exitServicesDropped
	exitEndedDropped
	exitReaderCPU

	exitPriorities
)

func newExitHealth(lane uint64) *exitHealth {
	metric := func(t sample.Type, name, help string) sample.Series {
		return sample.Series{Metric: &sample.Metric{Name: "plimsoll_agent_" + name, Help: help, Type: t}}
	}
	h := &exitHealth{&sample.Group{
		Every:  max(lane, 1),
		Labels: []sample.Label{{Name: "job", Value: "plimsoll-agent"}},
		Series: []sample.Series{
			exitFollowed:        metric(sample.Gauge, "exit_followed", "Containers whose end is waited for."),
			exitUnheard:         metric(sample.Gauge, "exit_unheard", "Containers whose end is waited for without the kernel telling of it, so that it may be noticed too late."),
			exitUnfollowed:      metric(sample.Counter, "exit_unfollowed_total", "Times that a container was one too many to be followed to its end."),
			exitMissed:          metric(sample.Counter, "exits_missed_total", "Containers that were gone before they could be read once, or never had a process."),
			exitEnds:            metric(sample.Counter, "exits_total", "Containers that were followed to their end."),
			exitIncomplete:      metric(sample.Counter, "exits_incomplete_total", "Containers that were gone before they could be read at their end, so that what they used last is not told."),
			exitNameless:        metric(sample.Counter, "exits_nameless_total", "Containers that ended and never got the name that was waited for."),
			exitDropped:         metric(sample.Counter, "exits_dropped_total", "Ends of containers, and requests to follow one, for which there was no room."),
			exitServices:        metric(sample.Gauge, "exit_services", "Services that have counters."),
			exitServicesDropped: metric(sample.Counter, "exit_services_dropped_total", "Services that lost their counters, or got none, because there were too many."),
			exitEndedDropped:    metric(sample.Counter, "exit_containers_dropped_total", "Containers whose rows ended early because too many had ended."),
			exitReaderCPU:       {Metric: &sample.Metric{Name: "plimsoll_agent_exit_reader_cpu_seconds_total", Help: "CPU time used by the thread that reads containers at their end.", Type: sample.Counter, Unit: "seconds", Divisor: 1e6}},
		},
	}}
	priority := &sample.Metric{Name: "plimsoll_agent_exit_reader_priority", Help: "1 for the priority of the thread that reads containers at their end: rr (real-time), nice, or none, with which ends on a busy node are read too late.", Type: sample.Gauge}
	for p := range exit.NoPriority + 1 {
		h.group.Series = append(h.group.Series, sample.Series{Metric: priority, Labels: []sample.Label{{Name: "policy", Value: p.String()}}})
	}
	return h
}

func (h *exitHealth) collect(b *sample.Batch, s *exitSource) {
	stats := s.opts.Stats()
	v := b.Add(h.group)
	v[exitFollowed] = float64(stats.Followed)
	v[exitUnheard] = float64(stats.Unheard)
	v[exitUnfollowed] = float64(stats.Unfollowed)
	v[exitMissed] = float64(stats.Missed)
	v[exitEnds] = float64(stats.Ends)
	v[exitIncomplete] = float64(stats.Incomplete)
	v[exitNameless] = float64(stats.Nameless)
	v[exitDropped] = float64(stats.Dropped + s.missed)
	v[exitServices] = float64(len(s.services.list))
	v[exitServicesDropped] = float64(s.services.dropped)
	v[exitEndedDropped] = float64(s.ended.dropped)
	v[exitReaderCPU] = float64(stats.CPU.Microseconds()) / 1e6
	for p := range exit.NoPriority + 1 {
		v[exitPriorities+int(p)] = 0
		if p == stats.Priority {
			v[exitPriorities+int(p)] = 1
		}
	}
}
