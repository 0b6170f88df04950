package push

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// exported names labels that tell who or where somebody is, or which part of a
// histogram this is. What a sender calls so is renamed, as Prometheus does with
// the labels of a target.
func exported(name string) bool {
	switch name {
	case "job", "instance", "node", "agent", "id", "name", "image", "container", "pod", "namespace", "container_id", "le", "quantile":
		return true
	}
	return strings.HasPrefix(name, "container_label_")
}

// reservedName tells whether only Prometheus or the agent itself may call a
// metric so: rules and the scaler trust what these names say.
func reservedName(name string) bool {
	for _, prefix := range [...]string{"__", "plimsoll_", "container_", "machine_", "node_", "DCGM_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "up" || name == "ALERTS" || name == "ALERTS_FOR_STATE"
}

// Job makes a sender's own name for itself fit for the label job. Those of the
// agent's and the collector's own series are renamed.
func Job(name string) string {
	switch name {
	case "cadvisor", "node-exporter", "dcgm-exporter", "statsd":
		return "exported_" + name
	}
	if strings.HasPrefix(name, "plimsoll") {
		return "exported_" + name
	}
	return name
}

// Labels are being gathered for a point. The zero Labels is empty; Reset keeps
// its memory.
type Labels struct {
	list   []pair
	result []sample.Label
}

type pair struct{ name, key, value string }

// Reset empties l.
func (l *Labels) Reset() { l.list = l.list[:0] }

// Add adds a label: its name, made of the key that the sender has for it. A label
// without a value is none.
func (l *Labels) Add(name, key, value string) {
	if value == "" {
		return
	}
	if exported(name) {
		name = "exported_" + name
	}
	l.list = append(l.list, pair{name, key, value})
}

// settle returns the labels sorted by name, and whether they are within limits.
// A sender that is named has its name as exported_instance, so no label of its
// points is called so.
// Keys that come to the same name share it: the values stand side by side in
// the order of the keys, as OpenTelemetry's rules for Prometheus have it. The
// result is good until the next call.
func (l *Labels) settle(limits *Options, named bool) ([]sample.Label, Reason) {
	if len(l.list) > limits.Labels {
		return nil, TooManyLabels
	}
	for i := range l.list {
		if p := &l.list[i]; named && p.name == "exported_instance" {
			p.name = "exported_" + p.name
		}
	}
	slices.SortStableFunc(l.list, func(a, b pair) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.key, b.key))
	})
	l.result = l.result[:0]
	for _, p := range l.list {
		switch {
		case !utf8.ValidString(p.name) || !utf8.ValidString(p.value):
			return nil, BadUTF8
		case p.name == "" || strings.HasPrefix(p.name, "__"):
			return nil, Reserved
		case len(p.name) > limits.NameBytes:
			return nil, TooLong
		}
		if last := len(l.result) - 1; last >= 0 && l.result[last].Name == p.name {
			l.result[last].Value += ";" + p.value
		} else {
			l.result = append(l.result, sample.Label{Name: p.name, Value: p.value})
		}
		if len(l.result[len(l.result)-1].Value) > limits.ValueBytes {
			return nil, TooLong
		}
	}
	return l.result, 0
}

// Len is the number of labels so far.
func (l *Labels) Len() int { return len(l.list) }
