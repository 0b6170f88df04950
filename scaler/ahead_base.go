package scaler

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

const (
	// baseEarly is how long before an event its base is looked for.
	baseEarly = 2 * time.Hour
	// baseEvery is how often it is, until the event begins.
	baseEvery = 30 * time.Minute
	// baseAgain is how long after a failure.
	baseAgain = 5 * time.Minute
	// baseKnown is the share of its time of which the load must be known.
	baseKnown = 0.5
)

// base is the load that an event multiplies.
type base struct {
	event policy.Event
	load  float64
	known bool
	next  time.Time // when to look again
}

// span is the time whose load is the base of an event, as seen at now: nothing of
// the event itself is in it.
func (b base) span(now time.Time) (from, to time.Time) {
	begin := b.event.At
	if b.event.Base == policy.SameHourLastWeek {
		from = begin.Add(-7 * 24 * time.Hour)
		return from.Truncate(aheadStep), from.Add(time.Hour).Truncate(aheadStep)
	}
	if now.Before(begin) {
		begin = now
	}
	begin = begin.Truncate(aheadStep)
	return begin.Add(-7 * 24 * time.Hour), begin
}

// matters tells whether the base of an event is asked for at now.
func (b base) matters(now time.Time) bool {
	return !now.Before(b.event.At.Add(-baseEarly)) && now.Before(b.event.At.Add(b.event.Duration))
}

// findBases looks for the bases of a policy's events that matter. One that has been
// found stays until its event is over; one that has not is unknown.
func (a *ahead) findBases(ctx context.Context, name string) {
	v, ok := a.copy(name)
	if !ok {
		return
	}
	now := a.now()
	for i, b := range v.bases {
		switch {
		case !b.matters(now):
			b.known = false
		case b.known && !now.Before(b.event.At), now.Before(b.next) && b.next.Sub(now) <= baseEvery:
			continue
		default:
			b = a.find(ctx, v.app, b, now)
		}
		if ctx.Err() != nil {
			return
		}
		a.mu.Lock()
		if live := a.views[name]; live != nil && live.mark == v.mark {
			live.bases[i] = b
			a.metrics.base(name, b)
		}
		a.mu.Unlock()
	}
}

func (a *ahead) find(ctx context.Context, app policy.App, b base, now time.Time) base {
	from, to := b.span(now)
	load, err := a.read(ctx, app, from, to, b.event.Base == policy.P95SevenDays)
	b = b.of(load.Values, to.Sub(from))
	b.next = now.Add(baseEvery)
	if err != nil || !b.known {
		b.known, b.next = false, now.Add(baseAgain)
		a.metrics.errors.WithLabelValues(app.Name).Inc()
		a.log.Warn("load behind an event not known", "policy", app.Name, "event", b.event.Name, "base", string(b.event.Base), "err", err)
	}
	return b
}

// of takes the load of its span, by the minute, if enough of it is known.
func (b base) of(values []float64, span time.Duration) base {
	var known []float64
	for _, v := range values {
		if v >= 0 && !math.IsInf(v, 1) {
			known = append(known, v)
		}
	}
	if b.known = float64(len(known)) >= baseKnown*span.Minutes() && len(known) > 0; !b.known {
		return b
	}
	slices.Sort(known)
	b.load = known[len(known)-1]
	if b.event.Base == policy.P95SevenDays {
		b.load = known[(len(known)-1)*95/100]
	}
	return b
}
