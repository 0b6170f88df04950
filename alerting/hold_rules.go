package alerting

import (
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	promrules "github.com/prometheus/prometheus/rules"
)

// verdict is what the rules say of an alert.
type verdict uint8

const (
	noRule    verdict = iota // there is no such rule
	notActive                // they were evaluated and do not call it active
	unheard                  // they could not be evaluated, or were not yet
	pending
	firing
)

// ruleIndex are all alerting rules by the name of their alert.
type ruleIndex map[string]ruleList

// ruleList are rules that may be behind an alert: most often one.
type ruleList []*indexedRule

type indexedRule struct {
	*promrules.AlertingRule
	asked  time.Time                                  // it was evaluated as of then, or later
	states map[model.Fingerprint]promrules.AlertState // of active alerts; nil until asked for
}

func index(groups []*promrules.Group) ruleIndex {
	all := ruleIndex{}
	for _, g := range groups {
		for _, r := range g.AlertingRules() {
			// Looked up before states, which may be of a later evaluation then.
			asked := g.GetLastEvalTimestamp()
			if !asked.IsZero() {
				asked = asked.Add(-g.QueryOffset())
			}
			all[r.Name()] = append(all[r.Name()], &indexedRule{AlertingRule: r, asked: asked})
		}
	}
	return all
}

// of are the rules that may be behind an alert with these labels.
func (x ruleIndex) of(lset model.LabelSet) (list ruleList) {
	for _, r := range x[string(lset[model.AlertNameLabel])] {
		if r.gives(lset) {
			list = append(list, r)
		}
	}
	return list
}

// failing is how many alerts fire whose rules cannot be evaluated.
func (x ruleIndex) failing() (n float64) {
	for _, list := range x {
		for _, r := range list {
			if r.Health() != promrules.HealthBad {
				continue
			}
			for _, a := range r.ActiveAlerts() {
				if a.State == promrules.StateFiring {
					n++
				}
			}
		}
	}
	return n
}

// gives tells whether an alert with these labels may be of the rule, by the
// labels that the rule gives to all of its alerts.
func (r *indexedRule) gives(lset model.LabelSet) bool {
	same := true
	r.Labels().Range(func(l labels.Label) {
		same = same && (strings.Contains(l.Value, "{{") || lset[model.LabelName(l.Name)] == model.LabelValue(l.Value))
	})
	return same
}

// state is what the rule remembers of an alert.
func (r *indexedRule) state(fp model.Fingerprint) (promrules.AlertState, bool) {
	if r.states == nil {
		r.states = map[model.Fingerprint]promrules.AlertState{}
		for _, a := range r.ActiveAlerts() {
			r.states[labelSet(a.Labels).Fingerprint()] = a.State
		}
	}
	s, ok := r.states[fp]
	return s, ok
}

// judge is what the rules say of an alert; of several, what says most counts.
func (l ruleList) judge(a *alert.Alert) (v verdict) {
	fp := a.Fingerprint()
	for _, r := range l {
		says := notActive
		switch state, active := r.state(fp); {
		case active && state == promrules.StateFiring:
			says = firing
		case active:
			says = pending
		case r.Health() != promrules.HealthGood:
			says = unheard
		}
		v = max(v, says)
	}
	return v
}

// asked is as of when the rules had all been evaluated last.
func (l ruleList) asked() (oldest time.Time) {
	for i, r := range l {
		if i == 0 || r.asked.Before(oldest) {
			oldest = r.asked
		}
	}
	return oldest
}

func (l ruleList) exprs() []string {
	list := make([]string, len(l))
	for i, r := range l {
		list[i] = r.Query().String()
	}
	return list
}
