package scaler

import (
	"errors"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/forecast"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Foretell is what decisions of a policy would have been told of a recorded load
// from a time on, each of them what could be known then: what is expected, if the
// trial over the days before lets the forecast act, and the bases of events. The
// load is that of the first tracking signal by the minute, and begins up to 28 days
// before. boot is how long replicas take to start, 0 if that is not known.
//
// The hint is nil if nothing is to be told. says is a line for people about the
// forecast, empty if the policy has none. In life a forecast is tried anew every 6
// hours; here it is once, at the beginning.
func Foretell(app policy.App, load forecast.History, from time.Time, boot time.Duration) (hint func(*decide.Observation), says string, err error) {
	_, ok := tracked(app)
	switch {
	case !wants(app):
		return nil, "", nil
	case !ok:
		return nil, "", errors.New("no signal of the policy is of type track")
	case load.Step != aheadStep:
		return nil, "", errors.New("the load of a forecast is by the minute")
	}
	begin := int(from.Sub(load.Start) / load.Step)
	if begin < 0 || begin > len(load.Values) {
		return nil, "", errors.New("the load does not reach to where the replay begins")
	}
	ahead := func(*decide.Observation) {}
	if foretells(app) {
		if ahead, says, err = foretellLoad(app, load, begin, boot); err != nil {
			return nil, "", err
		}
	}
	bases := make([]base, len(app.Events))
	for i, e := range app.Events {
		bases[i].event = e
	}
	return func(o *decide.Observation) {
		ahead(o)
		o.Bases = o.Bases[:0]
		for i, b := range bases {
			if !b.matters(o.Now) {
				continue
			}
			if !b.known && !o.Now.Before(b.next) {
				since, until := b.span(o.Now)
				b = b.of(between(load, since, until), until.Sub(since))
				b.next = o.Now.Add(baseEvery)
				bases[i] = b
			}
			if b.known {
				o.Bases = append(o.Bases, decide.Base{Event: b.event.Name, Load: b.load})
			}
		}
	}, says, nil
}

func foretellLoad(app policy.App, load forecast.History, begin int, boot time.Duration) (hint func(*decide.Observation), says string, err error) {
	before := load
	before.Values = load.Values[:begin]
	if load.Censored != nil {
		before.Censored = load.Censored[:begin]
	}
	before = latest(before, historyMost)
	now := ends(before)
	fitted, gate := judge(app, forecast.Gate{}, before, boot, now)
	says = "forecast " + string(gate.Standing) + ": " + gate.Why
	if !gate.Acts() {
		return func(*decide.Observation) {}, says, nil
	}
	all := load
	all.Start, all.Values = before.Start, load.Values[begin-len(before.Values):]
	if load.Censored != nil {
		all.Censored = load.Censored[begin-len(before.Values):]
	}
	steps, err := fitted.Replay(all, len(before.Values)-1)
	if err != nil {
		return nil, "", err
	}
	return tell(foretold(app, *fitted, gate, all, steps), now), says, nil
}

// between are the values of a load from one time to another.
func between(load forecast.History, from, to time.Time) []float64 {
	at := func(t time.Time) int {
		return min(max(int(t.Sub(load.Start)/load.Step), 0), len(load.Values))
	}
	return load.Values[at(from):max(at(from), at(to))]
}
