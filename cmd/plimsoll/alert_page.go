package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/alerting/history"
	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/web"
)

// eventsShown is how many events the page about alerts shows.
const eventsShown = 20

// alertPage is what the page shows of alerts.
type alertPage struct{ alerting *alerting.Alerting }

var _ web.Alerting = alertPage{}

// Alerts implements web.Alerting.
func (p alertPage) Alerts(ctx context.Context) []web.Alert {
	active := p.alerting.Active(ctx)
	list := make([]web.Alert, len(active))
	for i, a := range active {
		list[i] = web.Alert{
			Name: a.Name, Severity: a.Severity, Summary: a.Summary, Since: a.Since, Muted: a.Muted, Labels: a.Labels,
			Receivers: a.Receivers, SilencedBy: a.SilencedBy, InhibitedBy: a.InhibitedBy, Source: a.Source,
		}
	}
	return list
}

// Silences implements web.Alerting.
func (p alertPage) Silences(ctx context.Context) ([]web.Silence, error) {
	all, err := p.alerting.Silences(ctx)
	list := make([]web.Silence, len(all))
	for i, s := range all {
		list[i] = web.Silence{ID: s.ID, Matchers: s.Matchers, Author: s.Author, Comment: s.Comment, Starts: s.StartsAt, Ends: s.EndsAt, Ack: s.Ack}
	}
	return list, err
}

// Receivers implements web.Alerting.
func (p alertPage) Receivers() []web.Receiver {
	all := p.alerting.Receivers()
	list := make([]web.Receiver, len(all))
	for i, r := range all {
		list[i].Name = r.Name
		for _, n := range r.Integrations {
			list[i].Integrations = append(list[i].Integrations, web.Integration{
				Name: n.Name, Sent: n.Sent, Failed: n.Failed, Attempted: n.LastAttempt, Problem: n.LastError,
			})
		}
	}
	return list
}

// Events implements web.Alerting.
func (p alertPage) Events(ctx context.Context) ([]web.Event, error) {
	all, err := p.alerting.Events(ctx, history.Query{Limit: eventsShown})
	list := make([]web.Event, len(all))
	for i, e := range all {
		list[i] = web.Event{At: e.At, Kind: string(e.Kind), What: eventSubject(e), To: eventReceiver(e), Text: eventDetails(e)}
	}
	return list, err
}

// Filter implements web.Alerting.
func (alertPage) Filter(text string) (web.Filter, error) {
	matchers, err := alerting.ParseMatchers(text)
	if err != nil {
		return web.Filter{}, err
	}
	f := web.Filter{Match: func(labels map[string]string) bool {
		set := make(model.LabelSet, len(labels))
		for name, value := range labels {
			set[model.LabelName(name)] = model.LabelValue(value)
		}
		return matchers.Matches(set)
	}}
	for _, m := range matchers {
		f.Matchers = append(f.Matchers, web.Matcher{Name: m.Name, Op: m.Type.String(), Value: m.Value})
	}
	return f, nil
}

// eventSubject is what an event is about.
func eventSubject(e history.Event) string {
	switch {
	case e.Silence != nil:
		return e.Silence.Matchers
	case len(e.Alerts) == 0:
		return e.Group
	}
	text := alertText(e.Alerts[0].Labels)
	if others := len(e.Alerts) - 1 + e.More; others > 0 {
		text += fmt.Sprintf(" and %d more", others)
	}
	return text
}

func eventReceiver(e history.Event) string {
	return strings.TrimSuffix(e.Receiver+"/"+e.Integration, "/")
}

// eventDetails are what else there is to say.
func eventDetails(e history.Event) string {
	switch {
	case e.Error != "":
		return e.Error
	case e.Silence != nil:
		return fmt.Sprintf("%s: %s (until %s)", e.Silence.Author, e.Silence.Comment, e.Silence.EndsAt.UTC().Format(time.RFC3339))
	case len(e.By) > 0:
		return "by " + strings.Join(e.By, ", ")
	case e.Kind == history.Notified:
		return fmt.Sprintf("in %.3f s", e.Seconds)
	}
	return ""
}

// draws evaluates queries over time, for pictures. An upstream is asked for
// single moments only.
func (p *collectorParts) draws(engine *promql.Engine) func(context.Context, string, time.Time, time.Time, time.Duration) ([]query.Line, error) {
	if p.upstream != nil {
		return nil
	}
	return func(ctx context.Context, text string, from, to time.Time, step time.Duration) ([]query.Line, error) {
		return query.Range(ctx, engine, p.store, text, from, to, step)
	}
}
