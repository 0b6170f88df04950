package decide

import (
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// The share of the ready replicas that a signal must hear before it may make
// the workload grow, and before it may let it shrink, where the policy does not say.
const (
	coverOut = 0.5
	coverIn  = 0.8
)

// proposal is what one signal asks for.
type proposal struct {
	signal      string
	out, in     int  // replicas it asks for, and is content with
	okOut, okIn bool // whether it may be heard either way
	first, end  int  // its stages

	load  float64
	tells bool          // whether load is that of the whole workload, replicas or none
	early time.Duration // for how long it must still be heard before anything shrinks
}

// signals asks every signal of the policy.
func (t *turn) signals() {
	for i := range t.policy.Signals {
		s := &t.policy.Signals[i]
		first := len(t.decision.Stages)
		p := t.ask(s)
		p.signal, p.first, p.end = s.Name, first, len(t.decision.Stages)
		t.proposals = append(t.proposals, p)
	}
}

// says adds a line of a signal to the decision.
func (t *turn) says(s *policy.Signal, in, out int, r Reason) {
	t.decision.Stages = append(t.decision.Stages, Stage{Name: "signal", Signal: s.Name, In: in, Out: out, Reason: r})
}

// ask turns the readings of a signal into a proposal.
func (t *turn) ask(s *policy.Signal) proposal {
	past := t.state.past(s.Name)
	if t.from == 0 && !s.Whole() {
		past.Heard = time.Time{}
		t.says(s, 0, 0, because(CodeNoReplica))
		return proposal{}
	}
	v, wrong := t.read(s)
	if wrong.Code == "" {
		var p proposal
		switch out, _ := enough(s, v, t.obs.Ready); {
		case s.Type == policy.Threshold && !out:
			p = proposal{out: t.from, in: t.from} // what few say is not counted
			t.says(s, t.from, t.from, t.few(s, v))
		case s.Type == policy.Threshold:
			p = t.threshold(s, v)
		case s.Type == policy.Steps:
			p = t.steps(s, v)
		case s.Type == policy.Desired:
			p, wrong = t.desired(s, v)
		default:
			p, wrong = t.track(s, v, past)
		}
		if wrong.Code == "" {
			p.load, p.tells = v.sum, v.whole
			p.early = t.settling(s, v, past)
			return t.cover(s, v, p)
		}
	}
	past.Heard = time.Time{}
	t.gate(s.Name, wrong)
	t.refused = t.refused || wrong.Code.Gate() == GateRefused
	t.says(s, t.from, t.from, wrong)
	return proposal{out: t.from, in: t.from}
}

// settling is for how long a signal must still be heard before anything shrinks on
// its word. Of a threshold those are its windows at least: what few replicas said
// before may be in them.
func (t *turn) settling(s *policy.Signal, v values, past *Past) time.Duration {
	switch _, in := enough(s, v, t.obs.Ready); {
	case !in:
		past.Heard = time.Time{}
		return 0
	case past.Heard.IsZero():
		past.Heard = t.obs.Now
	}
	long := settle(t.policy, s)
	if s.Type == policy.Threshold {
		long = max(long, s.Window*time.Duration(max(1, s.Samples)))
	}
	return long - t.obs.Now.Sub(past.Heard)
}

// coverage are the shares of the ready replicas that a signal must hear.
func coverage(s *policy.Signal) (out, in float64) {
	out, in = float64(s.Coverage.Out), float64(s.Coverage.In)
	if out <= 0 {
		out = coverOut
	}
	if in <= 0 {
		in = max(coverIn, out)
	}
	return out, in
}

// enough tells which way as many are heard as it takes.
func enough(s *policy.Signal, v values, ready int) (out, in bool) {
	heard := 1.0
	if !v.single {
		heard = float64(v.count) / float64(max(1, ready))
	}
	least, most := coverage(s)
	return heard >= least, heard >= most
}

// few is what to say of a signal that hears too few.
func (t *turn) few(s *policy.Signal, v values) Reason {
	_, in := coverage(s)
	return because(CodeFewHeard, count(v.count), count(t.obs.Ready), percent(in))
}

// cover says which way a proposal may be heard, by how many replicas it knows
// of. When none is ready there is no load because there is no service.
func (t *turn) cover(s *policy.Signal, v values, p proposal) proposal {
	ready := t.obs.Ready
	p.okOut, p.okIn = enough(s, v, ready)
	p.okIn = p.okIn && ready > 0
	switch {
	case t.from == 0:
	case ready == 0:
		t.gate(s.Name, because(CodeNoneReady))
	case !p.okIn:
		t.gate(s.Name, t.few(s, v))
	}
	return p
}
