package alerting

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

// Explanation is all there is to know of why an alert was, or was not, told.
type Explanation struct {
	Fingerprint string            `json:"fingerprint,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// State is "firing", "pending", "resolved" or "inactive".
	State string `json:"state"`
	// Verdict is the answer in a sentence.
	Verdict     string            `json:"verdict"`
	Since       time.Time         `json:"since,omitzero"`  // when it began to fire
	EndsAt      time.Time         `json:"endsAt,omitzero"` // set if it is over
	Rule        *RuleState        `json:"rule,omitempty"`  // nil if it came from elsewhere, by the API
	SilencedBy  []history.Silence `json:"silencedBy,omitempty"`
	InhibitedBy []Inhibitor       `json:"inhibitedBy,omitempty"`
	Routes      []RouteState      `json:"routes,omitempty"` // that it takes; none before it fires
}

// RuleState is what a rule says of an alert.
type RuleState struct {
	Group         string    `json:"group"`
	File          string    `json:"file"`
	Expr          string    `json:"expr"`
	For           float64   `json:"forSeconds"`
	KeepFiringFor float64   `json:"keepFiringForSeconds"`
	Value         *float64  `json:"value,omitempty"` // as evaluated last; absent if the expression gives none
	ActiveSince   time.Time `json:"activeSince,omitzero"`
	FiresAt       time.Time `json:"firesAt,omitzero"`   // of a pending alert, if its expression goes on giving a value
	KeptSince     time.Time `json:"keptSince,omitzero"` // the condition is over since then, and keep_firing_for is not
	Held          string    `json:"held,omitempty"`     // why it fires though the rule cannot know
	Health        string    `json:"health"`             // "ok", "err" or "unknown"
	Problem       string    `json:"problem,omitempty"`  // of the last evaluation
	Evaluated     time.Time `json:"evaluated,omitzero"` // last
	Interval      float64   `json:"intervalSeconds"`    // between evaluations
}

// Inhibitor is an alert that holds another one back.
type Inhibitor struct {
	Fingerprint string            `json:"fingerprint"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// RouteState is the group that an alert is in at a route, and what became of it.
type RouteState struct {
	Receiver string `json:"receiver"`
	// Matchers are those of the route and of its parents, outermost first.
	Matchers       []string          `json:"matchers,omitempty"`
	Group          string            `json:"group"` // its key, as in messages
	GroupLabels    map[string]string `json:"groupLabels"`
	GroupWait      float64           `json:"groupWaitSeconds"`
	GroupInterval  float64           `json:"groupIntervalSeconds"`
	RepeatInterval float64           `json:"repeatIntervalSeconds"`
	LastFlush      time.Time         `json:"lastFlush,omitzero"` // when it was last considered
	NextFlush      time.Time         `json:"nextFlush,omitzero"`
	MutedBy        []string          `json:"mutedBy,omitempty"` // time intervals
	OthersTurn     bool              `json:"othersTurn"`        // of a pair, the other collector tells, and this one if that does not
	Integrations   []Told            `json:"integrations"`
}

// Told is whether an integration has told of an alert.
type Told struct {
	Integration
	// This is whether what it sent last for the group had this alert in it, as
	// firing.
	This     bool      `json:"told"`
	At       time.Time `json:"toldAt,omitzero"`   // when it last sent anything for the group
	RepeatAt time.Time `json:"repeatAt,omitzero"` // when it is sent again if nothing changes
}

// maxExplained is how many alerts are explained at once.
const maxExplained = 20

// Explain explains the alerts whose labels all match, those that fire first. If
// there are none but rules of that name, it explains why those are inactive. It
// tells how many there are that it leaves out.
func (a *Alerting) Explain(ctx context.Context, match func(model.LabelSet) bool) (list []Explanation, more int, err error) {
	if a.am.handler.Load() == nil {
		return nil, 0, errNotRunning
	}
	found := map[model.Fingerprint]*Explanation{}
	a.am.explain(match, found)
	idle := a.explainRules(match, found)
	for _, e := range found {
		list = append(list, *e)
	}
	if len(list) == 0 {
		list = idle
	}
	order := []string{"firing", "pending", "resolved", "inactive"}
	slices.SortFunc(list, func(a, b Explanation) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State)), b.Since.Compare(a.Since),
			cmp.Compare(a.Labels["alertname"], b.Labels["alertname"]), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	if len(list) > maxExplained {
		list, more = list[:maxExplained], len(list)-maxExplained
	}
	now := time.Now()
	for i := range list {
		if list[i].State == "firing" || list[i].State == "resolved" {
			if err := a.am.follow(ctx, &list[i], now); err != nil {
				return nil, 0, err
			}
		}
		list[i].Verdict = list[i].verdict(now)
	}
	return list, more, nil
}

// explain adds what the pipeline has.
func (am *alertmanager) explain(match func(model.LabelSet) bool, to map[model.Fingerprint]*Explanation) {
	all := am.alerts.GetPending()
	defer all.Close()
	for from := range all.Next() {
		a := from.Data
		if !match(a.Labels) {
			continue
		}
		e := &Explanation{
			Fingerprint: a.Fingerprint().String(), Labels: plain(a.Labels), Annotations: plain(a.Annotations),
			State: "firing", Since: a.StartsAt,
		}
		if a.Resolved() {
			e.State, e.EndsAt = "resolved", a.EndsAt
		}
		to[a.Fingerprint()] = e
	}
}

// explainRules adds what rules say, and returns the rules that match and say
// nothing.
func (a *Alerting) explainRules(match func(model.LabelSet) bool, to map[model.Fingerprint]*Explanation) (idle []Explanation) {
	for _, g := range a.rules.RuleGroups() {
		for _, r := range g.AlertingRules() {
			active := r.ActiveAlerts()
			for _, from := range active {
				lset := labelSet(from.Labels)
				if !match(lset) {
					continue
				}
				fp := lset.Fingerprint()
				e := to[fp]
				switch {
				case e == nil && from.State == promrules.StatePending:
					e = &Explanation{Fingerprint: fp.String(), Labels: plain(lset), Annotations: plain(labelSet(from.Annotations)), State: "pending"}
					to[fp] = e
				case e == nil:
					continue // it was resolved so long ago that the pipeline has forgotten it, or is on its way there
				}
				e.Rule = ruleState(g, r, from)
			}
			own := labelSet(r.Labels())
			own[model.AlertNameLabel] = model.LabelValue(r.Name())
			if len(active) == 0 && match(own) {
				idle = append(idle, Explanation{Labels: plain(own), State: "inactive", Rule: ruleState(g, r, nil)})
			}
		}
	}
	for fp, e := range to {
		if e.Rule == nil {
			e.Rule = a.orphan(e)
		}
		if e.Rule != nil && e.State == "firing" {
			e.Rule.Held = a.heldBecause(fp)
		}
	}
	return idle
}

// orphan is the rule by whose name an alert fires that the rule itself does not
// call active, if there is one only.
func (a *Alerting) orphan(e *Explanation) *RuleState {
	var found *RuleState
	for _, g := range a.rules.RuleGroups() {
		for _, r := range g.AlertingRules() {
			if r.Name() != e.Labels[model.AlertNameLabel] {
				continue
			}
			if found != nil {
				return nil
			}
			found = ruleState(g, r, nil)
		}
	}
	return found
}

func ruleState(g *promrules.Group, r *promrules.AlertingRule, active *promrules.Alert) *RuleState {
	s := &RuleState{
		Group: g.Name(), File: g.File(), Expr: r.Query().String(), For: r.HoldDuration().Seconds(), KeepFiringFor: r.KeepFiringFor().Seconds(),
		Health: string(r.Health()), Evaluated: r.GetEvaluationTimestamp(), Interval: g.Interval().Seconds(),
	}
	if err := r.LastError(); err != nil {
		s.Problem = err.Error()
	}
	if active == nil {
		return s
	}
	s.ActiveSince, s.KeptSince = active.ActiveAt, active.KeepFiringSince
	if active.ResolvedAt.IsZero() && s.KeptSince.IsZero() {
		s.Value = finite(active.Value)
	}
	if active.State == promrules.StatePending {
		s.FiresAt = active.ActiveAt.Add(r.HoldDuration())
	}
	return s
}

// heldBecause is why an alert fires though its rule cannot know, or empty.
func (a *Alerting) heldBecause(fp model.Fingerprint) string {
	a.hold.mu.Lock()
	defer a.hold.mu.Unlock()
	h := a.hold.held[fp]
	if h == nil {
		return ""
	}
	why := map[cause]string{
		byEvaluation: "its rule cannot be evaluated", byNode: "the agent of its node is away, or just back",
		bySource: "the agent cannot read what its rule is about", byRestart: "the collector is new, and data may not be here yet",
	}
	return "since " + h.since.UTC().Format(time.RFC3339) + ", as " + cmp.Or(why[h.why], string(h.why))
}
