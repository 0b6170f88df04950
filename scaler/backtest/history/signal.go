package history

import (
	"context"
	"math"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// signal adds the lane of a signal.
func (f *fetcher) signal(ctx context.Context, s policy.Signal) error {
	switch {
	case s.Source == policy.Query:
		return f.query(ctx, s)
	case s.Source == policy.CPU || s.Source == policy.Memory:
		return f.containers(ctx, s)
	}
	f.leave(s, "what %s does under another load is not known", s.Source)
	return nil
}

// query adds the lane of a signal that has a query of its own.
func (f *fetcher) query(ctx context.Context, s policy.Signal) error {
	if s.Whole() {
		values, err := f.get(ctx, s.Query, s.MaxAge)
		if err != nil {
			return err
		}
		if err := f.empty(ctx, s, values); err != nil {
			return err
		}
		if !some(values) {
			f.leave(s, "%s returns nothing in that time", s.Query)
			return nil
		}
		if s.Type == policy.Threshold || s.Type == policy.Steps {
			f.reacting(s, values)
			return nil
		}
		f.add(s, values, nil)
		return nil
	}
	sum, err := f.get(ctx, "sum("+s.Query+")", s.MaxAge)
	if err != nil {
		return err
	}
	count, err := f.get(ctx, "count("+s.Query+")", s.MaxAge)
	if err != nil {
		return err
	}
	if !some(sum) {
		f.leave(s, "%s returns nothing in that time", s.Query)
		return nil
	}
	means := 0
	for i, n := range count {
		// One series of many replicas is their mean.
		if ready := f.ready(i); n == 1 && ready > 1 {
			sum[i] *= ready
			means++
		} else {
			sum[i] *= f.heard(i, n)
		}
	}
	if means == 0 && !some(f.Ready.Values) {
		f.note("%s: its query is taken to return a series for each replica", s.Name)
	}
	f.add(s, sum, func(i int) bool {
		n := max(count[i], f.ready(i))
		return s.Kind == policy.Utilization && sum[i] >= full*n
	})
	return nil
}

// empty makes zeros of what a query did not return, where its guard vouched for that.
func (f *fetcher) empty(ctx context.Context, s policy.Signal, values []float64) error {
	if s.OnEmpty != policy.EmptyZero || s.Guard == "" {
		return nil
	}
	vouched, err := f.get(ctx, "count("+s.Guard+")", s.MaxAge)
	if err != nil {
		return err
	}
	for i := range values {
		if math.IsNaN(values[i]) && vouched[i] > 0 {
			values[i] = 0
		}
	}
	return nil
}

// ready is how many replicas were ready at a step; 0 if that is not known.
func (f *fetcher) ready(i int) float64 {
	if i < len(f.Ready.Values) && fine(f.Ready.Values[i]) {
		return f.Ready.Values[i]
	}
	return 0
}

// heard is by how much the replicas that were heard at a step stand for those that
// were not; NaN if they are fewer than half.
func (f *fetcher) heard(i int, count float64) float64 {
	ready := f.ready(i)
	switch {
	case !(count > 0) || 2*count < ready:
		return math.NaN()
	case count < ready:
		return ready / count
	}
	return 1
}

// reacting adds the lane of a reading that replicas change, such as a queue or a
// latency, in a way that is not known.
func (f *fetcher) reacting(s policy.Signal, values []float64) {
	lane := laneOf(s, f.ask.Span.load(values))
	if !some(f.Ready.Values) {
		lane.Kind, lane.Good = backtest.Given, 0
		f.note("%s: it is read as it was recorded, as if replicas made no difference to it", s.Name)
	} else {
		for i := range values {
			if values[i] *= f.ready(i); f.ready(i) == 0 {
				values[i] = math.NaN()
			}
		}
		f.note("%s: it is taken to halve where replicas double", s.Name)
	}
	f.Lanes = append(f.Lanes, lane)
}

// judge leaves the word on demand to the signals that have a target, where there are
// any: a threshold is where something is to be done, not what is right.
func (f *fetcher) judge() {
	said := func(l *backtest.Lane) bool {
		for _, s := range f.ask.App.Signals {
			if s.Name == l.Signal {
				return s.Type == policy.Track || s.Type == policy.Desired
			}
		}
		return false
	}
	for i := range f.Lanes {
		if said(&f.Lanes[i]) {
			for j := range f.Lanes {
				if !said(&f.Lanes[j]) {
					f.Lanes[j].Good = 0
				}
			}
			return
		}
	}
}

// full is the share of the limit from which a replica counts as full where a signal
// does not say.
const full = 0.95

// containers adds the lane of a cpu or memory signal: what all containers use, and
// what one of them has.
func (f *fetcher) containers(ctx context.Context, s policy.Signal) error {
	target := f.ask.App.Target
	plain := s
	plain.Of = policy.Cores
	if s.Source == policy.Memory {
		plain.Of = policy.Bytes
	}
	plain.Type = policy.Track // a threshold averages by itself
	var use []float64
	var err error
	window := max(s.LookBack(), f.ask.Span.Step)
	for _, w := range []time.Duration{window, time.Minute, 5 * time.Minute} {
		if w < window {
			continue
		}
		plain.Window = w
		if use, err = f.get(ctx, "sum("+plain.PromQL(target)+")", s.MaxAge); err != nil {
			return err
		}
		if some(use) {
			if w > window {
				f.note("%s: samples are so far apart that use is averaged over %s; what the policy would see within that time is not known", s.Name, policy.Short(w))
			}
			break
		}
	}
	if !some(use) {
		f.leave(s, "no container of %s was heard in that time", target)
		return nil
	}
	count, err := f.get(ctx, "count("+plain.PromQL(target)+")", s.MaxAge)
	if err != nil {
		return err
	}
	if !some(f.Ready.Values) {
		f.Ready = f.ask.Span.load(count)
		f.note("how many replicas were ready was not recorded; the containers that were heard are taken for it")
	}
	part := use
	use = make([]float64, len(part))
	for i := range part {
		use[i] = part[i] * f.heard(i, count[i])
	}
	if s.Of != policy.Limit && s.Of != policy.Request {
		f.add(s, use, nil)
		return nil
	}
	plain.Of = s.Of
	share, err := f.get(ctx, "sum("+plain.PromQL(target)+")", s.MaxAge)
	if err != nil {
		return err
	}
	limit := ratio(part, share)
	if limit == 0 {
		f.leave(s, "no container of %s had a %s in that time", target, s.Of)
		return nil
	}
	above := full
	if s.Saturation.Above > 0 {
		above = float64(s.Saturation.Above)
	}
	f.add(s, use, func(i int) bool { return s.Source == policy.CPU && s.Of == policy.Limit && share[i] >= above*count[i] })
	lane := f.lane(s.Name)
	lane.Full, lane.Unit = limit, limit
	lane.Good, lane.Idle = lane.Good*limit, lane.Idle*limit
	if s.Of == policy.Request {
		lane.Full = 0 // it can use more than that
	}
	if s.Source == policy.Memory {
		lane.Full = 0 // a replica beyond it ends, which a plant does not know
		f.note("%s: memory is taken to be shared evenly by the replicas, which it seldom is", s.Name)
	}
	return nil
}

// ratio is the median of a over b; 0 if that is not known.
func ratio(a, b []float64) float64 {
	var all []float64
	for i := range a {
		if fine(a[i]) && b[i] > 0 {
			all = append(all, a[i]/b[i])
		}
	}
	return median(all)
}

// add adds a lane. A signal that says how much a replica is to carry says what demand
// is; its target still is a share where its readings are.
func (f *fetcher) add(s policy.Signal, values []float64, censored func(i int) bool) {
	lane := laneOf(s, f.ask.Span.load(values))
	if zero := f.ask.App.AllowZero; zero != nil && lane.Good > 0 {
		lane.MayIdle, lane.Idle = true, zero.Activation
	}
	if censored != nil {
		lane.Load.Censored = make([]bool, len(values))
		for i := range values {
			lane.Load.Censored[i] = fine(values[i]) && censored(i)
		}
	}
	f.Lanes = append(f.Lanes, lane)
}

// laneOf is how a signal reads a load.
func laneOf(s policy.Signal, load backtest.Load) backtest.Lane {
	lane := backtest.Lane{Signal: s.Name, Kind: backtest.Shared, Load: load}
	if s.Source == policy.CPU {
		lane.Window = s.LookBack()
	}
	if s.Kind == policy.Utilization {
		lane.Full = 1
	}
	switch s.Type {
	case policy.Track:
		lane.Good = s.Target.Value
		if s.Whole() {
			lane.Kind = backtest.Whole
		}
	case policy.Threshold:
		lane.Good = s.Max.Value
	case policy.Steps:
		for _, row := range s.Rows {
			if v := row.Above.Value; v > 0 && (lane.Good == 0 || v < lane.Good) {
				lane.Good = v
			}
		}
	case policy.Desired:
		lane.Kind, lane.Good = backtest.Given, 1
	}
	return lane
}
