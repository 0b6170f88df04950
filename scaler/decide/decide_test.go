package decide

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

var noon = time.Date(2026, 11, 11, 12, 0, 0, 0, time.UTC)

// web is a policy that holds CPU at 50% of the limit.
func web() policy.App {
	return policy.App{
		Name: "web", Mode: policy.Active, Target: policy.Target{Driver: "fake", Service: "web"},
		Interval: 2 * time.Second, Min: 2, Max: 40,
		Signals: []policy.Signal{cpuSignal()},
		Out:     policy.Out{Rate: []policy.Rate{{Replicas: 10, Percent: 3, Per: 15 * time.Second}}},
		In:      policy.In{DeadBand: 0.1, Window: time.Minute, Rate: []policy.Rate{{Replicas: 1, Percent: 0.5, Per: time.Minute}}},
	}
}

func cpuSignal() policy.Signal {
	return policy.Signal{
		Name: "cpu", Type: policy.Track, Source: policy.CPU, Of: policy.Limit, Kind: policy.Utilization,
		Target: policy.Amount{Value: 0.5, Unit: policy.Share}, MaxAge: 15 * time.Second,
		Saturation: policy.Saturation{Above: 0.95, Boost: 3},
	}
}

func rpsSignal() policy.Signal {
	return policy.Signal{
		Name: "rps", Type: policy.Track, Source: policy.Query, Query: "sum(rps)", Kind: policy.Total,
		Target: policy.Amount{Value: 100, Unit: policy.Plain}, MaxAge: 15 * time.Second,
	}
}

func meanSignal() policy.Signal {
	s := rpsSignal()
	s.Name, s.Kind = "mean", policy.Average
	return s
}

func memorySignal() policy.Signal {
	return policy.Signal{
		Name: "memory", Type: policy.Threshold, Source: policy.Memory, Of: policy.Limit,
		Max: policy.Amount{Value: 0.8, Unit: policy.Share}, Min: policy.Amount{Value: 0.3, Unit: policy.Share},
		StepOut: 2, StepIn: 1, Window: 10 * time.Second, Samples: 2, MaxAge: 15 * time.Second,
	}
}

// each is a reading with a sample for each replica, taken now.
func each(signal string, now time.Time, loads ...float64) Reading {
	r := Reading{Signal: signal}
	for i, v := range loads {
		r.Samples = append(r.Samples, Sample{Replica: string(rune('a' + i)), At: now, Value: v})
	}
	return r
}

// whole is a reading of one value for all replicas.
func whole(signal string, now time.Time, v float64) Reading {
	return Reading{Signal: signal, Samples: []Sample{{At: now, Value: v}}}
}

// settled is a past in which the whole in window asked for n replicas.
func settled(p policy.App, now time.Time, from, n int) State {
	at := now.Add(-p.Interval)
	return State{
		Version: StateVersion, Target: p.Target.String(), At: at, Desired: from,
		Most:  Window{Since: now.Add(-time.Hour), Asked: []Ask{{at, n}}},
		Least: Window{Since: now.Add(-time.Hour), Asked: []Ask{{at, n}}},
	}
}

func TestNext(t *testing.T) {
	four := func(loads ...float64) Observation {
		return Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{each("cpu", noon, loads...)}}
	}
	one := func(v float64) Observation {
		return Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{whole("rps", noon, v)}}
	}
	late := func(d time.Duration) Observation {
		o := four(0.9, 0.9, 0.9, 0.9)
		for i := range o.Signals[0].Samples {
			o.Signals[0].Samples[i].At = noon.Add(-d)
		}
		return o
	}
	tests := map[string]struct {
		policy func(*policy.App)
		past   State // zero: the whole in window asked for 1
		obs    Observation
		edit   func(*Observation)
		action Action
		to     int
		gate   string // of the first gate
		why    string
	}{
		"inside the target nothing moves":             {obs: four(0.5, 0.5, 0.5, 0.4), action: Hold, to: 4, why: "hold 4: cpu: 190% over 4 replicas, target 50%: 4 replicas"},
		"a surge is answered at once":                 {obs: four(0.9, 0.9, 0.9, 0.9), action: Grow, to: 8, why: "4 → 8: cpu: 360% over 4 replicas, target 50%: 8 replicas"},
		"a lasting lull is obeyed":                    {obs: four(0.2, 0.2, 0.2, 0.2), action: Shrink, to: 2, why: "4 → 2: cpu: 80% over 4 replicas, target 50%: 2 replicas"},
		"a lull must last":                            {past: settled(web(), noon, 4, 4), obs: four(0.2, 0.2, 0.2, 0.2), action: Hold, to: 4, gate: GateSettling},
		"the most of the window is what a lull gets":  {past: settled(web(), noon, 4, 3), obs: four(0.2, 0.2, 0.2, 0.2), action: Shrink, to: 3},
		"a fresh start never shrinks":                 {past: State{Version: 99}, obs: four(0.1, 0.1, 0.1, 0.1), action: Hold, to: 4, gate: GateSettling, why: "hold 4: cpu: 40% over 4 replicas, target 50%: 1 replicas; 1 is too few, min is 2; 2 would do, but only 0s of the in window of 1m have been seen"},
		"the past of another workload does not count": {past: func() State { s := settled(web(), noon, 4, 1); s.Target = "fake/other"; return s }(), obs: four(0.2, 0.2, 0.2, 0.2), action: Hold, to: 4, gate: GateSettling},
		"never above max":                             {obs: four(5, 5, 5, 5), policy: func(p *policy.App) { p.Max = 6 }, action: Grow, to: 6, gate: GateMax},
		"never below min":                             {obs: four(0, 0, 0, 0), policy: func(p *policy.App) { p.Min = 3 }, action: Shrink, to: 3, gate: GateMin},
		"growth above target within tolerance waits":  {obs: four(0.54, 0.54, 0.54, 0.54), policy: func(p *policy.App) { p.Out.Tolerance = 0.1 }, action: Hold, to: 4},
		"little less is not worth it":                 {obs: four(0.4, 0.4, 0.3, 0.3), policy: func(p *policy.App) { p.In.DeadBand = 0.3 }, action: Hold, to: 4},

		"old samples never shrink":                      {obs: late(16 * time.Second), action: Hold, to: 4, gate: GateInvalid, why: "hold 4: no signal asks for more, 0 of 1 can be trusted to shrink; cpu has no sample younger than 16s, max_age is 15s"},
		"old samples do not grow either":                {obs: late(time.Hour), action: Hold, to: 4, gate: GateInvalid},
		"samples from the future are as doubtful":       {obs: late(-time.Hour), action: Hold, to: 4, gate: GateInvalid},
		"samples up to max_age count":                   {obs: late(15 * time.Second), action: Grow, to: 8},
		"no samples never shrink":                       {obs: four(), action: Hold, to: 4, gate: GateInvalid},
		"a failed query never shrinks":                  {obs: Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{{Signal: "cpu", Err: "timeout"}}}, action: Hold, to: 4, gate: GateInvalid, why: "hold 4: no signal asks for more, 0 of 1 can be trusted to shrink; cpu could not be read: timeout"},
		"a signal that was not read never shrinks":      {obs: Observation{Now: noon, Desired: 4, Ready: 4}, action: Hold, to: 4, gate: GateInvalid},
		"a signal read twice is not believed":           {obs: Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{each("cpu", noon, 0), each("cpu", noon, 1)}}, action: Hold, to: 4, gate: GateInvalid},
		"a negative load is not believed":               {obs: four(0.1, 0.1, -1, 0.1), action: Hold, to: 4, gate: GateInvalid},
		"NaN is refused":                                {obs: four(0.1, math.NaN(), 0.1, 0.1), action: Refuse, to: 4, gate: GateRefused, why: "refuse, stay at 4: cpu reads NaN, which is no number"},
		"an infinite load is refused":                   {obs: four(math.Inf(1), 0.9, 0.9, 0.9), action: Refuse, to: 4, gate: GateRefused},
		"a policy without signals holds":                {policy: func(p *policy.App) { p.Signals = nil }, obs: four(), action: Hold, to: 4},
		"few replicas heard, none goes":                 {obs: four(0.1, 0.1, 0.1), action: Hold, to: 4, gate: GatePartial, why: "hold 4: no signal asks for more, 0 of 1 can be trusted to shrink; cpu hears 3 of 4 ready replicas, fewer than the 80% it takes to shrink"},
		"half of the replicas heard can still grow":     {obs: four(2, 2), action: Grow, to: 8},
		"less than half heard cannot":                   {obs: four(3), action: Hold, to: 4, gate: GatePartial},
		"a silent replica counts full going in":         {obs: four(0.3, 0.3, 0.3, 0.3), edit: func(o *Observation) { o.Desired = 5 }, past: settled(web(), noon, 5, 1), action: Shrink, to: 4}, // 120% and a full one
		"an old sample among fresh ones does not count": {obs: four(0.1, 0.1, 0.1, 9), edit: func(o *Observation) { o.Signals[0].Samples[3].At = noon.Add(-time.Minute) }, action: Hold, to: 4, gate: GatePartial},
		"no window at all still needs a past":           {policy: func(p *policy.App) { p.In.Window = 0 }, past: State{Version: 99}, obs: four(0.1, 0.1, 0.1, 0.1), action: Hold, to: 4, gate: GateSettling},
		"a replica heard twice counts once": {obs: four(0.3, 0.3, 0.3, 0.3), edit: func(o *Observation) {
			o.Signals[0].Samples = append(o.Signals[0].Samples, Sample{Replica: "a", At: noon.Add(-time.Second), Value: 0.9})
		}, action: Shrink, to: 3},
		"the surplus of an update is no load":       {obs: four(0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4), action: Hold, to: 4},
		"replicas on their way are not asked again": {obs: four(0.9, 0.9, 0.9, 0.9), edit: func(o *Observation) { o.Desired = 8 }, past: settled(web(), noon, 8, 8), action: Hold, to: 8},
		"an update shrinks nothing":                 {obs: four(0.1, 0.1, 0.1, 0.1), edit: func(o *Observation) { o.Updating = true }, action: Hold, to: 4, gate: GateUpdating},
		"an update may grow":                        {obs: four(0.9, 0.9, 0.9, 0.9), edit: func(o *Observation) { o.Updating = true }, action: Grow, to: 8},
		"when none is ready nothing shrinks":        {policy: func(p *policy.App) { p.Signals[0] = rpsSignal() }, obs: one(0), edit: func(o *Observation) { o.Ready = 0 }, action: Hold, to: 4, gate: GatePartial},

		"a total is shared by all":               {policy: func(p *policy.App) { p.Signals[0] = rpsSignal() }, obs: one(750), action: Grow, to: 8},
		"a total must be one number":             {policy: func(p *policy.App) { p.Signals[0] = rpsSignal() }, obs: Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{each("rps", noon, 1, 1)}}, action: Hold, to: 4, gate: GateInvalid},
		"a unit slip reaches no driver":          {policy: func(p *policy.App) { p.Signals[0] = rpsSignal() }, obs: one(1e12), action: Refuse, to: 4, gate: GateRefused, why: "refuse, stay at 4: rps asks for 1e+10 replicas, more than the ceiling of 500"},
		"the ceiling itself is no slip":          {policy: func(p *policy.App) { p.Signals[0] = rpsSignal(); p.Max = 500; p.Out.Rate = nil }, obs: one(50_000), action: Grow, to: 500},
		"the scaler's ceiling counts":            {policy: func(p *policy.App) { p.Signals[0] = rpsSignal(); p.Ceiling = 9 }, obs: one(1000), action: Refuse, to: 4, gate: GateRefused},
		"a sum beyond all numbers is refused":    {obs: four(math.MaxFloat64, math.MaxFloat64, 0, 0), action: Refuse, to: 4, gate: GateRefused},
		"a target of zero is refused":            {policy: func(p *policy.App) { p.Signals[0].Target.Value = 0 }, obs: four(0, 0, 0, 0), action: Refuse, to: 4, gate: GateRefused},
		"a mean counts for each that is ready":   {policy: func(p *policy.App) { p.Signals[0] = meanSignal() }, obs: Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{whole("mean", noon, 150)}}, action: Grow, to: 6},
		"a mean going in counts for those asked": {policy: func(p *policy.App) { p.Signals[0] = meanSignal(); p.In.Rate = nil }, obs: Observation{Now: noon, Desired: 4, Ready: 2, Signals: []Reading{whole("mean", noon, 60)}}, action: Shrink, to: 3},

		"one of two signals is enough to grow":     {policy: func(p *policy.App) { p.Signals = append(p.Signals, rpsSignal()) }, obs: four(0.1, 0.1, 0.1, 0.1), edit: func(o *Observation) { o.Signals = append(o.Signals, whole("rps", noon, 900)) }, action: Grow, to: 9},
		"both must agree to shrink":                {policy: func(p *policy.App) { p.Signals = append(p.Signals, rpsSignal()) }, obs: four(0.1, 0.1, 0.1, 0.1), edit: func(o *Observation) { o.Signals = append(o.Signals, whole("rps", noon, 290)) }, action: Shrink, to: 3},
		"a silent signal forbids to shrink":        {policy: func(p *policy.App) { p.Signals = append(p.Signals, rpsSignal()) }, obs: four(0.1, 0.1, 0.1, 0.1), action: Hold, to: 4, gate: GateInvalid},
		"a silent signal does not forbid to grow":  {policy: func(p *policy.App) { p.Signals = append(p.Signals, rpsSignal()) }, obs: four(0.9, 0.9, 0.9, 0.9), action: Grow, to: 8, gate: GateInvalid},
		"an absurd signal does not forbid to grow": {policy: func(p *policy.App) { p.Signals = append(p.Signals, rpsSignal()) }, obs: four(0.9, 0.9, 0.9, 0.9), edit: func(o *Observation) { o.Signals = append(o.Signals, whole("rps", noon, 1e12)) }, action: Grow, to: 8, gate: GateRefused},

		"the out window asks for patience":            {policy: func(p *policy.App) { p.Out.Window = 30 * time.Second }, past: settled(web(), noon, 4, 4), obs: four(0.9, 0.9, 0.9, 0.9), action: Hold, to: 4, gate: GateWindow},
		"the least of the out window is what it gets": {policy: func(p *policy.App) { p.Out.Window = 30 * time.Second }, past: settled(web(), noon, 4, 6), obs: four(0.9, 0.9, 0.9, 0.9), action: Grow, to: 6},
		"growth is no faster than its rate":           {policy: func(p *policy.App) { p.Out.Rate = []policy.Rate{{Replicas: 1, Percent: 0.5, Per: time.Minute}} }, obs: four(0.9, 0.9, 0.9, 0.9), action: Grow, to: 6, gate: GateRate, why: "4 → 6: cpu: 360% over 4 replicas, target 50%: 8 replicas; 8 asked for, the rate is 1 or 50% in 1m: 2 may change, 0 did"},
		"all rates hold": {policy: func(p *policy.App) {
			p.Out.Rate = []policy.Rate{{Replicas: 9, Per: time.Minute}, {Replicas: 1, Per: time.Second}}
		}, obs: four(0.9, 0.9, 0.9, 0.9), action: Grow, to: 5, gate: GateRate},
		"shrinking is no faster than its rate": {policy: func(p *policy.App) { p.In.Rate = []policy.Rate{{Replicas: 1, Per: time.Minute}} }, obs: four(0.1, 0.1, 0.1, 0.1), action: Shrink, to: 3},

		"what lies below min grows without data":     {policy: func(p *policy.App) { p.Min = 7; p.Out.Rate[0] = policy.Rate{Replicas: 1, Per: time.Minute} }, obs: four(), action: Grow, to: 7, gate: GateInvalid},
		"what lies above max stays without data":     {policy: func(p *policy.App) { p.Max = 3 }, obs: four(), action: Hold, to: 4, gate: GateInvalid},
		"what lies above max comes down with data":   {policy: func(p *policy.App) { p.Max = 3 }, obs: four(0.9, 0.9, 0.9, 0.9), action: Shrink, to: 3, gate: GateMax},
		"above max nothing grows":                    {policy: func(p *policy.App) { p.Max = 3 }, past: settled(web(), noon, 4, 4), obs: four(0.9, 0.9, 0.9), action: Hold, to: 4, gate: GatePartial},
		"a policy without max does not shrink to it": {policy: func(p *policy.App) { p.Max = 0 }, obs: four(0.5, 0.5, 0.5, 0.5), action: Shrink, to: 2},
		"zero replicas are someone's will":           {obs: Observation{Now: noon, Signals: []Reading{each("cpu", noon, 1)}}, action: Hold, to: 0, gate: GateStopped},
		"a silent platform is left alone":            {obs: Observation{Now: noon, Err: "connection refused", Desired: 9}, action: Hold, to: 4, gate: GatePlatform, why: "hold: the platform could not be asked: connection refused"},

		"advice is not carried out":         {policy: func(p *policy.App) { p.Mode = policy.Advise }, obs: four(0.9, 0.9, 0.9, 0.9), action: Grow, to: 8, gate: GateAdvise},
		"a standby leaves it to the leader": {policy: func(p *policy.App) { p.Mode = policy.Standby }, obs: four(0.9, 0.9, 0.9, 0.9), action: Grow, to: 8, gate: GateStandby},
		"a policy without mode advises":     {policy: func(p *policy.App) { p.Mode = "" }, obs: four(0.9, 0.9, 0.9, 0.9), action: Grow, to: 8, gate: GateAdvise},
		"a paused policy holds":             {policy: func(p *policy.App) { p.Mode = policy.Paused }, obs: four(0.9, 0.9, 0.9, 0.9), action: Hold, to: 4, gate: GatePaused, why: "hold 4: cpu: 360% over 4 replicas, target 50%: 8 replicas; 8 would be next, but the policy is paused"},
		"a paused policy holds below min":   {policy: func(p *policy.App) { p.Mode = policy.Paused; p.Min = 9 }, obs: four(0.5, 0.5, 0.5, 0.5), action: Hold, to: 4, gate: GateMin},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, past, o := web(), tt.past, tt.obs
			if tt.policy != nil {
				tt.policy(&p)
			}
			if past.Version == 0 {
				past = settled(p, noon, 4, 1)
			}
			if tt.edit != nil {
				tt.edit(&o)
			}
			_, d := Next(p, past, o)
			if d.Action != tt.action || d.To != tt.to {
				t.Errorf("%s %d, want %s %d\n%s", d.Action, d.To, tt.action, tt.to, d.Why())
			}
			if tt.gate != "" && !gated(d, tt.gate) {
				t.Errorf("no gate %q among %+v", tt.gate, d.Gates)
			}
			if tt.why != "" && d.Why() != tt.why {
				t.Errorf("why  %s\nwant %s", d.Why(), tt.why)
			}
			if moves := d.To != d.From; d.Apply != (moves && p.Mode == policy.Active) {
				t.Errorf("apply %v in mode %q, from %d to %d", d.Apply, p.Mode, d.From, d.To)
			}
		})
	}
}

func gated(d Decision, name string) bool {
	for _, g := range d.Gates {
		if g.Name == name {
			return true
		}
	}
	return false
}

func TestTheStagesTellTheWayFromFromToTo(t *testing.T) {
	p := web()
	p.Max = 7
	p.Out.Rate = []policy.Rate{{Replicas: 2, Per: time.Minute}}
	_, d := Next(p, State{}, Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{each("cpu", noon, 0.9, 0.9, 0.9, 0.9)}})
	want := []Stage{
		{Name: "signal", Signal: "cpu", In: 4, Out: 8, Reason: Quote(CodeTrackEach, "360% over 4 replicas, target 50%: 8 replicas")},
		{Name: "combine", In: 4, Out: 8, Reason: Quote(CodeAsked, "cpu asks for the most")},
		{Name: "range", In: 8, Out: 7, Bound: true, Reason: Quote(CodeMax, "8 is too many, max is 7")},
		{Name: "record", In: 7, Out: 7, Reason: Quote(CodeRecorded, "least 7 in 0s, most 7 in 1m")},
		{Name: "stabilise", In: 7, Out: 7, Reason: Quote(CodeOutSeen, "at least 7 for 0s")},
		{Name: "rate", In: 7, Out: 6, Bound: true, Reason: Quote(CodeRate, "7 asked for, the rate is 2 or 0% in 1m: 2 may change, 0 did")},
		{Name: "bounds", In: 6, Out: 6, Reason: Quote(CodeWithin, "within 2 to 7")},
		{Name: "mode", In: 6, Out: 6, Reason: Quote(CodeMode, "active")},
	}
	if diff := cmp.Diff(want, d.Stages); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// walk runs a policy from one observation to the next as the loop would, and
// carries out what it decides.
type walk struct {
	policy  policy.App
	state   State
	now     time.Time
	desired int
}

func (w *walk) step(d time.Duration, readings func(now time.Time, replicas int) []Reading) Decision {
	w.now = w.now.Add(d)
	o := Observation{Now: w.now, Desired: w.desired, Ready: w.desired, Signals: readings(w.now, w.desired)}
	var decision Decision
	w.state, decision = Next(w.policy, w.state, o)
	if decision.Apply {
		w.desired = decision.To
	}
	return decision
}

// share is a load that all replicas share, as CPU readings.
func share(load float64) func(time.Time, int) []Reading {
	return func(now time.Time, replicas int) []Reading {
		r := Reading{Signal: "cpu"}
		for i := range replicas {
			r.Samples = append(r.Samples, Sample{Replica: "r" + string(rune('0'+i/10)) + string(rune('0'+i%10)), At: now, Value: load / float64(replicas)})
		}
		return []Reading{r}
	}
}

func TestTheZoneOfTheClockDoesNotMatter(t *testing.T) {
	o := Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{each("cpu", noon, 1, 1, 1, 1)}}
	here, _ := Next(web(), State{}, o)
	o.Now = o.Now.In(time.FixedZone("CST", 8*3600))
	there, _ := Next(web(), State{}, o)
	if diff := cmp.Diff(here, there, cmp.Comparer(func(a, b time.Time) bool { return a == b })); diff != "" {
		t.Errorf("(-UTC +CST):\n%s", diff)
	}
}

func TestARateCountsWhoeverMadeTheChange(t *testing.T) {
	w := walk{policy: web(), now: noon, desired: 4}
	w.policy.Out.Rate = []policy.Rate{{Replicas: 4, Per: time.Minute}}
	w.step(2*time.Second, share(2))
	w.desired = 7 // by hand
	if d := w.step(2*time.Second, share(9)); d.To != 8 {
		t.Errorf("%s, want the one that is left of four", d.Why())
	}
	if d := w.step(2*time.Second, share(9)); d.Action != Hold || !gated(d, GateRate) {
		t.Errorf("%s, want the rate to hold it", d.Why())
	}
	w.step(59*time.Second, share(9))
	if w.desired != 11 { // the three by hand are a minute old
		t.Errorf("%d replicas a minute later, want 11", w.desired)
	}
}

func TestAClockThatGoesBackDoesNotHoldUpGrowthForLong(t *testing.T) {
	w := walk{policy: web(), now: noon, desired: 4}
	w.policy.Out.Rate = []policy.Rate{{Replicas: 1, Per: time.Minute}}
	w.step(2*time.Second, share(8))
	w.step(2*time.Second, share(8)) // the change is seen
	w.step(-time.Hour, share(8))
	if w.step(58*time.Second, share(8)); w.desired != 5 {
		t.Errorf("%d replicas, want the rate to hold for a minute", w.desired)
	}
	if w.step(2*time.Second, share(8)); w.desired != 6 {
		t.Errorf("%d replicas, want one more after a minute", w.desired)
	}
}

func TestTheDefaultsOfAPolicyGrowFastAndShrinkSlowly(t *testing.T) {
	file, err := policy.Parse("p.yaml", []byte(`
version: plimsoll.scaler/v1
apps:
- name: web
  mode: active
  target: {driver: swarm, service: web}
  max: 100
  signals: [{source: cpu, target: 50%}]
`), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := walk{policy: file.Apps[0], now: noon, desired: 2}
	w.step(2*time.Second, share(10)) // 20 wanted: ten more may come in 15 s
	if w.desired != 12 {
		t.Errorf("%d replicas at once, want 12", w.desired)
	}
	for range 10 {
		w.step(2*time.Second, share(10))
	}
	if w.desired != 20 {
		t.Errorf("%d replicas within 22 s, want 20", w.desired)
	}
	for range 110 {
		w.step(2*time.Second, share(1))
	}
	if w.desired != 20 {
		t.Errorf("%d replicas after 220 s of lull, want still 20", w.desired)
	}
	w.step(2*time.Second, share(1))
	w.step(2*time.Second, share(1))
	if w.desired != 10 {
		t.Errorf("%d replicas when the window is over, want half of them", w.desired)
	}
}

// BenchmarkNext is a tick of a policy with two signals over ten replicas in the
// midst of a lull: the usual case, which is to hold.
func BenchmarkNext(b *testing.B) {
	p := web()
	p.Signals = append(p.Signals, rpsSignal())
	w := walk{policy: p, now: noon, desired: 10}
	tick := func(now time.Time, n int) []Reading {
		return append(share(4.9)(now, n), whole("rps", now, 950))
	}
	for range 100 {
		w.step(2*time.Second, tick)
	}
	o := Observation{Now: w.now.Add(2 * time.Second), Desired: 10, Ready: 10, Signals: tick(w.now, 10)}
	if _, d := Next(p, w.state, o); d.Action != Hold {
		b.Fatal(d.Why())
	}
	b.ReportAllocs()
	for b.Loop() {
		Next(p, w.state, o)
	}
}
