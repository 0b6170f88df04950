package scaler

import (
	"context"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/forecast"
)

// fits fits what is due, one at a time.
func (a *ahead) fits(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, name := range a.names() {
			if a.due(name) {
				a.fit(ctx, name)
			}
			if ctx.Err() != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// due tells whether a policy is to be fitted: when it is time, when the clock was
// set back, and when replicas take so much longer to start that the horizon is
// another.
func (a *ahead) due(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.views[name]
	if v == nil || !foretells(v.app) {
		return false
	}
	now := a.now()
	return !now.Before(v.fitAt) || v.fitAt.Sub(now) > fitEvery || v.fitted != nil && horizonOf(v.app, v.boot) != v.horizon
}

// fit reads the history if need be, fits, and tries.
func (a *ahead) fit(ctx context.Context, name string) {
	v, ok := a.copy(name)
	if !ok {
		return
	}
	ctx, cancel := v.within(ctx)
	defer cancel()
	began := time.Now()
	end := a.now().Truncate(aheadStep)
	load, err := until(v.load, end), error(nil)
	if begin := end.Add(-historyMost); len(load.Values) == 0 || end.Sub(ends(load)).Abs() > reread {
		load, err = a.read(ctx, v.app, begin, end, true)
	}
	if ctx.Err() != nil {
		return
	}
	next := fitEvery
	gate, horizon := v.gate, horizonOf(v.app, v.boot)
	var fitted *forecast.Fitted
	if err == nil {
		load = latest(load, historyMost)
		fitted, gate = judge(v.app, v.gate, load, v.boot, a.now())
	} else {
		next = fitAgain
		gate = gate.Fails(a.now(), err)
	}
	a.metrics.fits.Observe(time.Since(began).Seconds())

	a.mu.Lock()
	defer a.mu.Unlock()
	live := a.live(v)
	if live == nil {
		return
	}
	if err != nil {
		a.metrics.errors.WithLabelValues(name).Inc()
		a.log.Warn("no forecast", "policy", name, "err", err)
	}
	if gate.Standing != live.gate.Standing {
		a.log.Info("forecast", "policy", name, "standing", string(gate.Standing), "why", gate.Why)
	}
	if !ends(live.load).After(ends(load)) { // look may have gone on meanwhile
		live.load = load
	}
	live.stand(gate)
	live.fitted, live.horizon, live.fitAt = fitted, horizon, a.now().Add(next)
	a.metrics.show(live)
}
