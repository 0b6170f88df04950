package alerting

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

// Alert is an alert that fires, for people to look at.
type Alert struct {
	Name     string
	Severity string // empty if its rule gives none
	Summary  string // with value and unit, empty if its rule gives none
	Labels   map[string]string
	Since    time.Time
	Muted    bool   // held back by a silence or by another alert
	Source   string // URL of the query behind it

	Fingerprint string
	Receivers   []string // that its routes lead to
	SilencedBy  []string // IDs of silences
	InhibitedBy []string // fingerprints of alerts
}

// Active is what fires now, the newest first: from rules and from the API. It
// is empty before Run.
func (a *Alerting) Active(ctx context.Context) []Alert { return a.am.active(ctx) }

func (am *alertmanager) active(ctx context.Context) []Alert {
	if am.handler.Load() == nil {
		return nil
	}
	in, marks := am.now.Load(), marker.NewAlertMarker()
	ctx = marker.WithContext(ctx, marks)
	all := am.alerts.GetPending()
	defer all.Close()
	var active []Alert
	for from := range all.Next() {
		if from.Data.Resolved() {
			continue
		}
		muted, fp := am.muted(ctx, from.Data.Labels), from.Data.Fingerprint()
		status := marks.Status(fp)
		active = append(active, Alert{
			Name:     from.Data.Name(),
			Severity: string(from.Data.Labels["severity"]),
			Summary:  string(from.Data.Annotations["summary"]),
			Labels:   plain(from.Data.Labels),
			Since:    from.Data.StartsAt,
			Muted:    muted,
			Source:   from.Data.GeneratorURL,

			Fingerprint: fp.String(),
			Receivers:   receiversOf(in.settings.routes, from.Data.Labels),
			SilencedBy:  status.SilencedBy,
			InhibitedBy: status.InhibitedBy,
		})
	}
	slices.SortFunc(active, func(a, b Alert) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Summary, b.Summary))
	})
	return active
}

// receiversOf are those that an alert is routed to, each once.
func receiversOf(routes *dispatch.Route, lset model.LabelSet) []string {
	var names []string
	for _, r := range routes.Match(lset) {
		if !slices.Contains(names, r.RouteOpts.Receiver) {
			names = append(names, r.RouteOpts.Receiver)
		}
	}
	return names
}

// Silence is one that holds alerts back, or will.
type Silence struct {
	history.Silence
	Ack bool // it is prolonged as long as an alert that it matches fires
}

// Silences are those that are not over, the first to end first.
func (a *Alerting) Silences(ctx context.Context) ([]Silence, error) {
	all, _, err := a.am.silences.Query(ctx, silence.QState(silence.SilenceStateActive, silence.SilenceStatePending))
	if err != nil {
		return nil, fmt.Errorf("ask silences: %w", err)
	}
	list := make([]Silence, len(all))
	for i, s := range all {
		list[i] = Silence{described(s), s.Annotations[AckAnnotation] == "true"}
	}
	slices.SortFunc(list, func(a, b Silence) int { return cmp.Or(a.EndsAt.Compare(b.EndsAt), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

// Events are what happened to alerts and silences, the newest first.
func (a *Alerting) Events(ctx context.Context, q history.Query) ([]history.Event, error) {
	return a.am.recorder.disk.Read(ctx, q)
}

// ParseMatchers reads matchers as amtool takes them, such as
// {alertname="X",node=~"n.*"}, braces or not.
func ParseMatchers(text string) (labels.Matchers, error) { return parseMatchers([]string{text}) }

func plain(from model.LabelSet) map[string]string {
	to := make(map[string]string, len(from))
	for name, value := range from {
		to[string(name)] = string(value)
	}
	return to
}
