package scaler

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/forecast"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

const (
	// historyPart is how much of a history one query is about.
	historyPart = 6 * time.Hour
	// historyPeek is how far apart a load is looked at. Of each minute the most
	// counts.
	historyPeek = 15 * time.Second
	// historyLimit bounds one query, and minuteLimit one about the last minutes, for
	// which other policies may wait.
	historyLimit = time.Minute
	minuteLimit  = 10 * time.Second
	// idleShare is how many times as long as a part took nothing is asked after it:
	// decisions go first.
	idleShare = 4
)

// A RangeQuerier answers PromQL about the past. It may be called concurrently and
// returns soon after ctx ends.
type RangeQuerier interface {
	// QueryRange evaluates promql for each step from one time to another, both
	// inside. Where a series has nothing for 5 minutes, it has no sample.
	QueryRange(ctx context.Context, promql string, from, to time.Time, step time.Duration) ([]Series, error)
}

// Series is what one series was over a time.
type Series struct {
	Labels  map[string]string // the metric's name is not among them
	Samples []Point           // by time
}

// Point is a value at a time.
type Point struct {
	At    time.Time
	Value float64
}

// errNoHistory is of a collector whose queries go to another engine.
var errNoHistory = errors.New("there is nobody to ask for history: an upstream is asked for single moments only")

// tracked is the signal whose load a forecast and events are about: the first that
// tracks a target.
func tracked(app policy.App) (policy.Signal, bool) {
	for _, s := range app.Signals {
		if s.Type == policy.Track {
			return s, true
		}
	}
	return policy.Signal{}, false
}

// read asks for the load of a workload from one whole minute to another, the first
// inside. One who reads much gives way in between.
func (a *ahead) read(ctx context.Context, app policy.App, from, to time.Time, gently bool) (forecast.History, error) {
	h := forecast.History{Start: from, Step: aheadStep}
	signal, ok := tracked(app)
	switch {
	case a.history == nil:
		return h, errNoHistory
	case !ok:
		return h, errors.New("no signal of the policy is of type track")
	}
	limit := minuteLimit
	if gently {
		limit = historyLimit
	}
	for part := from; part.Before(to); part = part.Add(historyPart) {
		began := time.Now()
		end := part.Add(historyPart)
		if end.After(to) {
			end = to
		}
		p, err := a.readPart(ctx, app, signal, part, end, limit)
		if err != nil {
			return h, fmt.Errorf("history of signal %s at %s: %w", signal.Name, part.UTC().Format(time.RFC3339), err)
		}
		h = extend(h, p)
		if !gently {
			continue
		}
		select {
		case <-ctx.Done():
			return h, ctx.Err()
		case <-time.After(max(idleShare*time.Since(began), 10*time.Millisecond)):
		}
	}
	return h, nil
}

// readPart asks for a few hours.
func (a *ahead) readPart(ctx context.Context, app policy.App, signal policy.Signal, from, to time.Time, limit time.Duration) (forecast.History, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// A minute is what is seen within it, its end included.
	ask := func(promql string) ([]Series, error) {
		return a.history.QueryRange(ctx, promql, from.Add(historyPeek), to, historyPeek)
	}
	p := newPart(from, to)
	query := signal.PromQL(app.Target)
	if signal.Source != policy.Query {
		// One of many replicas is a series of its own only for as long as it runs.
		sums, err := ask("sum(" + query + ")")
		if err != nil {
			return p.History, err
		}
		p.add(sums, nil)
	} else {
		lines, err := ask(query)
		if err != nil {
			return p.History, err
		}
		var times factors
		if !signal.Whole() && slices.ContainsFunc(lines, func(s Series) bool { return len(s.Labels) == 0 }) {
			ready, err := ask("max(plimsoll_scaler_replicas_ready{policy=" + strconv.Quote(app.Name) + "})")
			if err != nil {
				return p.History, err
			}
			times = p.factors(ready)
		}
		if signal.Whole() || times != nil {
			p.once(lines)
		}
		p.add(lines, times)
	}
	if full := signal.Saturation; full.Boost > 1 && !signal.Whole() {
		means, err := ask("avg(" + query + ")")
		if err != nil {
			return p.History, err
		}
		p.censor(means, float64(full.Above))
	}
	return p.fold(), nil
}

// ends is when a history ends: when its next value would begin.
func ends(h forecast.History) time.Time {
	return h.Start.Add(time.Duration(len(h.Values)) * h.Step)
}

// extend appends a history that begins where h ends.
func extend(h, more forecast.History) forecast.History {
	h.Values, h.Censored = append(h.Values, more.Values...), append(h.Censored, more.Censored...)
	if time.Duration(len(h.Values))*h.Step > historyMost+fitEvery {
		return latest(h, historyMost)
	}
	return h
}

// until is a history up to a time.
func until(h forecast.History, end time.Time) forecast.History {
	if len(h.Values) == 0 || !ends(h).After(end) {
		return h
	}
	n := max(int(end.Sub(h.Start)/h.Step), 0)
	h.Values, h.Censored = slices.Clip(h.Values[:n]), slices.Clip(h.Censored[:n])
	return h
}

// latest is the end of a history, without the memory of what was before, and
// without a beginning of which nothing is known.
func latest(h forecast.History, d time.Duration) forecast.History {
	drop := max(len(h.Values)-int(d/h.Step), 0)
	for drop < len(h.Values) && math.IsNaN(h.Values[drop]) {
		drop++
	}
	if drop == 0 {
		return h
	}
	h.Start = h.Start.Add(time.Duration(drop) * h.Step)
	h.Values = slices.Clone(h.Values[drop:])
	if h.Censored != nil {
		h.Censored = slices.Clone(h.Censored[drop:])
	}
	return h
}

// busiest is the most of the last part of a history; NaN if nothing is known.
func busiest(h forecast.History, d time.Duration) float64 {
	most := math.NaN()
	for _, v := range h.Values[max(len(h.Values)-int(d/h.Step), 0):] {
		if v >= 0 && !math.IsInf(v, 1) && !(v <= most) {
			most = v
		}
	}
	return most
}
