package scaler

import (
	"context"
	"fmt"
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

// due tells whether there is something to do about a base at now. One that has been
// found stays until its event is over; one that has not is unknown.
func (b base) due(now time.Time) bool {
	switch {
	case !b.matters(now):
		return b.known
	case b.known && !now.Before(b.event.At):
		return false
	}
	return !now.Before(b.next) || b.next.Sub(now) > baseEvery // the clock was set back
}

// findBases looks for the bases of events, one at a time and gently, until ctx
// ends. A sale of all policies may take it long.
func (a *ahead) findBases(ctx context.Context) {
	tick := time.NewTicker(aheadStep)
	defer tick.Stop()
	for {
		for ctx.Err() == nil {
			v, i := a.dueBase()
			if i < 0 {
				break
			}
			a.findBase(ctx, v, i)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// dueBase is the base, with its view, that has been due for longest, above all one
// that has not been looked for yet; -1 if none is.
func (a *ahead) dueBase() (of foresight, which int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, which := a.now(), -1
	for _, v := range a.views {
		for i, b := range v.bases {
			if b.due(now) && (which < 0 || b.next.Before(of.bases[which].next)) {
				of, which = *v, i
			}
		}
	}
	of.bases = slices.Clone(of.bases)
	return of, which
}

// findBase looks for a base, or forgets that of an event that is over.
func (a *ahead) findBase(ctx context.Context, v foresight, i int) {
	ctx, cancel := v.within(ctx)
	defer cancel()
	b := v.bases[i]
	now := a.now()
	var err error
	if b.matters(now) {
		b, err = a.find(ctx, v.app, b, now)
	} else {
		b.known = false
	}
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	live := a.live(v)
	if live == nil {
		return
	}
	if err != nil {
		a.metrics.errors.WithLabelValues(v.app.Name).Inc()
		a.log.Warn("load behind an event not known", "policy", v.app.Name, "event", b.event.Name, "base", string(b.event.Base), "err", err)
	}
	live.bases[i] = b
	a.metrics.base(v.app.Name, b)
}

func (a *ahead) find(ctx context.Context, app policy.App, b base, now time.Time) (base, error) {
	from, to := b.span(now)
	load, err := a.read(ctx, app, from, to, b.event.Base == policy.P95SevenDays)
	if b = b.of(load.Values, to.Sub(from)); err == nil && !b.known {
		err = fmt.Errorf("it is known for less than %.0f%% of the time", 100*baseKnown)
	}
	b.next = a.now().Add(baseEvery)
	if err != nil {
		b.known, b.next = false, a.now().Add(baseAgain)
	}
	return b, err
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
