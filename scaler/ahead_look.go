package scaler

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/forecast"
)

const (
	// lookers is how many policies are looked ahead for at a time. Those whose history
	// could not be had the last time have one more for themselves: it may hang, and
	// the others do not wait for it.
	lookers = 3
	// lookBudget is for how long each minute, of which each policy has its share, and
	// lookLeast at the least. For those that are left then it counts as a history that
	// could not be had, and they come first the next time.
	lookBudget = 50 * time.Second
	lookLeast  = time.Second
)

// lookAll looks ahead for all policies.
func (a *ahead) lookAll(ctx context.Context) {
	spent, cancel := context.WithTimeout(ctx, lookBudget)
	defer cancel()
	var wait sync.WaitGroup
	start := func(names []string, lookers int) {
		queue := make(chan string, len(names))
		for _, name := range names {
			queue <- name
		}
		close(queue)
		share := lookBudget * time.Duration(lookers) / time.Duration(max(len(names), 1))
		for range lookers {
			wait.Go(func() { a.lookEach(ctx, spent, queue, max(share, lookLeast)) })
		}
	}
	well, failed := a.turns()
	start(well, lookers)
	start(failed, 1)
	wait.Wait()
}

// turns are the policies to look ahead for, by whether the last time went well, the
// one first that has waited longest.
func (a *ahead) turns() (well, failed []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var views []*foresight
	for _, v := range a.views {
		if foretells(v.app) && v.fitted != nil {
			views = append(views, v)
		}
	}
	slices.SortFunc(views, func(x, y *foresight) int { return x.lookAt.Compare(y.lookAt) })
	for _, v := range views {
		if v.failed {
			failed = append(failed, v.app.Name)
		} else {
			well = append(well, v.app.Name)
		}
	}
	return well, failed
}

func (a *ahead) lookEach(ctx, spent context.Context, names <-chan string, limit time.Duration) {
	for name := range names {
		switch {
		case ctx.Err() != nil:
			return
		case spent.Err() != nil:
			a.passOver(name)
		default:
			a.look(ctx, name, limit)
		}
	}
}

// passOver counts that there was no time for a policy. What was said of it last
// counts for as long as it may.
func (a *ahead) passOver(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.views[name] != nil {
		a.metrics.errors.WithLabelValues(name).Inc()
	}
}

// look goes on with the history, for which it waits no longer than limit, and looks
// ahead from its end.
func (a *ahead) look(ctx context.Context, name string, limit time.Duration) {
	v, ok := a.copy(name)
	if !ok || !foretells(v.app) || v.fitted == nil {
		return
	}
	ctx, cancel := v.within(ctx)
	defer cancel()
	now := a.now()
	end := now.Truncate(aheadStep)
	load, err := until(v.load, end), error(nil) // no further, should the clock have been set back
	if from := ends(load); from.Before(end) && end.Sub(from) <= reread {
		var more forecast.History
		asking, done := context.WithTimeout(ctx, limit)
		if more, err = a.read(asking, v.app, from, end, false); err == nil {
			load = extend(load, more)
		}
		done()
	}
	if err == nil && !ends(load).Equal(end) {
		err = fmt.Errorf("the history ends at %s", ends(load).UTC().Format(time.RFC3339))
	}
	var outlook forecast.Outlook
	if err == nil {
		outlook, err = v.fitted.Ahead(load)
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
	live.lookAt, live.failed = time.Now(), err != nil
	if err != nil {
		a.metrics.errors.WithLabelValues(name).Inc()
		a.log.Warn("forecast does not go on", "policy", name, "err", err)
	}
	if live.fitted != v.fitted {
		return
	}
	if err != nil {
		live.ahead = nil
		if end.Sub(ends(load)).Abs() > reread {
			live.fitAt = now
		}
		a.metrics.show(live)
		return
	}
	live.load, live.missed = load, outlook.Missed
	before := live.gate.Standing
	if live.stand(live.gate.Heard(now, outlook.Missed)); live.gate.Standing != before {
		a.log.Info("forecast", "policy", name, "standing", string(live.gate.Standing), "why", live.gate.Why)
	}
	live.ahead, live.aheadAt = expected(live, outlook), now
	a.metrics.show(live)
}
