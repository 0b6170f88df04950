package decide

import (
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Next decides, and returns the state to hand to the next call. Whether the
// last decision was carried out it sees from what the platform was asked for.
// What it is handed it leaves alone, and it keeps none of it.
//
// The caller hands in the State of the same policy; after an edit of the
// policy, a zero State makes sure that nothing shrinks on old readings.
func Next(p policy.App, s State, o Observation) (State, Decision) {
	var d Decider
	next := s.Clone()
	decision := d.Next(&p, &next, &o)
	return next, *decision
}

// Decider decides like Next, in memory that it uses again: one that holds, as
// most do, allocates nothing. It is not safe for concurrent use. The zero Decider
// is ready, and remembers nothing that a decision depends on.
type Decider struct {
	turn turn

	target policy.Target // whose text named is
	named  string
}

// Next decides, and makes s the state to hand to the next call. The decision is
// valid until then; Clone keeps it. Policy and observation are only read.
func (d *Decider) Next(p *policy.App, s *State, o *Observation) *Decision {
	t := &d.turn
	t.begin(p, s, o)
	if o.Err != "" {
		t.unseen()
		return &t.decision
	}
	if d.named == "" || d.target != p.Target {
		d.target, d.named = p.Target, p.Target.String()
	}
	s.resume(p, d.named, &t.obs)
	if o.Desired == 0 && !t.sleeps() && s.None != Slept {
		t.stopped()
		return &t.decision
	}
	t.decide()
	return &t.decision
}

// turn is one decision in the making.
type turn struct {
	policy   *policy.App
	obs      Observation
	from     int    // replicas asked for now
	state    *State // as the next call will see it
	decision Decision

	proposals []proposal
	samples   []Sample // room to sort them in
	reach     reach
	agreed    bool // whether every signal would let the workload shrink
	refused   bool // whether a signal asked for something absurd
	woken     bool // whether there is load for a workload without replicas
}

// begin is a new turn, in the memory of the one before.
func (t *turn) begin(p *policy.App, s *State, o *Observation) {
	if t.decision.Stages == nil {
		t.decision.Stages = make([]Stage, 0, len(p.Signals)+12)
	}
	*t = turn{
		policy: p, obs: *o, from: o.Desired, state: s,
		decision: Decision{
			Action: Hold, From: o.Desired, To: o.Desired,
			Stages: t.decision.Stages[:0], Gates: t.decision.Gates[:0],
		},
		proposals: t.proposals[:0], samples: t.samples[:0],
	}
	t.obs.Now = wall(o.Now)
}

// stage adds a line to the decision: the number that went in, the one that came
// out, and whether that is against its will.
func (t *turn) stage(name string, in, out int, bound bool, r Reason) {
	t.decision.Stages = append(t.decision.Stages, Stage{Name: name, In: in, Out: out, Bound: bound, Reason: r})
}

// gate adds what stood in the way; the code knows which gate it is. The signal is
// the one it is about, or empty.
func (t *turn) gate(signal string, r Reason) {
	t.decision.Gates = append(t.decision.Gates, Gate{Name: r.Code.Gate(), Signal: signal, Reason: r})
}

// gated tells whether a gate of that name stands in the way already.
func (t *turn) gated(name string) bool {
	for i := range t.decision.Gates {
		if t.decision.Gates[i].Name == name {
			return true
		}
	}
	return false
}

// speak makes the stages from first up to end what the decision is for.
func (t *turn) speak(first, end int) {
	for i := range t.decision.Stages {
		t.decision.Stages[i].speaks = first <= i && i < end
	}
}

// speakToo adds the last stage to what the decision is for.
func (t *turn) speakToo() {
	t.decision.Stages[len(t.decision.Stages)-1].speaks = true
}

// speakAlone makes the last stage what the decision is for.
func (t *turn) speakAlone() {
	n := len(t.decision.Stages)
	t.speak(n-1, n)
}

// wall is a time without its monotonic reading, which a journal cannot keep.
func wall(t time.Time) time.Time { return t.Round(0).UTC() }
