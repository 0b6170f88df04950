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
		switch s.Type {
		case policy.Threshold:
			p = t.threshold(s, v)
		case policy.Steps:
			p = t.steps(s, v)
		case policy.Desired:
			p, wrong = t.desired(s, v)
		default:
			p, wrong = t.track(s, v, past)
		}
		if wrong.Code == "" {
			if past.Heard.IsZero() {
				past.Heard = t.obs.Now
			}
			p.load, p.tells = v.sum, v.whole
			p.early = settle(t.policy, s) - t.obs.Now.Sub(past.Heard)
			return t.cover(s, v, p)
		}
	}
	past.Heard = time.Time{}
	if s.Type == policy.Threshold {
		t.state.dropCounter(s.Name)
	}
	t.gate(s.Name, wrong)
	t.refused = t.refused || wrong.Code.Gate() == GateRefused
	t.says(s, t.from, t.from, wrong)
	return proposal{out: t.from, in: t.from}
}

// cover says which way a proposal may be heard, by how many replicas it knows
// of. When none is ready there is no load because there is no service.
func (t *turn) cover(s *policy.Signal, v values, p proposal) proposal {
	out, in := float64(s.Coverage.Out), float64(s.Coverage.In)
	if out <= 0 {
		out = coverOut
	}
	if in <= 0 {
		in = max(coverIn, out)
	}
	ready := t.obs.Ready
	heard := 1.0
	if !v.single {
		heard = float64(v.count) / float64(max(1, ready))
	}
	p.okOut = heard >= out
	p.okIn = heard >= in && ready > 0
	switch {
	case t.from == 0:
	case ready == 0:
		t.gate(s.Name, because(CodeNoneReady))
	case !p.okIn:
		t.gate(s.Name, because(CodeFewHeard, count(v.count), count(ready), percent(in)))
	}
	return p
}
