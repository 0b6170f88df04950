package alerting

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

// follow follows an alert through silences, inhibitions and its routes.
func (am *alertmanager) follow(ctx context.Context, e *Explanation, now time.Time) error {
	lset := make(model.LabelSet, len(e.Labels))
	for name, value := range e.Labels {
		lset[model.LabelName(name)] = model.LabelValue(value)
	}
	silences, _, err := am.silences.Query(ctx, silence.QState(silence.SilenceStateActive), silence.QMatches(lset))
	if err != nil {
		return fmt.Errorf("ask silences: %w", err)
	}
	for _, s := range silences {
		e.SilencedBy = append(e.SilencedBy, described(s))
	}
	slices.SortFunc(e.SilencedBy, func(a, b history.Silence) int { return b.EndsAt.Compare(a.EndsAt) })

	in := am.now.Load()
	marks := marker.NewAlertMarker()
	in.inhibitor.Mutes(marker.WithContext(ctx, marks), lset)
	for _, by := range marks.Status(lset.Fingerprint()).InhibitedBy {
		i := Inhibitor{Fingerprint: by}
		if fp, err := model.ParseFingerprint(by); err == nil {
			if other, err := am.alerts.Get(fp); err == nil {
				i.Labels = plain(other.Labels)
			}
		}
		e.InhibitedBy = append(e.InhibitedBy, i)
	}
	for _, r := range in.settings.routes.Match(lset) {
		state, err := am.routeState(r, in, lset, e.Since, now)
		if err != nil {
			return err
		}
		e.Routes = append(e.Routes, state)
	}
	return nil
}

// routeState is what has become of an alert at a route.
func (am *alertmanager) routeState(r *dispatch.Route, in *inForce, lset model.LabelSet, since, now time.Time) (RouteState, error) {
	group := groupLabels(r, lset)
	s := RouteState{
		Receiver: r.RouteOpts.Receiver, Group: fmt.Sprintf("%s:%s", r.Key(), group),
		GroupLabels: plain(group), GroupWait: r.RouteOpts.GroupWait.Seconds(), GroupInterval: r.RouteOpts.GroupInterval.Seconds(),
		RepeatInterval: r.RouteOpts.RepeatInterval.Seconds(), Integrations: []Told{},
	}
	s.Matchers, _ = path(in.settings.routes, r)
	if at, ok := am.recorder.lastFlush(s.Group); ok {
		s.LastFlush, s.NextFlush = at, at.Add(r.RouteOpts.GroupInterval)
	}
	if s.LastFlush.Before(since) && s.NextFlush.Before(now) { // the group is new, or was made anew
		s.NextFlush = later(since.Add(r.RouteOpts.GroupWait), now)
	}
	s.MutedBy, _ = am.groups.Muted(r.ID(), s.Group)
	s.OthersTurn = am.gossip != nil && am.gossip.waits()
	list := in.settings.receivers[s.Receiver]
	for i := range list {
		t := Told{Integration: am.recorder.integration(s.Receiver, list[i].String())}
		entry, err := am.logged(s.Group, s.Receiver, &list[i])
		if err != nil {
			return s, err
		}
		if entry != nil {
			t.At = entry.Timestamp.AsTime()
			t.This = slices.Contains(entry.FiringAlerts, loggedAs(lset))
			t.RepeatAt = t.At.Add(r.RouteOpts.RepeatInterval)
		}
		s.Integrations = append(s.Integrations, t)
	}
	return s, nil
}

// logged is what the notification log has of a group, nil for nothing.
func (am *alertmanager) logged(group, receiver string, i *notify.Integration) (*nflogpb.Entry, error) {
	entries, err := am.sent.Query(nflog.QGroupKey(group), nflog.QReceiver(&nflogpb.Receiver{
		GroupName: receiver, Integration: i.Name(), Idx: uint32(i.Index()),
	}))
	if err != nil && !errors.Is(err, nflog.ErrNotFound) {
		return nil, fmt.Errorf("ask notification log: %w", err)
	}
	if len(entries) == 0 {
		return nil, nil
	}
	return entries[0], nil
}

// loggedAs is the hash by which the notification log knows an alert. The
// package notify keeps its own to itself; both are xxhash over the sorted
// labels, each name and value followed by 0xff.
func loggedAs(lset model.LabelSet) uint64 {
	return labels.StableHash(labels.FromMap(plain(lset)))
}

// groupLabels are the labels that tell the groups of a route apart.
func groupLabels(r *dispatch.Route, lset model.LabelSet) model.LabelSet {
	if r.RouteOpts.GroupByAll {
		return lset.Clone()
	}
	group := model.LabelSet{}
	for name, value := range lset {
		if _, ok := r.RouteOpts.GroupBy[name]; ok {
			group[name] = value
		}
	}
	return group
}

// path is what an alert had to match on the way from one route to another, and
// whether there is a way.
func path(from, to *dispatch.Route) ([]string, bool) {
	var own []string
	if len(from.Matchers) > 0 {
		own = []string{from.Matchers.String()}
	}
	if from == to {
		return own, true
	}
	for _, r := range from.Routes {
		if below, ok := path(r, to); ok {
			return append(own, below...), true
		}
	}
	return nil, false
}

// later is t, or now if t is past.
func later(t, now time.Time) time.Time {
	if t.Before(now) {
		return now
	}
	return t
}
