package gate

import (
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// What tells the collector's own series, and those of agents, from the rest.
const (
	// AgentJob is the job of up, which says whether an agent is there.
	AgentJob = "plimsoll-agent"
	// CollectorJob is the job of what the collector says of itself.
	CollectorJob = "plimsoll-collector"
	// NodeLabel is on all series of an agent, with the node's name, and so is
	// the label instance with InstancePort behind it: dashboards made for
	// node_exporter find what they expect.
	NodeLabel    = "node"
	InstancePort = ":9100"
)

const (
	// ownPrefix begins the names of what the collector writes about streams,
	// and believes at its next start.
	ownPrefix = "plimsoll_ingest_"
	upName    = "up"
	// Rules write these, and restore their state from the second.
	alertsName      = "ALERTS"
	alertsStateName = "ALERTS_FOR_STATE"
)

// Series tells why an agent's series is not wanted. pairs are its label names
// and values in turn, in any order.
func (l Limits) Series(name string, pairs []string) Reason {
	if why := l.name(name); why != "" {
		return why
	}
	if len(pairs)/2 > int(l.LabelsPerSeries) {
		return Labels
	}
	size := len(name)
	for i := 0; i+1 < len(pairs); i += 2 {
		key, value := pairs[i], pairs[i+1]
		size += len(key) + len(value)
		if why := l.label(key, value); why != "" {
			return why
		}
		switch {
		case key == model.MetricNameLabel:
			return Reserved
		case name == upName && key == model.JobLabel && value == AgentJob:
			return Reserved // whether an agent is there is not for it to say
		}
	}
	if size > int(l.SeriesBytes) {
		return TooLong
	}
	return ""
}

// Outside tells why a series is not wanted that came by a protocol of others.
// Its labels are its own, as long as they are not those of an agent's series:
// two writers of one series would lose samples. They are sorted by name, as
// every labels.Labels should be.
func (l Limits) Outside(series labels.Labels) Reason {
	if why := l.name(series.Get(model.MetricNameLabel)); why != "" {
		return why
	}
	var (
		why                           Reason
		previous, job, node, instance string
		count, size                   int
	)
	series.Range(func(at labels.Label) {
		switch {
		case why != "":
			return
		case at.Name == previous && previous != "":
			why = Twice
			return
		}
		switch at.Name {
		case model.JobLabel:
			job = at.Value
		case model.InstanceLabel:
			instance = at.Value
		case NodeLabel:
			node = at.Value
		}
		previous = at.Name
		count++
		size += len(at.Name) + len(at.Value)
		why = l.label(at.Name, at.Value)
	})
	switch {
	case why != "":
		return why
	case count-1 > int(l.LabelsPerSeries): // the name is among them
		return Labels
	case size > int(l.SeriesBytes):
		return TooLong
	case job == AgentJob || job == CollectorJob:
		return Identity
	case node != "" && strings.TrimSuffix(instance, InstancePort) == node && instance != node:
		return Identity
	}
	return ""
}

func (l Limits) name(name string) Reason {
	switch {
	case name == "":
		return NoName
	case len(name) > int(l.LabelValueBytes):
		return LabelValue
	case !utf8.ValidString(name):
		return UTF8
	case strings.HasPrefix(name, ownPrefix), name == alertsName, name == alertsStateName:
		return Reserved
	}
	return ""
}

func (l Limits) label(key, value string) Reason {
	switch {
	case len(key) > int(l.LabelNameBytes):
		return LabelName
	case len(value) > int(l.LabelValueBytes):
		return LabelValue
	case !utf8.ValidString(key) || !utf8.ValidString(value):
		return UTF8
	case key == "":
		return NoName
	}
	return ""
}
