package decide

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// The world of these tests: any policy that Check would let pass, any past that
// a walk with it leads to, and any observation, broken ones included.

func anyPolicy(t *rapid.T) policy.App {
	p := web()
	p.Min = rapid.IntRange(1, 10).Draw(t, "min")
	p.Max = rapid.IntRange(p.Min, 60).Draw(t, "max")
	p.Ceiling = rapid.SampledFrom([]int{0, 60, 100}).Draw(t, "ceiling")
	p.Mode = rapid.SampledFrom([]policy.Mode{policy.Active, policy.Active, policy.Advise, policy.Paused}).Draw(t, "mode")
	memory := memorySignal()
	if rapid.Bool().Draw(t, "near") {
		memory.Min.Value, memory.StepIn = 0.7, 3
	}
	signals := []policy.Signal{cpuSignal(), rpsSignal(), meanSignal(), memory, ladder(t), desired()}
	p.Signals = nil
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 1, 3, rapid.ID[int]).Draw(t, "signals") {
		p.Signals = append(p.Signals, signals[i])
	}
	p.Out = policy.Out{
		Window: rapid.SampledFrom([]time.Duration{0, 10 * time.Second}).Draw(t, "out window"),
		Rate:   anyRates(t, "out rate"),
	}
	p.In = policy.In{
		Window: rapid.SampledFrom([]time.Duration{6 * time.Second, 20 * time.Second}).Draw(t, "in window"),
		Rate:   anyRates(t, "in rate"),
	}
	if rapid.Bool().Draw(t, "bands") {
		p.Out.Tolerance, p.In.DeadBand = 0.1, 0.3
	}
	p.Schedules = anySchedules(t, p.Max)
	if rapid.Bool().Draw(t, "panic") {
		p.Fallback = &policy.Fallback{After: 4 * time.Second, Action: policy.AtLeast, Replicas: rapid.IntRange(1, 70).Draw(t, "fallback")}
		p.Budget = &policy.Budget{Changes: rapid.IntRange(1, 30).Draw(t, "budget"), Window: time.Minute}
		p.In.Cooldown = rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(t, "cooldown")
		p.Panic = &policy.Panic{Threshold: 2, Hold: 10 * time.Second, MaxAdd: rapid.IntRange(0, 20).Draw(t, "max add")}
	}
	ahead(t, &p)
	return p
}

// ahead gives a policy what looks ahead, and what looks after replicas that come.
func ahead(t *rapid.T, p *policy.App) {
	if rapid.Bool().Draw(t, "lead") {
		p.Out.Lead = policy.Span{Auto: true}
	}
	if rapid.Bool().Draw(t, "settle") {
		p.In.Settle = policy.Span{Time: rapid.SampledFrom([]time.Duration{0, 4 * time.Second, 30 * time.Second}).Draw(t, "for")}
	}
	if rapid.Bool().Draw(t, "event") {
		p.Events = []policy.Event{{
			Name: "sale", At: noon.Add(time.Duration(rapid.IntRange(-60, 240).Draw(t, "begins")) * time.Second),
			Duration: time.Duration(rapid.IntRange(10, 200).Draw(t, "lasts")) * time.Second,
			Factor:   rapid.Float64Range(0.1, 20).Draw(t, "factor"), Base: policy.SameHourLastWeek,
		}}
	}
	if rapid.Bool().Draw(t, "stuck") {
		p.StuckAfter = rapid.SampledFrom([]time.Duration{0, 10 * time.Second, time.Minute}).Draw(t, "after")
	}
	if rapid.IntRange(0, 3).Draw(t, "sleeps") == 0 && slices.ContainsFunc(p.Signals, func(s policy.Signal) bool { return s.Whole() }) {
		p.Min = 0
		p.AllowZero = &policy.AllowZero{IdleFor: rapid.SampledFrom([]time.Duration{0, 10 * time.Second}).Draw(t, "idle"), Activation: rapid.SampledFrom([]float64{0, 10}).Draw(t, "activation")}
	}
	for i := range p.Signals {
		if rapid.Bool().Draw(t, "coverage") {
			p.Signals[i].Coverage = policy.Coverage{Out: 0.3, In: 0.9}
		}
	}
}

// anySchedules are windows near the times at which walks go.
func anySchedules(t *rapid.T, most int) []policy.Schedule {
	schedule := rapid.Custom(func(t *rapid.T) policy.Schedule {
		s := policy.Schedule{
			Name: "s", At: noon.Add(time.Duration(rapid.IntRange(-60, 60).Draw(t, "opens")) * time.Second),
			Duration: time.Duration(rapid.IntRange(1, 120).Draw(t, "seconds")) * time.Second,
			Floor:    rapid.IntRange(0, most+5).Draw(t, "floor"),
			Ceiling:  rapid.IntRange(0, most+5).Draw(t, "ceiling"),
		}
		if rapid.Bool().Draw(t, "ramp") {
			s.Ramp, s.Lead = s.Duration/2, policy.Span{Time: 10 * time.Second}
		}
		return s
	})
	return rapid.SliceOfN(schedule, 0, 2).Draw(t, "schedules")
}

// ladder is one whose rows need not make sense.
func ladder(t *rapid.T) policy.Signal {
	s := policy.Signal{Name: "ladder", Type: policy.Steps, Source: policy.CPU, Of: policy.Limit, MaxAge: 15 * time.Second}
	amount := rapid.SampledFrom([]policy.Amount{{Value: 1, Unit: policy.Plain}, {Value: 5, Unit: policy.Plain}, {Value: 0.3, Unit: policy.Share}, {Value: 2, Unit: policy.Share}})
	for range rapid.IntRange(1, 4).Draw(t, "rows") {
		var r policy.Row
		at := policy.Amount{Value: rapid.Float64Range(0.05, 1).Draw(t, "at"), Unit: policy.Share}
		if set := rapid.IntRange(0, 20).Draw(t, "set"); set > 10 {
			r.Set = set
		}
		if rapid.Bool().Draw(t, "above") {
			r.Above, r.Add = at, amount.Draw(t, "add")
		} else {
			r.Below, r.Remove = at, amount.Draw(t, "remove")
		}
		s.Rows = append(s.Rows, r)
	}
	return s
}

func desired() policy.Signal {
	return policy.Signal{Name: "desired", Type: policy.Desired, Source: policy.Query, Query: "n", MaxAge: 15 * time.Second}
}

func anyRates(t *rapid.T, label string) []policy.Rate {
	rate := rapid.Custom(func(t *rapid.T) policy.Rate {
		r := policy.Rate{
			Replicas: rapid.IntRange(1, 10).Draw(t, "replicas"),
			Per:      rapid.SampledFrom([]time.Duration{2 * time.Second, 15 * time.Second, time.Minute}).Draw(t, "per"),
		}
		if rapid.Bool().Draw(t, "percent") {
			r.Percent = 0.5
		}
		return r
	})
	return rapid.SliceOfN(rate, 0, 2).Draw(t, label)
}

// readingsOf are readings for the policy's signals; sound ones only if sound.
func readingsOf(t *rapid.T, p policy.App, now time.Time, replicas int, sound bool) []Reading {
	var readings []Reading
	for _, s := range p.Signals {
		most := 1.2
		if s.Source == policy.Query {
			most = 120
		}
		load := rapid.Float64Range(0, most).Draw(t, s.Name)
		var r Reading
		switch {
		case s.Kind == policy.Total:
			r = whole(s.Name, now, load*float64(max(1, replicas)))
		case s.Source == policy.Query:
			r = whole(s.Name, now, load)
		default:
			r = share(load*float64(replicas))(now, replicas)[0]
			r.Signal = s.Name
		}
		if !sound {
			spoil(t, &r)
		}
		readings = append(readings, r)
	}
	return readings
}

// spoil breaks a reading in one of the ways that readings break, or not at all.
func spoil(t *rapid.T, r *Reading) {
	first := func(v float64) {
		if len(r.Samples) > 0 {
			r.Samples[0].Value = v
		}
	}
	switch rapid.IntRange(0, 12).Draw(t, "fault") {
	case 0:
		r.Samples, r.Err = nil, "timeout"
	case 1:
		r.Samples = nil
	case 2:
		first(math.NaN())
	case 3:
		first(math.Inf(1))
	case 4:
		first(-1)
	case 5:
		first(1e12)
	case 6:
		for i := range r.Samples {
			r.Samples[i].At = r.Samples[i].At.Add(-time.Hour)
		}
	case 7:
		r.Samples = r.Samples[:len(r.Samples)/2]
	case 8:
		r.Signal = "another"
	}
}

// anyWalk is a policy with a past of some ticks, most of them sound.
func anyWalk(t *rapid.T) *walk {
	w := &walk{policy: anyPolicy(t), now: noon}
	w.desired = rapid.IntRange(1, 60).Draw(t, "replicas")
	for range rapid.IntRange(0, 25).Draw(t, "ticks") {
		anyStep(t, w)
	}
	return w
}

func anyStep(t *rapid.T, w *walk) Decision {
	sound := rapid.IntRange(0, 9).Draw(t, "sound") > 0
	d := 2 * time.Second
	if rapid.IntRange(0, 40).Draw(t, "jump") == 0 {
		d = rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour, -time.Second, -time.Hour}).Draw(t, "by")
	}
	if rapid.IntRange(0, 40).Draw(t, "hand") == 0 {
		w.desired = rapid.IntRange(1, 60).Draw(t, "by hand")
	}
	return w.step(d, func(now time.Time, n int) []Reading { return readingsOf(t, w.policy, now, n, sound) })
}

func anyObservation(t *rapid.T, w *walk, sound bool) Observation {
	now := w.now.Add(2 * time.Second)
	o := Observation{Now: now, Desired: w.desired, Ready: w.desired}
	if !sound {
		o.Ready = rapid.IntRange(0, w.desired+2).Draw(t, "ready")
		o.Updating = rapid.Bool().Draw(t, "updating")
	}
	o.Signals = readingsOf(t, w.policy, now, w.desired, sound)
	return o
}

func text(t *rapid.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestNoDecisionLeavesTheBounds(t *testing.T) { // I1
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		for range 20 {
			d := anyStep(t, w)
			from := d.From
			switch {
			case d.To > from && d.To > w.policy.Max, d.To < from && d.To < w.policy.Min:
				t.Fatalf("%d → %d leaves %d…%d", from, d.To, w.policy.Min, w.policy.Max)
			case from < w.policy.Min && d.To < w.policy.Min && w.policy.Mode != policy.Paused:
				t.Fatalf("%d → %d stays below min %d", from, d.To, w.policy.Min)
			}
		}
	})
}

func TestTheSameInputGivesTheSameBytesAndIsLeftAlone(t *testing.T) { // I2
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		o := anyObservation(t, w, false)
		before := text(t, w.state) + text(t, o) + text(t, w.policy)
		s1, d1 := Next(w.policy, w.state, o)
		s2, d2 := Next(w.policy, w.state, o)
		if text(t, s1) != text(t, s2) || text(t, d1) != text(t, d2) {
			t.Fatal("two answers to one question")
		}
		later := o
		later.Now = o.Now.Add(2 * time.Second)
		kept := text(t, s1)
		Next(w.policy, s1, later)
		if text(t, w.state)+text(t, o)+text(t, w.policy) != before || text(t, s1) != kept {
			t.Fatal("an input was changed")
		}
	})
}

func TestWhatIsNotKnownNeverShrinks(t *testing.T) { // I3, I4
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		o := anyObservation(t, w, true)
		i := rapid.IntRange(0, len(o.Signals)-1).Draw(t, "which")
		r := &o.Signals[i]
		switch rapid.IntRange(0, 7).Draw(t, "fault") {
		case 0:
			r.Err = "timeout"
		case 1:
			r.Samples = nil
		case 2:
			r.Samples[0].Value = math.NaN()
		case 3:
			r.Samples[0].Value = math.Inf(-1)
		case 4:
			r.Samples[0].Value = -1
		case 5:
			for j := range r.Samples {
				r.Samples[j].At = r.Samples[j].At.Add(-time.Minute)
			}
		case 6:
			o.Signals = slices.Delete(o.Signals, i, i+1)
		case 7:
			o.Ready = 0
		}
		if _, d := Next(w.policy, w.state, o); d.To < d.From {
			t.Fatal(d.Why())
		}
	})
}

func TestMoreLoadNeverMeansFewerReplicas(t *testing.T) { // I5
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		o := anyObservation(t, w, true)
		_, before := Next(w.policy, w.state, o)
		samples := o.Signals[rapid.IntRange(0, len(o.Signals)-1).Draw(t, "which")].Samples
		samples[rapid.IntRange(0, len(samples)-1).Draw(t, "replica")].Value *= rapid.Float64Range(1, 10).Draw(t, "times")
		_, after := Next(w.policy, w.state, o)
		if after.To < before.To && !gated(after, GateRefused) {
			t.Fatalf("less load: %s\nmore load: %s", before.Why(), after.Why())
		}
	})
}

func TestOneMoreSignalNeverMeansFewerReplicas(t *testing.T) { // I6
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		o := anyObservation(t, w, true)
		fewer := w.policy
		fewer.Signals = w.policy.Signals[:len(w.policy.Signals)-1]
		_, all := Next(w.policy, w.state, o)
		if _, some := Next(fewer, w.state, o); all.To < some.To && len(fewer.Signals) > 0 && !gated(all, GateRefused) {
			t.Fatalf("all signals: %s\none fewer: %s", all.Why(), some.Why())
		}
	})
}

func TestAHigherFloorNeverMeansFewerReplicas(t *testing.T) { // I7
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		o := anyObservation(t, w, false)
		_, before := Next(w.policy, w.state, o)
		p := w.policy
		p.Schedules = slices.Clone(p.Schedules)
		p.Schedules = append(p.Schedules, policy.Schedule{Name: "more", At: o.Now.Add(-time.Minute), Duration: time.Hour, Floor: rapid.IntRange(1, 80).Draw(t, "more")})
		if _, after := Next(p, w.state, o); after.To < before.To {
			t.Fatalf("%s\nwith a floor: %s", before.Why(), after.Why())
		}
	})
}

func TestAConstantLoadIsAnsweredOnce(t *testing.T) { // I8
	rapid.Check(t, func(t *rapid.T) {
		p := anyPolicy(t)
		p.Mode, p.Signals = policy.Active, []policy.Signal{rpsSignal()}
		p.Out.Rate, p.In.Rate, p.Schedules, p.Events, p.Panic, p.Fallback, p.Budget = nil, nil, nil, nil, nil, nil, nil
		p.Min, p.AllowZero = max(1, p.Min), nil
		p.Signals[0].Target.Value = rapid.Float64Range(0.001, 1000).Draw(t, "target")
		w := &walk{policy: p, now: noon, desired: rapid.IntRange(1, 60).Draw(t, "replicas")}
		load := rapid.Float64Range(0, 50).Draw(t, "replicas' worth") * p.Signals[0].Target.Value
		lifted := w.desired < p.Min // min is not for the out window to wait for
		changes := 0
		for range 60 {
			before := w.desired
			d := w.step(2*time.Second, func(now time.Time, _ int) []Reading { return []Reading{whole("rps", now, load)} })
			if w.desired != before {
				changes++
			}
			if changes > 1 && !lifted {
				t.Fatal(d.Why())
			}
			lifted = lifted && changes < 2
		}
	})
}

func TestShrinkingTakesAFullWindowOfAgreement(t *testing.T) { // I9
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		w.state, w.policy.Mode = State{}, policy.Active
		type asked struct {
			at time.Time
			n  int
		}
		var past []asked
		began := w.now
		for range 60 {
			last := w.now
			d := anyStep(t, w)
			if w.now.Before(last) || w.now.Sub(last) > gap(&w.policy) || len(past) == 0 {
				began, past = w.now, nil
			}
			past = append(past, asked{w.now, recorded(d)})
			if d.To >= d.From {
				continue
			}
			start := w.now.Add(-w.policy.In.Window)
			if began.After(start) {
				t.Fatalf("only %v seen: %s", w.now.Sub(began), d.Why())
			}
			for _, a := range past {
				if !a.at.Before(start) && a.n > d.To {
					t.Fatalf("%d were asked for %v ago: %s", a.n, w.now.Sub(a.at), d.Why())
				}
			}
		}
	})
}

// recorded is the number that a decision left in the windows.
func recorded(d Decision) int {
	for _, s := range d.Stages {
		if s.Name == "record" {
			return s.Out
		}
	}
	return d.From
}

func TestNoRateIsExceeded(t *testing.T) { // I10
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		w.policy.Mode, w.policy.Schedules, w.policy.Events, w.policy.Panic, w.policy.Fallback = policy.Active, nil, nil, nil, nil // these are free of rates, or need none
		w.policy.Min, w.policy.AllowZero = max(1, w.policy.Min), nil
		w.state = State{}
		w.desired = max(w.desired, w.policy.Min) // lifting to min is free of rates
		type change struct {
			at time.Time
			by int
		}
		var changes []change
		for range 40 {
			before := w.desired
			d := w.step(2*time.Second, func(now time.Time, n int) []Reading { return readingsOf(t, w.policy, now, n, true) })
			if w.desired == before {
				continue
			}
			changes = append(changes, change{w.now, w.desired - before})
			rates, sign := w.policy.Out.Rate, 1
			if w.desired < before {
				rates, sign = w.policy.In.Rate, -1
			}
			for _, r := range rates {
				moved := 0
				for _, c := range changes {
					if w.now.Sub(c.at) < r.Per {
						moved += max(0, sign*c.by)
					}
				}
				if base := w.desired - sign*moved; moved > allowance(r, base, sign) {
					t.Fatalf("%d in %v of %d: %s", moved, r.Per, base, d.Why())
				}
			}
		}
	})
}

func TestOnlyAnActivePolicyMayBeCarriedOut(t *testing.T) { // I13
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		_, d := Next(w.policy, w.state, anyObservation(t, w, false))
		if d.Apply && (w.policy.Mode != policy.Active || d.To == d.From) {
			t.Fatalf("mode %s: %s", w.policy.Mode, d.Why())
		}
		if w.policy.Mode == policy.Paused && d.To != d.From {
			t.Fatal(d.Why())
		}
	})
}

func TestARestartChangesNothingAndALossIsCautious(t *testing.T) { // I14
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		o := anyObservation(t, w, false)
		s, kept := Next(w.policy, w.state, o)
		var back State
		if err := json.Unmarshal([]byte(text(t, w.state)), &back); err != nil {
			t.Fatal(err)
		}
		if s2, again := Next(w.policy, back, o); text(t, s2) != text(t, s) || text(t, again) != text(t, kept) {
			t.Fatalf("before the restart: %s\nafter it: %s", kept.Why(), again.Why())
		}
		if _, lost := Next(w.policy, State{}, o); lost.To < lost.From {
			t.Fatalf("without its past: %s", lost.Why())
		}
	})
}

func TestAClockThatJumpsNeverShrinks(t *testing.T) { // I15
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		o := anyObservation(t, w, false)
		if w.state.At.IsZero() {
			return // nothing to jump from
		}
		jump := rapid.SampledFrom([]time.Duration{-time.Nanosecond, -time.Second, -time.Hour, time.Hour, 1000 * time.Hour}).Draw(t, "jump")
		o.Now = w.state.At.Add(jump)
		for i := range o.Signals {
			for j := range o.Signals[i].Samples {
				o.Signals[i].Samples[j].At = o.Now
			}
		}
		if _, d := Next(w.policy, w.state, o); d.To < d.From {
			t.Fatal(d.Why())
		}
	})
}

func TestOrderDoesNotMatter(t *testing.T) { // I22
	rapid.Check(t, func(t *rapid.T) {
		w := anyWalk(t)
		o := anyObservation(t, w, false)
		_, before := Next(w.policy, w.state, o)
		p := w.policy
		p.Signals = rapid.Permutation(p.Signals).Draw(t, "policy")
		shuffled := o
		shuffled.Signals = rapid.Permutation(o.Signals).Draw(t, "readings")
		for i, r := range shuffled.Signals {
			if len(r.Samples) > 0 {
				shuffled.Signals[i].Samples = rapid.Permutation(r.Samples).Draw(t, "samples")
			}
		}
		_, after := Next(p, w.state, shuffled)
		if after.Action != before.Action || after.To != before.To {
			t.Fatalf("in one order: %s\nin another: %s", before.Why(), after.Why())
		}
	})
}
