package backtest

import (
	"fmt"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Ours is a policy, as the scaler would run it.
type Ours struct {
	// Mean hands decide the mean of all replicas that are measured instead of a reading
	// for each. It is faster, and off while replicas come and go: those that are ready
	// count at once, but are measured later.
	Mean bool
	// Hint may add to an observation what is known besides the readings, or break it;
	// nil for nothing.
	Hint func(*decide.Observation)

	policy  policy.App
	state   decide.State
	decider decide.Decider
	last    *decide.Decision
	next    time.Time
	obs     decide.Observation
	samples [][]decide.Sample // by lane
	names   []string          // of replicas, by their ids
}

// NewOurs runs a policy as if its mode were active, unless it is paused.
func NewOurs(p policy.App) *Ours {
	if p.Mode != policy.Paused {
		p.Mode = policy.Active
	}
	return &Ours{policy: p}
}

// Tick implements Autoscaler. The policy's interval is kept, so far as ticks allow.
func (o *Ours) Tick(seen *Seen) int {
	if seen.Now.Before(o.next) {
		return seen.Desired
	}
	o.next = seen.Now.Add(o.policy.Interval)
	o.observe(seen)
	if o.Hint != nil {
		o.Hint(&o.obs)
	}
	o.last = o.decider.Next(&o.policy, &o.state, &o.obs)
	if !o.last.Apply {
		return seen.Desired
	}
	return o.last.To
}

// Why implements Explainer.
func (o *Ours) Why() string {
	if o.last == nil {
		return ""
	}
	return o.last.Why()
}

// Decision is what the last Tick was based on, and what came of it, nil before the
// first. Both are overwritten by the next.
func (o *Ours) Decision() (*decide.Observation, *decide.Decision) { return &o.obs, o.last }

// observe fills in the observation, whose memory is used again.
func (o *Ours) observe(seen *Seen) {
	o.obs = decide.Observation{
		Now: seen.Now, Desired: seen.Desired, Ready: seen.Ready, Starting: seen.Starting, Failing: seen.Failing,
		Boot: seen.Boot, Signals: o.obs.Signals[:0],
	}
	for len(o.samples) < len(seen.Signals) {
		o.samples = append(o.samples, nil)
	}
	for i, s := range seen.Signals {
		if s.Name == "" {
			continue
		}
		o.samples[i] = o.samples[i][:0]
		r := decide.Reading{Signal: s.Name}
		switch {
		case !s.Known:
			r.Err = "nothing was recorded"
		case !o.Mean && s.Replicas > 0:
			seen.Each(i, func(id int, at time.Time, v float64) {
				o.samples[i] = append(o.samples[i], decide.Sample{Replica: o.name(id), At: at, Value: v})
			})
		default:
			o.samples[i] = append(o.samples[i], decide.Sample{At: s.At, Value: s.Value})
		}
		r.Samples = o.samples[i]
		o.obs.Signals = append(o.obs.Signals, r)
	}
}

// name is a replica's, at even length so that their order is that of their ids.
func (o *Ours) name(id int) string {
	for n := len(o.names); n <= id; n++ {
		o.names = append(o.names, fmt.Sprintf("%08d", n))
	}
	return o.names[id]
}
