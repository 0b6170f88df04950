package alerting

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

// storing stands where alerts are stored. It implements mem.AlertStoreCallback
// before another one.
type storing struct {
	storeCallback
	*recorder
}

type storeCallback interface {
	PreStore(*alert.Alert, bool) error
	PostStore(*alert.Alert, bool)
	PostDelete(*alert.Alert)
	PostGC(model.Fingerprints)
}

func (s storing) PostStore(a *alert.Alert, existing bool) {
	s.storeCallback.PostStore(a, existing)
	s.stored(a)
}

// PostDelete is where alerts come by that nobody has told about their end.
func (s storing) PostDelete(a *alert.Alert) {
	s.storeCallback.PostDelete(a)
	s.stored(a)
}

func (r *recorder) stored(a *alert.Alert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fp := a.Fingerprint()
	known := r.alerts[fp]
	switch resolved := a.Resolved(); {
	case resolved && known != nil:
		delete(r.alerts, fp)
		r.note(history.Event{Kind: history.Resolved, Alerts: named(a)})
	case !resolved && (known == nil || known.startsAt.Before(a.StartsAt)):
		r.alerts[fp] = &life{startsAt: a.StartsAt, groups: map[string]bool{}}
		r.note(history.Event{Kind: history.Created, Alerts: named(a)})
	}
}

// named is how events name alerts.
func named(alerts ...*alert.Alert) []history.Alert {
	list := make([]history.Alert, min(len(alerts), history.MaxAlerts))
	for i := range list {
		a := alerts[i]
		list[i] = history.Alert{Fingerprint: a.Fingerprint().String(), Labels: plain(a.Labels), StartsAt: a.StartsAt}
		if a.Resolved() {
			list[i].EndsAt = a.EndsAt
		}
	}
	return list
}

func unnamed(alerts []*alert.Alert) int { return max(0, len(alerts)-history.MaxAlerts) }

// watching stands around the stages that mute and send.
type watching struct {
	notify.Stage
	groups marker.GroupMarker
	*recorder
}

// Exec implements notify.Stage. Whether an alert was muted is known only after
// the stages inside have asked.
func (w watching) Exec(ctx context.Context, log *slog.Logger, alerts ...*alert.Alert) (context.Context, []*alert.Alert, error) {
	key, _ := notify.GroupKey(ctx)
	at, _ := notify.Now(ctx)
	w.flushing(ctx, key, at, alerts)
	defer w.flushed(ctx, w.groups, key, alerts)
	return w.Stage.Exec(ctx, log, alerts...)
}

// flushing notes that a group is considered, and which of its alerts are for
// the first time.
func (r *recorder) flushing(ctx context.Context, key string, at time.Time, alerts []*alert.Alert) {
	receiver, _ := notify.ReceiverName(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushes[key] = at
	var fresh []*alert.Alert
	for _, a := range alerts {
		l := r.alerts[a.Fingerprint()]
		switch {
		case l == nil:
		case a.Resolved() && !l.startsAt.After(a.EndsAt): // its time ran out, nobody said so
			delete(r.alerts, a.Fingerprint())
			r.note(history.Event{Kind: history.Resolved, Alerts: named(a)})
		case !l.groups[key]:
			l.groups[key] = true
			fresh = append(fresh, a)
		}
	}
	if len(fresh) > 0 {
		r.note(history.Event{Kind: history.Grouped, Alerts: named(fresh...), More: unnamed(fresh), Receiver: receiver, Group: key})
	}
}

// flushed notes what holds alerts back from now on, and what no longer does.
func (r *recorder) flushed(ctx context.Context, groups marker.GroupMarker, key string, alerts []*alert.Alert) {
	route, _ := notify.RouteID(ctx)
	receiver, _ := notify.ReceiverName(ctx)
	intervals, muted := groups.Muted(route, key)
	marks, _ := marker.FromContext(ctx)

	r.mu.Lock()
	defer r.mu.Unlock()
	if muted != r.muted[key] {
		e := history.Event{Kind: history.Unmuted, Alerts: named(alerts...), More: unnamed(alerts), Receiver: receiver, Group: key}
		if delete(r.muted, key); muted {
			r.muted[key] = true
			e.Kind, e.By = history.Muted, intervals
		}
		r.note(e)
	}
	if marks == nil {
		return
	}
	for _, a := range alerts {
		l := r.alerts[a.Fingerprint()]
		if l == nil || a.Resolved() {
			continue
		}
		status, held, by := marks.Status(a.Fingerprint()), history.Kind(""), []string(nil)
		switch {
		case len(status.InhibitedBy) > 0:
			held, by = history.Inhibited, status.InhibitedBy
		case muted: // nobody has asked the silences
			continue
		case len(status.SilencedBy) > 0:
			held, by = history.Silenced, slices.Sorted(slices.Values(status.SilencedBy))
		}
		if held == l.held && slices.Equal(by, l.by) {
			continue
		}
		l.held, l.by = held, by
		r.note(history.Event{Kind: cmp.Or(held, history.Unmuted), Alerts: named(a), By: by})
	}
}
