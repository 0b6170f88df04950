package alerting

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

const (
	// refillAtMost is how long a gap may be: what is recorded in it comes as late
	// samples, and the store takes those of a day.
	refillAtMost = 23 * time.Hour
	// refillPatience is how long the past of agents is waited for, and
	// refillSettled for how long none may have been missing: after a start they
	// come back one by one.
	refillPatience, refillSettled = 15 * time.Minute, 15 * time.Second
)

// A Gap is a time in which no rule was evaluated, as the collector was down.
type Gap struct {
	From, To time.Time
	// Whole tells whether the samples of that time that agents kept are in.
	Whole func() bool
}

// Refill records what recording rules would have recorded in a gap, once its
// samples are in. Alerts are not looked into: they would be of the past. It
// returns early if ctx ends.
func (a *Alerting) Refill(ctx context.Context, gap Gap) {
	a.mu.Lock()
	recording := a.settings.rules.Recording()
	a.mu.Unlock()
	gap.From = latest(gap.From, gap.To.Add(-refillAtMost))
	if len(recording.Files()) == 0 || gap.To.Sub(gap.From) < a.opts.EvaluationInterval || !whole(ctx, gap) {
		return
	}
	loader := rules.NewLoader()
	loader.Use(recording)
	// A manager of its own, so that the groups of now do not see another time.
	manager := promrules.NewManager(&promrules.ManagerOptions{
		Appendable: late{a.opts.Appendable}, Queryable: a.opts.Queryable, QueryFunc: a.opts.QueryFunc,
		NotifyFunc:  func(context.Context, string, ...*promrules.Alert) {},
		ExternalURL: a.opts.ExternalURL, GroupLoader: loader,
		Logger: a.opts.Log.With("component", "refill"),
	})
	began, evaluations := time.Now(), 0
	for _, file := range recording.Files() { // in order: rules may build on those before
		groups, errs := manager.LoadGroups(a.opts.EvaluationInterval, labels.EmptyLabels(), a.opts.ExternalURL.String(), nil, false, file)
		if err := errors.Join(errs...); err != nil { // they were checked when they were read
			a.log.Error("recording rules are not refilled", "file", file, "err", err)
			continue
		}
		parsed, _ := loader.Load(file, false, 0) // it was loaded above
		for _, g := range parsed.Groups {
			if group := groups[promrules.GroupKey(file, g.Name)]; group != nil {
				evaluations += a.refill(ctx, group, gap)
			}
		}
	}
	if ctx.Err() == nil {
		a.log.Info("recording rules have been refilled", "from", gap.From, "to", gap.To, "evaluations", evaluations, "took", time.Since(began).Round(time.Millisecond))
	}
}

// refill evaluates a group at its times within the gap. It leaves as much time to
// others as it takes.
func (a *Alerting) refill(ctx context.Context, g *promrules.Group, gap Gap) (evaluations int) {
	for at := g.EvalTimestamp(gap.From.UnixNano()).Add(g.Interval()); at.Before(gap.To) && ctx.Err() == nil; at = at.Add(g.Interval()) {
		began := time.Now()
		g.Eval(ctx, at)
		a.metrics.refilled.Inc()
		evaluations++
		select {
		case <-ctx.Done():
		case <-time.After(time.Since(began)):
		}
	}
	return evaluations
}

// whole waits until the samples of the gap are in, or as many as will come soon.
// It is false if ctx ended.
func whole(ctx context.Context, gap Gap) bool {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	since := time.Now()
	for last := since; ; {
		select {
		case <-ctx.Done():
			return false
		case now := <-tick.C:
			if !gap.Whole() {
				last = now
			}
			if now.Sub(last) >= refillSettled || now.Sub(since) >= refillPatience {
				return true
			}
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
