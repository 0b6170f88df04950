package decide

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// probes is how many questions probe knows.
const probes = 7

// probe asks one question besides, about the decision that was just made: what it
// would have been, had something been different.
func (c *course) probe(h *happening, in Input, d Decision) string {
	r := rand.New(rand.NewPCG(h.Shuffle, uint64(h.Probe)))
	f := in.Policy.Fallback
	fallsIn := f != nil && f.AllowIn
	switch h.Probe {
	case 1:
		return c.pure(in, d)
	case 2: // I14: a restart changes nothing, and a lost past never shrinks
		var back Input
		if problem := again(in, &back); problem != "" {
			return problem
		}
		if _, e := back.Decide(); asJSON(e) != asJSON(d) {
			return "after a restart: " + e.Why()
		}
		in.State = State{}
		if _, e := in.Decide(); e.To < e.From && !fallsIn {
			return "without its past: " + e.Why()
		}
		lost := in
		lost.State = back.State.Clone()
		lost.State.Lost(in.Observation.Now)
		if _, e := lost.Decide(); e.To < e.From && !fallsIn {
			return "with a past that may have holes: " + e.Why()
		}
	case 3: // I15: a clock that jumps
		if in.State.At.IsZero() {
			return ""
		}
		o := &in.Observation
		by := in.State.At.Add([]time.Duration{-time.Nanosecond, -time.Second, -time.Hour, time.Hour, 1000 * time.Hour}[r.IntN(5)]).Sub(o.Now)
		o.Now = o.Now.Add(by)
		o.Signals = moved(o.Signals, by)
		if _, e := in.Decide(); e.To < e.From && !fallsIn {
			return "after a jump of the clock by " + by.String() + ": " + e.Why()
		}
	case 4: // I5: more load
		if i, j, ok := anySample(r, in.Observation); ok {
			o := &in.Observation
			o.Signals = moved(o.Signals, 0)
			o.Signals[i].Samples[j].Value *= 1 + 9*r.Float64()
			if _, e := in.Decide(); e.To < d.To && !gated(e, GateRefused) {
				return "with more load: " + e.Why()
			}
		}
	case 5: // I22: order
		in.Observation = shuffled(in.Observation, r.Uint64())
		if _, e := in.Decide(); asJSON(e) != asJSON(d) {
			return "with readings in another order: " + e.Why()
		}
		if len(in.Policy.Events) > 0 {
			return "" // their base is in the unit of the first
		}
		in.Policy.Signals = slices.Clone(in.Policy.Signals)
		r.Shuffle(len(in.Policy.Signals), func(i, j int) {
			s := in.Policy.Signals
			s[i], s[j] = s[j], s[i]
		})
		if _, e := in.Decide(); e.Action != d.Action || e.To != d.To {
			return "in another order: " + e.Why()
		}
	case 6: // I7: less is known
		if n := len(in.Observation.Signals); n > 0 && !fallsIn && !twiceRead(in.Observation) {
			i := r.IntN(n)
			in.Observation.Signals = slices.Delete(slices.Clone(in.Observation.Signals), i, i+1)
			if _, e := in.Decide(); e.To < e.From {
				return "without a signal: " + e.Why()
			}
		}
	case 7: // I7: a higher floor, by hand
		o := &in.Observation
		now := o.Now
		o.Hand.Floor = max(o.Hand.Floor, 1+r.IntN(40))
		if !o.Hand.Until.After(now) {
			o.Hand.Until, o.Hand.Ceiling = now.Add(time.Minute), 0
		}
		if _, e := in.Decide(); e.To < d.To {
			return "with a higher floor: " + e.Why()
		}
	}
	return ""
}

// pure is I2: the same input gives the same bytes, whether in memory that was used
// before or not, and is left alone.
func (c *course) pure(in Input, d Decision) string {
	before := asJSON(in)
	s, e := in.Decide()
	if asJSON(e) != asJSON(d) || asJSON(s) != asJSON(c.state) {
		return "two answers to one question: " + e.Why()
	}
	kept := asJSON(s) + asJSON(e)
	later := in
	later.State, later.Observation.Now = s, in.Observation.Now.Add(2*time.Second)
	later.Decide()
	if asJSON(in) != before || asJSON(s)+asJSON(e) != kept {
		return "an input was changed"
	}
	return ""
}

// again is v as it comes back from JSON.
func again(v Input, back *Input) string {
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, back)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func asJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// moved are readings at other times, which may be changed.
func moved(readings []Reading, by time.Duration) []Reading {
	readings = slices.Clone(readings)
	for i := range readings {
		readings[i].Samples = slices.Clone(readings[i].Samples)
		for j := range readings[i].Samples {
			readings[i].Samples[j].At = readings[i].Samples[j].At.Add(by)
		}
	}
	return readings
}

func anySample(r *rand.Rand, o Observation) (i, j int, ok bool) {
	if len(o.Signals) == 0 {
		return 0, 0, false
	}
	i = r.IntN(len(o.Signals))
	n := len(o.Signals[i].Samples)
	if n == 0 {
		return 0, 0, false
	}
	j = r.IntN(n)
	v := o.Signals[i].Samples[j].Value
	return i, j, v >= 0 && !math.IsInf(v, 0)
}

// twiceRead tells whether there are two readings of a signal.
func twiceRead(o Observation) bool {
	for i := range o.Signals {
		for j := range i {
			if o.Signals[i].Signal == o.Signals[j].Signal {
				return true
			}
		}
	}
	return false
}
