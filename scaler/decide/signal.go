package decide

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// The share of the ready replicas that a signal must hear before it may make
// the workload grow, and before it may let it shrink.
const (
	coverOut = 0.5
	coverIn  = 0.8
)

// proposal is what one signal asks for.
type proposal struct {
	signal      string
	out, in     int  // replicas it asks for, and is content with
	okOut, okIn bool // whether it may be heard either way
	reason      string
}

// signals asks every signal of the policy.
func (t *turn) signals() []proposal {
	proposals := make([]proposal, 0, len(t.policy.Signals))
	for i := range t.policy.Signals {
		s := &t.policy.Signals[i]
		p := t.ask(s)
		p.signal = s.Name
		proposals = append(proposals, p)
		t.stage("signal", t.from, p.out, false, p.reason)
		t.decision.Stages[len(t.decision.Stages)-1].Signal = s.Name
	}
	return proposals
}

// ask turns the readings of a signal into a proposal.
func (t *turn) ask(s *policy.Signal) proposal {
	silent := proposal{out: t.from, in: t.from}
	v, gate, why := t.read(s)
	if gate == "" {
		var p proposal
		switch s.Type {
		case policy.Threshold:
			p = t.threshold(s, v)
		case policy.Steps:
			p = t.steps(s, v)
		case policy.Desired:
			p, why = t.desired(v)
		default:
			p, why = t.track(s, v)
		}
		if why == "" {
			return t.cover(s, v, p)
		}
		gate = GateRefused
	}
	if s.Type == policy.Threshold {
		t.state.dropCounter(s.Name)
	}
	t.refused = t.refused || gate == GateRefused
	t.gate(gate, s.Name, why)
	silent.reason = why
	return silent
}

// cover says which way a proposal may be heard, by how many replicas it knows
// of. When none is ready there is no load because there is no service.
func (t *turn) cover(s *policy.Signal, v values, p proposal) proposal {
	ready := t.obs.Ready
	share := 1.0
	if !v.single {
		share = float64(v.count) / float64(max(1, ready))
	}
	p.okOut = share >= coverOut
	p.okIn = share >= coverIn && ready > 0
	switch {
	case ready == 0:
		t.gate(GatePartial, s.Name, "cannot speak for shrinking while no replica is ready")
	case !p.okIn:
		t.gate(GatePartial, s.Name, fmt.Sprintf("hears %d of %d ready replicas, fewer than the %.0f%% it takes to shrink", v.count, ready, coverIn*100))
	}
	return p
}

// values are the readings of a signal that count.
type values struct {
	sum    float64
	count  int
	single bool // one value for all, not one for each replica
	whole  bool // it is the total, not a mean
}

func (v values) mean() float64 { return v.sum / float64(v.count) }

// read finds the readings of a signal and adds up the fresh ones. If there are
// none to go by it says which gate that is, and why.
func (t *turn) read(s *policy.Signal) (v values, gate, why string) {
	var r *Reading
	for i := range t.obs.Signals {
		if t.obs.Signals[i].Signal != s.Name {
			continue
		}
		if r != nil {
			return v, GateInvalid, "was read twice"
		}
		r = &t.obs.Signals[i]
	}
	switch {
	case r == nil:
		return v, GateInvalid, "was not read"
	case r.Err != "":
		return v, GateInvalid, "could not be read: " + r.Err
	case len(r.Samples) == 0:
		return v, GateInvalid, "has no samples"
	}
	youngest := time.Duration(math.MaxInt64)
	for _, sample := range r.Samples {
		switch {
		case math.IsNaN(sample.Value) || math.IsInf(sample.Value, 0):
			return v, GateRefused, fmt.Sprintf("reads %v, which is no number", sample.Value)
		case sample.Value < 0:
			return v, GateInvalid, fmt.Sprintf("reads %v; a load is never negative, clamp_min(…, 0) if yours can be", sample.Value)
		}
		youngest = min(youngest, age(t.obs.Now, sample))
	}
	if youngest > s.MaxAge {
		return v, GateInvalid, fmt.Sprintf("has no sample younger than %s, max_age is %s", short(youngest), short(s.MaxAge))
	}
	v = add(fresh(t.obs.Now, r.Samples, s.MaxAge))
	v.whole = s.Whole()
	if v.single = v.single || v.whole; v.single && len(r.Samples) > 1 {
		return v, GateInvalid, fmt.Sprintf("has %d samples where one is meant", len(r.Samples))
	}
	return v, "", ""
}

// age is how far a sample is from now. One from the future, as after a clock
// that went back, is as doubtful as one that is as old.
func age(now time.Time, s Sample) time.Duration { return now.Sub(wall(s.At)).Abs() }

// fresh are the samples young enough to count, one for each replica, in an
// order that does not depend on the one they came in: sums of floats do.
func fresh(now time.Time, samples []Sample, maxAge time.Duration) []Sample {
	kept := make([]Sample, 0, len(samples))
	for _, s := range samples {
		if age(now, s) <= maxAge {
			kept = append(kept, s)
		}
	}
	slices.SortFunc(kept, func(a, b Sample) int {
		return cmp.Or(strings.Compare(a.Replica, b.Replica), b.At.Compare(a.At), cmp.Compare(b.Value, a.Value))
	})
	return slices.CompactFunc(kept, func(a, b Sample) bool { return a.Replica == b.Replica })
}

func add(samples []Sample) values {
	v := values{count: len(samples), single: samples[0].Replica == ""}
	for _, s := range samples {
		v.sum += s.Value
	}
	return v
}

// track asks for as many replicas as keep each at its target g: the load L over
// g. It is L that is compared with what the platform was asked for, not a ratio
// with what is ready, so replicas on their way are not asked for again.
//
// On the way out, replicas that are not heard count nothing; on the way in, they
// count full. If more are heard than were asked for, as in a rolling update or
// while old ones end, the surplus is none of the load the others will have.
func (t *turn) track(s *policy.Signal, v values) (p proposal, refused string) {
	g := s.Target.Value
	running := max(t.from, t.obs.Ready)
	out, in := v.sum, v.sum
	what := "in all"
	switch {
	case v.whole:
	case v.single:
		out, in = v.sum*float64(t.obs.Ready), v.sum*float64(running)
		what = fmt.Sprintf("mean %s of %d ready", policy.Amount{Value: v.sum, Unit: s.Target.Unit}, t.obs.Ready)
	default:
		if v.count > t.from {
			out = v.mean() * float64(t.from)
		}
		what = fmt.Sprintf("over %d replicas", v.count)
		if silent := running - v.count; silent > 0 {
			in += float64(silent) * g
			what += fmt.Sprintf(" (%d silent, counted full before shrinking)", silent)
		}
	}
	if n := out / g; !(n <= float64(t.ceiling())) { // so that NaN is refused, too
		return p, fmt.Sprintf("asks for %.4g replicas, more than the ceiling of %d", n, t.ceiling())
	}
	p.out = replicas(out / g)
	p.in = replicas(min(in/g, float64(t.ceiling())))
	p.reason = fmt.Sprintf("%s %s, target %s: %d replicas", policy.Amount{Value: out, Unit: s.Target.Unit}, what, s.Target, p.out)
	if p.out > t.from && out <= g*float64(t.from)*(1+float64(t.policy.Out.Tolerance)) {
		p.out = t.from
		p.reason += fmt.Sprintf(", within the tolerance of %s", t.policy.Out.Tolerance)
	}
	// Full replicas do not show how much more they would take. It is those that
	// are ready that count, so that what is on its way is not asked for again.
	if full := s.Saturation; full.Boost > 1 && !v.whole && v.mean() >= float64(full.Above) {
		heard := min(v.count, t.obs.Ready)
		if n := replicas(min(float64(heard)*full.Boost, float64(t.ceiling()))); n > p.out {
			p.out = n
			p.reason += fmt.Sprintf("; saturated, so %.4g times the %d that are ready: %d", full.Boost, heard, n)
		}
	}
	if p.in < t.from && float64(p.in) >= float64(t.from)*(1-float64(t.policy.In.DeadBand)) {
		p.in = t.from
		p.reason += fmt.Sprintf(", within the dead band of %s", t.policy.In.DeadBand)
	}
	return p, ""
}
