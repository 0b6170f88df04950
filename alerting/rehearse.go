package alerting

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	promrules "github.com/prometheus/prometheus/rules"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Rehearsal is an alertmanager.yml at work in a time of its own. Routes, the
// pipeline of notifications and templates are Alertmanager's; only its
// dispatcher, which cannot be given another clock, is replaced by one that waits
// for nothing. Nothing is sent. It is for one goroutine.
type Rehearsal struct {
	settings  settings
	receivers map[string][]notify.Integration
	pipelines *notify.PipelineBuilder
	silencer  *silence.Silencer
	muted     marker.GroupMarker
	log       *diary
	hub       *chatbot.Hub

	now    time.Time
	alerts map[model.Fingerprint]*alert.Alert
	groups map[string]*rehearsed
	sent   []Message
	mu     sync.Mutex // of sent
}

// Message is what would have been sent at a time.
type Message struct {
	At          time.Time
	Receiver    string
	Integration string // "webhook[0]"
	Status      string // firing or resolved
	GroupLabels map[string]string
	Alerts      []MessageAlert
	Text        map[string]string // each text of the integration, rendered
}

// MessageAlert is an alert of a Message.
type MessageAlert struct {
	Status string
	Labels map[string]string
}

// rehearsed is a group of alerts of a route.
type rehearsed struct {
	route  *dispatch.Route
	labels model.LabelSet
	alerts map[model.Fingerprint]*alert.Alert
	next   time.Time // when it is flushed
}

func (g *rehearsed) key() string { return fmt.Sprintf("%s:%s", g.route.Key(), g.labels) }

// Rehearse opens an alertmanager.yml, or the one built in if file is empty.
func Rehearse(file string, external *url.URL) (*Rehearsal, conf.Problems) {
	quiet := slog.New(slog.DiscardHandler)
	hub, err := chatbot.NewHub(chatbot.Options{})
	if err != nil {
		return nil, conf.Problems{{File: file, What: err.Error()}}
	}
	r := &Rehearsal{
		muted: marker.NewGroupMarker(), hub: hub,
		alerts: map[model.Fingerprint]*alert.Alert{}, groups: map[string]*rehearsed{},
	}
	var problems conf.Problems
	if r.settings, problems = loadConfig(file, external, quiet, hub); len(problems) > 0 {
		hub.Close()
		return nil, problems
	}
	registry := prometheus.NewRegistry()
	sent, err := nflog.New(nflog.Options{Retention: retention, Logger: quiet, Metrics: registry})
	if err != nil {
		hub.Close()
		return nil, conf.Problems{{File: file, What: err.Error()}}
	}
	silences, err := silence.New(silence.Options{Retention: retention, Logger: quiet, Metrics: registry})
	if err != nil {
		hub.Close()
		return nil, conf.Problems{{File: file, What: err.Error()}}
	}
	r.log = &diary{kept: sent}
	r.silencer = silence.NewSilencer(silences, quiet, unrecorded)
	r.pipelines = notify.NewPipelineBuilder(registry, featurecontrol.NoopFlags{}, unrecorded)
	if r.receivers, err = r.capture(file); err != nil {
		hub.Close()
		return nil, conf.Problems{{File: file, What: err.Error()}}
	}
	return r, nil
}

// Close gives back what was opened.
func (r *Rehearsal) Close() { r.hub.Close() }

// Put hands over what rules say at a time, which must not go back and must be
// past: Alertmanager's templates tell by the clock whether an alert has ended.
func (r *Rehearsal) Put(at time.Time, alerts ...*promrules.Alert) error {
	if at.After(time.Now()) {
		return fmt.Errorf("notifications can only be tested at times past, not at %s", at.Format(time.RFC3339))
	}
	r.now = at
	for _, from := range alerts {
		a := translate(from, "", at)
		if err := a.Validate(); err != nil {
			return fmt.Errorf("alert %s: %w", a.Name(), err)
		}
		fp := a.Fingerprint()
		if old := r.alerts[fp]; old != nil && old.StartsAt.Before(a.StartsAt) && !old.EndsAt.Before(a.StartsAt) {
			a.StartsAt = old.StartsAt // it has never ended in between
		}
		r.alerts[fp] = a
		for _, route := range r.settings.routes.Match(a.Labels) {
			r.insert(route, fp, a)
		}
	}
	return nil
}

func (r *Rehearsal) insert(route *dispatch.Route, fp model.Fingerprint, a *alert.Alert) {
	g := &rehearsed{route: route, labels: model.LabelSet{}, alerts: map[model.Fingerprint]*alert.Alert{}}
	for name, value := range a.Labels {
		if _, by := route.RouteOpts.GroupBy[name]; by || route.RouteOpts.GroupByAll {
			g.labels[name] = value
		}
	}
	key := route.ID() + " " + g.labels.String()
	if known := r.groups[key]; known != nil {
		known.alerts[fp] = a
		return
	}
	g.alerts[fp] = a
	g.next = r.now.Add(route.RouteOpts.GroupWait)
	if a.StartsAt.Add(route.RouteOpts.GroupWait).Before(r.now) {
		g.next = r.now // it has waited long enough elsewhere
	}
	r.groups[key] = g
}

// Until returns the messages that are due up to a time, the earliest first.
func (r *Rehearsal) Until(at time.Time) ([]Message, error) {
	r.sent = nil
	for {
		var key string
		for k, g := range r.groups {
			if !g.next.After(at) && (key == "" || g.next.Before(r.groups[key].next) || g.next.Equal(r.groups[key].next) && k < key) {
				key = k
			}
		}
		if key == "" {
			return r.sent, nil
		}
		g := r.groups[key]
		r.now = g.next
		g.next = g.next.Add(g.route.RouteOpts.GroupInterval)
		from := len(r.sent)
		err := r.flush(g)
		slices.SortFunc(r.sent[from:], func(a, b Message) int { // integrations are told side by side
			return cmp.Compare(a.Integration, b.Integration)
		})
		if err != nil {
			return r.sent, fmt.Errorf("at %s: %w", r.now.UTC().Format(time.RFC3339), err)
		}
		if len(g.alerts) == 0 {
			delete(r.groups, key)
		}
	}
}

// flush sends what is new of a group, as the dispatcher does.
func (r *Rehearsal) flush(g *rehearsed) error {
	var list alert.AlertSlice
	var resolved []model.Fingerprint
	for _, fp := range slices.Sorted(maps.Keys(g.alerts)) {
		copied := *g.alerts[fp]
		if copied.ResolvedAt(r.now) {
			resolved = append(resolved, fp)
		} else {
			copied.EndsAt = time.Time{}
		}
		list = append(list, &copied)
	}
	sort.Stable(list)
	ctx := r.context(g)
	ctx = notify.WithRouteLabels(ctx, r.routeLabels(g, list))

	inhibitor := inhibit.NewInhibitor(r.firing(), r.settings.conf.InhibitRules, slog.New(slog.DiscardHandler), unrecorded)
	var running sync.WaitGroup
	running.Go(inhibitor.Run)
	inhibitor.WaitForLoading()
	defer running.Wait()
	defer inhibitor.Stop()

	r.log.now = r.now
	pipeline := r.pipelines.New(r.receivers, func() time.Duration { return 0 }, inhibitor, r.silencer, r.settings.intervals, r.muted, r.log, nil)
	if _, _, err := pipeline.Exec(ctx, slog.New(slog.DiscardHandler), list...); err != nil {
		return err
	}
	for _, fp := range resolved {
		delete(g.alerts, fp)
	}
	return nil
}

// context is what the dispatcher tells a pipeline.
func (r *Rehearsal) context(g *rehearsed) context.Context {
	o := &g.route.RouteOpts
	ctx := notify.WithNow(context.Background(), r.now)
	ctx = notify.WithGroupKey(ctx, g.key())
	ctx = notify.WithGroupLabels(ctx, g.labels)
	ctx = notify.WithReceiverName(ctx, o.Receiver)
	ctx = notify.WithRepeatInterval(ctx, o.RepeatInterval)
	ctx = notify.WithMuteTimeIntervals(ctx, o.MuteTimeIntervals)
	ctx = notify.WithActiveTimeIntervals(ctx, o.ActiveTimeIntervals)
	ctx = notify.WithRouteID(ctx, g.route.ID())
	ctx = notify.WithGroupMatchers(ctx, g.route.Matchers)
	return marker.WithContext(ctx, marker.NewAlertMarker())
}

// routeLabels renders the labels of the route for some alerts.
func (r *Rehearsal) routeLabels(g *rehearsed, list []*alert.Alert) model.LabelSet {
	o := &g.route.RouteOpts
	labels := model.LabelSet{}
	render := r.settings.tmpl.RouteLabelRenderer(r.settings.tmpl.Data(o.Receiver, g.labels, o.Labels, notify.ReasonUnknown.String(), list...))
	for name := range o.Labels {
		if text, err := render(string(name)); err == nil {
			labels[name] = model.LabelValue(text)
		}
	}
	return labels
}

// firing are the alerts that fire now, for an inhibitor to start with.
func (r *Rehearsal) firing() provider.Alerts {
	var list still
	for _, fp := range slices.Sorted(maps.Keys(r.alerts)) {
		if a := *r.alerts[fp]; !a.ResolvedAt(r.now) {
			a.EndsAt = time.Time{}
			list.all = append(list.all, &a)
		}
	}
	return list
}

// still is a provider of alerts that stay as they are.
type still struct {
	provider.Alerts
	all []*alert.Alert
}

// SlurpAndSubscribe implements provider.Alerts.
func (s still) SlurpAndSubscribe(string) ([]*alert.Alert, provider.AlertIterator) {
	return s.all, provider.NewAlertIterator(make(chan *provider.Alert), make(chan struct{}), nil)
}

// diary is a notification log in the time of a rehearsal.
type diary struct {
	kept *nflog.Log
	now  time.Time
}

// Log implements notify.NotificationLog. The log itself would write the time of
// the clock, so the entry comes in as if another Alertmanager had made it.
func (d *diary) Log(r *nflogpb.Receiver, group string, firing, resolved []uint64, _ *nflog.Store, _ time.Duration) error {
	var entry bytes.Buffer
	_, err := protodelim.MarshalTo(&entry, &nflogpb.MeshEntry{
		Entry: &nflogpb.Entry{
			Receiver: r, GroupKey: []byte(group), Timestamp: timestamppb.New(d.now), FiringAlerts: firing, ResolvedAlerts: resolved,
		},
		ExpiresAt: timestamppb.New(time.Now().Add(retention)),
	})
	if err != nil {
		return err
	}
	return d.kept.Merge(entry.Bytes())
}

// Query implements notify.NotificationLog.
func (d *diary) Query(params ...nflog.QueryParam) ([]*nflogpb.Entry, error) {
	return d.kept.Query(params...)
}
