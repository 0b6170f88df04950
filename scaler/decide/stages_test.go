package decide

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// queue is a policy that holds 100 requests a second for each replica, over a
// workload whose past would let it shrink to 1.
func queue() (policy.App, State) {
	p := web()
	p.Signals = []policy.Signal{rpsSignal()}
	p.Min = 1
	p.In.Rate, p.Out.Rate = nil, nil
	return p, settled(p, noon, 4, 1)
}

// asks is an observation of 4 replicas with that many requests a second.
func asks(v float64) Observation {
	return Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{whole("rps", noon, v)}}
}

func TestWhatLooksAheadAndWhatPeopleSay(t *testing.T) {
	event := policy.Event{Name: "sale", At: noon.Add(5 * time.Minute), Duration: 10 * time.Minute, Factor: 3, Base: policy.SameHourLastWeek}
	in := func(d time.Duration) policy.Event { e := event; e.At = noon.Add(d); return e }
	based := func(load float64) []Base { return []Base{{Event: "sale", Load: load}} }
	ahead := func(load float64) *Ahead {
		return &Ahead{Signal: "rps", Load: load, At: noon.Add(time.Minute), Model: "median", Most: 1e6}
	}
	until := noon.Add(time.Hour)
	tests := map[string]struct {
		policy func(*policy.App)
		edit   func(*Observation)
		load   float64
		to     int
		gate   string
		why    string
	}{
		"an event lifts a minute before it begins": {func(p *policy.App) { p.Events = []policy.Event{in(time.Minute)} }, func(o *Observation) { o.Bases = based(300) }, 400, 9, GateFloor, "event sale takes 9"},
		"not earlier": {func(p *policy.App) { p.Events = []policy.Event{in(time.Minute + 1)} }, func(o *Observation) { o.Bases = based(300) }, 400, 4, "", ""},
		"but where replicas take long to start, by that and an interval": {func(p *policy.App) { p.Events = []policy.Event{in(5*time.Minute + 2*time.Second)} }, func(o *Observation) { o.Bases, o.Boot = based(300), 5*time.Minute }, 400, 9, GateFloor, ""},
		"an event that is over lifts nothing":                            {func(p *policy.App) { p.Events = []policy.Event{in(-10 * time.Minute)} }, func(o *Observation) { o.Bases = based(300) }, 400, 4, "", ""},
		"an event is on until its end":                                   {func(p *policy.App) { p.Events = []policy.Event{in(-10*time.Minute + 1)} }, func(o *Observation) { o.Bases = based(300) }, 400, 9, GateFloor, ""},
		"an event never goes past max":                                   {func(p *policy.App) { p.Events = []policy.Event{in(0)} }, func(o *Observation) { o.Bases = based(1e12) }, 400, 40, GateFloor, ""},
		"an event whose base is not known says so, and lifts nothing":    {func(p *policy.App) { p.Events = []policy.Event{in(0)} }, nil, 400, 4, GateUnknown, "event sale is on, but its base same_hour_last_week is not known, so it lifts nothing"},
		"a base that is no number is not known":                          {func(p *policy.App) { p.Events = []policy.Event{in(0)} }, func(o *Observation) { o.Bases = based(math.NaN()) }, 400, 4, GateUnknown, ""},
		"an infinite base is not known":                                  {func(p *policy.App) { p.Events = []policy.Event{in(0)} }, func(o *Observation) { o.Bases = based(math.Inf(1)) }, 400, 4, GateUnknown, ""},
		"without a tracking signal an event means nothing, and says so":  {func(p *policy.App) { p.Events, p.Signals = []policy.Event{in(0)}, []policy.Signal{desired()} }, func(o *Observation) { o.Bases, o.Signals = based(300), []Reading{whole("desired", noon, 4)} }, 0, 4, GateUnknown, ""},
		"an event for little never lowers":                               {func(p *policy.App) { p.Events = []policy.Event{in(0)} }, func(o *Observation) { o.Bases = based(0) }, 400, 4, "", ""},
		"of two events the one that takes most counts":                   {func(p *policy.App) { e := in(0); e.Name, e.Factor = "more", 4; p.Events = []policy.Event{e, in(0)} }, func(o *Observation) { o.Bases = append(based(300), Base{"more", 300}) }, 400, 12, GateFloor, "event more takes 12"},
		"an event and a signal: whichever asks for more":                 {func(p *policy.App) { p.Events = []policy.Event{in(0)} }, func(o *Observation) { o.Bases = based(300) }, 1100, 11, "", ""},
		"a forecast lifts":                                               {nil, func(o *Observation) { o.Ahead = ahead(700) }, 400, 7, "", "4 → 7: rps: 700 expected in 1m by median: 7 replicas"},
		"a forecast for less never lowers":                               {nil, func(o *Observation) { o.Ahead = ahead(0) }, 400, 4, "", ""},
		"a forecast holds what would shrink":                             {nil, func(o *Observation) { o.Ahead = ahead(300) }, 100, 3, "", ""},
		"a forecast is not taken for more than it may be":                {nil, func(o *Observation) { o.Ahead = ahead(2000); o.Ahead.Most = 600 }, 400, 6, "", ""},
		"a forecast that may be nothing is nothing":                      {nil, func(o *Observation) { o.Ahead = ahead(2000); o.Ahead.Most = 0 }, 400, 4, "", ""},
		"a forecast never goes past max":                                 {nil, func(o *Observation) { o.Ahead = ahead(1e300); o.Ahead.Most = math.MaxFloat64 }, 400, 40, GateMax, ""},
		"a forecast that is no number does not count":                    {nil, func(o *Observation) { o.Ahead = ahead(math.NaN()) }, 400, 4, GateUnknown, ""},
		"a forecast of a signal that nobody knows does not count":        {nil, func(o *Observation) { o.Ahead = ahead(900); o.Ahead.Signal = "x" }, 400, 4, GateUnknown, ""},
		"a forecast of long ago does not count":                          {nil, func(o *Observation) { o.Ahead = ahead(900); o.Ahead.At = noon.Add(-5*time.Minute - 1) }, 400, 4, GateUnknown, "the forecast by median is too old"},
		"a forecast begins no panic": {func(p *policy.App) {
			p.Panic = &policy.Panic{Threshold: 2, Hold: time.Minute}
			p.Out.Rate = []policy.Rate{{Replicas: 1, Per: time.Minute}}
		}, func(o *Observation) { o.Ahead = ahead(3000) }, 400, 5, GateRate, ""},
		"a forecast waits for the out window": {func(p *policy.App) { p.Out.Window = time.Minute }, func(o *Observation) { o.Ahead = ahead(3000) }, 400, 4, GateWindow, ""},
		"a floor by hand lifts past window and rate": {func(p *policy.App) {
			p.Out.Window = time.Minute
			p.Out.Rate = []policy.Rate{{Replicas: 1, Per: time.Minute}}
		}, func(o *Observation) { o.Hand = Hand{Floor: 9, Until: until, By: "eve"} }, 400, 9, GateFloor, "eve asks for 9 at least"},
		"a ceiling by hand is above a schedule": {func(p *policy.App) {
			p.Schedules = []policy.Schedule{{Name: "s", At: noon, Duration: time.Hour, Floor: 20}}
		}, func(o *Observation) { o.Hand = Hand{Ceiling: 6, Until: until, By: "eve"} }, 400, 6, GateFloor, "a floor is cut down to 6 by eve"},
		"and above an event":                             {func(p *policy.App) { p.Events = []policy.Event{in(0)} }, func(o *Observation) { o.Bases = based(1000); o.Hand = Hand{Ceiling: 6, Until: until} }, 400, 6, GateFloor, ""},
		"but not above min":                              {func(p *policy.App) { p.Min = 5 }, func(o *Observation) { o.Hand = Hand{Ceiling: 2, Until: until} }, 400, 5, GateMin, "4 is too few, min is 5"},
		"nor above the floor of the same person":         {nil, func(o *Observation) { o.Hand = Hand{Floor: 8, Ceiling: 2, Until: until} }, 400, 8, GateFloor, ""},
		"a ceiling by hand holds a forecast":             {nil, func(o *Observation) { o.Ahead = ahead(3000); o.Hand = Hand{Ceiling: 6, Until: until, By: "eve"} }, 400, 6, GateCeiling, "30 is too many, eve asks for 6 at most"},
		"a pause of growth stands above a floor":         {nil, func(o *Observation) { o.Hand = Hand{Floor: 8, Until: until, Pause: PauseOut, PauseUntil: until} }, 400, 4, GateFloor, "8 would be next, but someone has paused out for 1h more"},
		"a pause of growth lets it shrink":               {nil, func(o *Observation) { o.Hand = Hand{Pause: PauseOut, PauseUntil: until} }, 100, 1, "", ""},
		"a pause of shrinking lets it grow":              {nil, func(o *Observation) { o.Hand = Hand{Pause: PauseIn, PauseUntil: until} }, 600, 6, "", ""},
		"a pause of shrinking holds":                     {nil, func(o *Observation) { o.Hand = Hand{Pause: PauseIn, PauseUntil: until, PauseBy: "eve"} }, 100, 4, GateHeld, "1 would be next, but eve has paused in for 1h more"},
		"an agent that is lost holds":                    {nil, func(o *Observation) { o.Lost = []string{"node-1"} }, 100, 4, GateAgents, "node-1 among them"},
		"an agent that is lost lets it grow":             {nil, func(o *Observation) { o.Lost = []string{"node-1"} }, 600, 6, "", ""},
		"all is frozen":                                  {nil, func(o *Observation) { o.Frozen = "much was lost" }, 100, 4, GateFrozen, "1 would do, but nothing shrinks: much was lost"},
		"what is above max stays while an agent is lost": {func(p *policy.App) { p.Max = 3 }, func(o *Observation) { o.Lost = []string{"node-1"} }, 100, 4, GateAgents, "4 replicas are above max 3"},
		"an answer that is empty, and vouched for, counts as nothing to do": {nil, func(o *Observation) {
			o.Signals[0] = Reading{Signal: "rps", Empty: true, Samples: []Sample{{At: noon}}}
		}, 0, 1, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, past := queue()
			o := asks(tt.load)
			if tt.policy != nil {
				tt.policy(&p)
			}
			if tt.edit != nil {
				tt.edit(&o)
			}
			_, d := Next(p, past, o)
			if d.To != tt.to || !strings.Contains(d.Why(), tt.why) {
				t.Errorf("%d, want %d because %q: %s", d.To, tt.to, tt.why, d.Why())
			}
			switch {
			case tt.gate == "" && gated(d, GateUnknown):
				t.Errorf("something is not known: %s", d.Why())
			case tt.gate != "" && !gated(d, tt.gate):
				t.Errorf("no gate %s: %s", tt.gate, d.Why())
			}
		})
	}
}

func TestAPanicLetsNothingShrink(t *testing.T) {
	p, past := queue()
	p.Panic = &policy.Panic{Threshold: 2, Hold: time.Minute}
	past.Surge = Surge{Until: noon.Add(30 * time.Second), From: 1, Most: 2}
	if _, d := Next(p, past, asks(100)); d.To != 4 || !strings.Contains(d.Why(), "the panic lasts 30s more") {
		t.Error(d.Why())
	}
}

func TestTheCoverageIsThatOfThePolicy(t *testing.T) {
	for _, tt := range []struct {
		coverage policy.Coverage
		heard    int // of 10
		out, in  bool
	}{
		{policy.Coverage{}, 5, true, false}, // one half, and four fifths
		{policy.Coverage{}, 4, false, false},
		{policy.Coverage{}, 8, true, true},
		{policy.Coverage{Out: 0.2, In: 0.3}, 2, true, false},
		{policy.Coverage{Out: 0.2, In: 0.3}, 3, true, true},
		{policy.Coverage{Out: 1, In: 1}, 9, false, false},
		{policy.Coverage{Out: 0.9}, 8, false, false}, // less for shrinking than for growing makes no sense
	} {
		var turn turn
		o := Observation{Now: noon, Desired: 10, Ready: 10}
		p, s := web(), cpuSignal()
		s.Coverage = tt.coverage
		turn.begin(&p, &State{}, &o)
		got := turn.cover(&s, values{count: tt.heard}, proposal{})
		if got.okOut != tt.out || got.okIn != tt.in {
			t.Errorf("%+v with %d of 10: out %v and in %v", tt.coverage, tt.heard, got.okOut, got.okIn)
		}
	}
}

// The average of four replicas is 1 of 2, so that one in six may go; the busiest of
// them has 4, and falls silent.
func TestAReplicaThatFallsSilentMayBeTheBusiest(t *testing.T) {
	p, _ := queue()
	s := meanSignal()
	s.Target.Value = 2
	p.Signals, p.In.DeadBand = []policy.Signal{s}, 0
	w := walk{policy: p, now: noon, desired: 5}
	w.step(2*time.Second, func(now time.Time, _ int) []Reading { return []Reading{each("mean", now, 1, 1, 1, 1, 4)} })
	var d Decision
	for range 60 {
		d = w.step(2*time.Second, func(now time.Time, _ int) []Reading { return []Reading{each("mean", now, 1, 1, 1, 1)} })
	}
	if w.desired != 4 { // 4 of those heard and 4 of the one that is not
		t.Errorf("%d replicas: %s", w.desired, d.Why())
	}
}

func TestASilentReplicaOfAShareCountsAsAllOfIt(t *testing.T) {
	p := web()
	p.In.Rate = nil
	past := settled(p, noon, 10, 1)
	o := Observation{Now: noon, Desired: 10, Ready: 10, Signals: []Reading{each("cpu", noon, .1, .1, .1, .1, .1, .1, .1, .1)}}
	if _, d := Next(p, past, o); d.To != 6 { // 80% and twice 100%, of 50% each
		t.Error(d.Why())
	}
	o.Ready = 8 // they are on their way, and will have their target
	if _, d := Next(p, past, o); d.To != 4 {
		t.Error(d.Why())
	}
}

// rising is the past of a load that has risen to n replicas' worth by a replica's
// worth every twenty seconds.
func rising(past State, signal string, n float64) State {
	var r Trend
	for at := -time.Minute; at < 0; at += 2 * time.Second {
		r.add(noon.Add(at), n+at.Seconds()/20, 2*time.Second)
	}
	past.Past = []Past{{Signal: signal, Heard: noon.Add(-time.Hour), Trend: r}}
	return past
}

func TestARisingLoadIsMetAhead(t *testing.T) {
	for name, tt := range map[string]struct {
		lead policy.Span
		boot time.Duration
		load float64
		to   int
	}{
		"by as long as replicas take, and an interval":  {policy.Span{Auto: true}, 8 * time.Second, 400, 5},
		"by as long as the policy says":                 {policy.Span{Time: 20 * time.Second}, time.Hour, 400, 5},
		"by 20s where nobody knows how long they take":  {policy.Span{Auto: true}, 0, 400, 6},
		"by half as much again at most":                 {policy.Span{Auto: true}, time.Hour, 400, 6},
		"not at all if it is off":                       {policy.Span{}, time.Minute, 400, 4},
		"also where the reading of now is off the line": {policy.Span{Time: 10 * time.Second}, 0, 900, 10},
	} {
		t.Run(name, func(t *testing.T) {
			p, past := queue()
			p.Out.Lead = tt.lead
			if _, d := Next(p, rising(past, "rps", 4), func() Observation { o := asks(tt.load); o.Boot = tt.boot; return o }()); d.To != tt.to {
				t.Errorf("%d, want %d: %s", d.To, tt.to, d.Why())
			}
		})
	}
}

func TestATrendIsNotForTheToleranceToHold(t *testing.T) {
	p, past := queue()
	p.Out.Tolerance, p.Out.Lead = 0.5, policy.Span{Time: time.Second}
	if _, d := Next(p, past, asks(450)); d.To != 4 {
		t.Errorf("without a trend: %s", d.Why())
	}
	if _, d := Next(p, rising(past, "rps", 4), asks(450)); d.To != 5 {
		t.Errorf("with a trend: %s", d.Why())
	}
}

// Replicas that are full show what there is of them: twice as many show twice the
// load, and that is no trend of it.
func TestFullReplicasMakeNoTrend(t *testing.T) {
	p := web()
	p.Out.Lead, p.Max = policy.Span{Auto: true}, 400
	w := walk{policy: p, now: noon, desired: 2}
	for i := range 60 {
		w.desired = 2 + i
		w.step(2*time.Second, func(now time.Time, n int) []Reading { return share(float64(n))(now, n) })
		if b := w.state.Past[0].Trend; b.Count != 0 {
			t.Fatalf("%+v", b)
		}
	}
}

func TestWhatIsNotAllThereMakesNoTrend(t *testing.T) {
	p := web()
	past := State{Past: []Past{{Signal: "cpu"}}}
	for name, o := range map[string]Observation{
		"a rollout":       {Now: noon, Desired: 4, Ready: 4, Updating: true, Signals: []Reading{each("cpu", noon, .5, .5, .5, .5)}},
		"silent replicas": {Now: noon, Desired: 4, Ready: 4, Signals: []Reading{each("cpu", noon, .5, .5, .5)}},
		"none ready":      {Now: noon, Desired: 4, Ready: 0, Signals: []Reading{whole("cpu", noon, .5)}},
		"no reading":      {Now: noon, Desired: 4, Ready: 4},
	} {
		if s, _ := Next(p, past, o); s.past("cpu").Trend.Count != 0 {
			t.Errorf("%s: %+v", name, s.past("cpu").Trend)
		}
	}
	o := Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{each("cpu", noon, .5, .5, .5, .5)}}
	if s, _ := Next(p, past, o); s.past("cpu").Trend.Count != 1 {
		t.Error("a reading that is all there makes none either")
	}
}

func TestPressureCountsOnlyOfReplicasThatCarryTheirTarget(t *testing.T) {
	for _, tt := range []struct {
		mean, throttled, pressure float64
		to                        int
	}{
		{0.56, 0.25, 0, 12},
		{0.56, 0.24, 0, 5},
		{0.56, 0, 0.40, 12},
		{0.56, 0, 0.39, 5},
		{0.54, 1, 1, 5}, // just above what growth leaves: noise
		{0.5, 1, 1, 4},
		{0.56, math.NaN(), math.NaN(), 5},
	} {
		p := web()
		p.Out.Rate = nil
		r := each("cpu", noon, tt.mean, tt.mean, tt.mean, tt.mean)
		r.Throttled, r.Pressure = &tt.throttled, &tt.pressure
		o := Observation{Now: noon, Desired: 4, Ready: 4, Signals: []Reading{r}}
		if _, d := Next(p, settled(p, noon, 4, 4), o); d.To != tt.to {
			t.Errorf("%+v: %s", tt, d.Why())
		}
	}
}

func TestASignalSettlesBeforeAnythingShrinksOnIt(t *testing.T) {
	query := rpsSignal()
	query.Back = 5 * time.Minute
	for _, tt := range []struct {
		settle policy.Span
		signal policy.Signal
		want   time.Duration
	}{
		{policy.Span{Auto: true}, cpuSignal(), 65 * time.Second},
		{policy.Span{Auto: true}, memorySignal(), time.Minute},
		{policy.Span{Auto: true}, query, 6 * time.Minute},
		{policy.Span{Time: 10 * time.Second}, query, 10 * time.Second},
		{policy.Span{}, query, 0},
	} {
		p := web()
		p.In.Settle = tt.settle
		if got := settle(&p, &tt.signal); got != tt.want {
			t.Errorf("%s of %s: %v, want %v", tt.settle, tt.signal.Name, got, tt.want)
		}
	}
}

func TestTheLastSignalToSettleIsTheOneThatIsTold(t *testing.T) {
	p, past := queue()
	p.Signals = append(p.Signals, cpuSignal())
	p.In.Settle = policy.Span{Time: time.Minute}
	past.Past = []Past{{Signal: "rps", Heard: noon.Add(-20 * time.Second)}, {Signal: "cpu", Heard: noon.Add(-30 * time.Second)}}
	o := asks(100)
	o.Signals = append(o.Signals, each("cpu", noon, .1, .1, .1, .1))
	_, d := Next(p, past, o)
	if d.To != 4 || !strings.Contains(d.Why(), "rps was not heard until lately: 1 would do, but nothing shrinks on its word for 40s more") {
		t.Error(d.Why())
	}
	past.Past[0].Heard, past.Past[1].Heard = noon.Add(-time.Minute), noon.Add(-time.Minute)
	if _, d := Next(p, past, o); d.To != 1 {
		t.Error(d.Why())
	}
}

func TestGrowthThatIsStuckStaysSo(t *testing.T) {
	p, past := queue()
	p.StuckAfter = time.Minute
	past.Growth = Growth{At: noon.Add(-time.Minute), Ready: 1, To: 4}
	o := asks(900)
	o.Ready, o.Failing = 1, 3
	s, d := Next(p, past, o)
	if d.To != 4 || !gated(d, GateStuck) {
		t.Error(d.Why())
	}
	p.Min = 7
	if _, d := Next(p, past, o); d.To != 7 {
		t.Errorf("min is a promise: %s", d.Why())
	}
	p.Min = 1
	o.Ready, o.Failing = 4, 0
	for at, want := range map[time.Duration]int{2 * time.Second: 4, 2*time.Second + proof: 9} {
		o.Now = noon.Add(at)
		o.Signals[0].Samples[0].At = o.Now
		past := s
		past.Growth.Up = noon.Add(2 * time.Second)
		if _, d := Next(p, past, o); d.To != want {
			t.Errorf("all have been ready since 2s, at %v: %s", at, d.Why())
		}
	}
}

func TestNoReplicaIsAskedForOnlyWhereThePolicyMay(t *testing.T) {
	idle := func(p *policy.App) { p.Min, p.AllowZero = 0, &policy.AllowZero{IdleFor: time.Minute} }
	for name, tt := range map[string]struct {
		policy func(*policy.App)
		edit   func(*State, *Observation)
		to     int
	}{
		"after long enough":              {idle, nil, 0},
		"not without allow_zero":         {func(p *policy.App) { p.Min = 0 }, nil, 1},
		"not with a min":                 {func(p *policy.App) { idle(p); p.Min = 1 }, nil, 1},
		"not too early":                  {idle, func(s *State, o *Observation) { s.Idle = noon.Add(-59 * time.Second) }, 1},
		"not if nobody knows since when": {idle, func(s *State, o *Observation) { s.Idle = time.Time{} }, 1},
		"not while a signal is silent":   {func(p *policy.App) { idle(p); p.Signals = append(p.Signals, meanSignal()) }, nil, 4},
		"not while an agent is lost":     {idle, func(s *State, o *Observation) { o.Lost = []string{"x"} }, 4},
		"not while a schedule has a floor": {func(p *policy.App) {
			idle(p)
			p.Schedules = []policy.Schedule{{Name: "s", At: noon, Duration: time.Hour, Floor: 2}}
		}, nil, 2},
		"not while a load is expected":      {idle, func(s *State, o *Observation) { o.Ahead = &Ahead{Signal: "rps", Load: 1, Most: 9, At: noon} }, 1},
		"not by more than the in rate":      {func(p *policy.App) { idle(p); p.In.Rate = []policy.Rate{{Replicas: 1, Per: time.Minute}} }, nil, 3},
		"not while there is a little to do": {idle, func(s *State, o *Observation) { o.Signals[0].Samples[0].Value = 1 }, 1},
		"not while another signal wants some": {func(p *policy.App) { idle(p); p.Signals = append(p.Signals, cpuSignal()) }, func(s *State, o *Observation) {
			o.Signals = append(o.Signals, each("cpu", noon, .3, .3, .3, .3))
		}, 3},
		"only after the whole in window": {idle, func(s *State, o *Observation) { s.Most.Asked[0].Replicas = 2 }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p, past := queue()
			tt.policy(&p)
			past.Most.Asked[0].Replicas, past.Idle = 0, noon.Add(-time.Minute)
			o := asks(0)
			if tt.edit != nil {
				tt.edit(&past, &o)
			}
			if _, d := Next(p, past, o); d.To != tt.to {
				t.Errorf("%d, want %d: %s", d.To, tt.to, d.Why())
			}
		})
	}
}

func TestAWorkloadThatIsWokenMustBeIdleAnew(t *testing.T) {
	p, _ := queue()
	p.Min, p.AllowZero = 0, &policy.AllowZero{IdleFor: time.Minute}
	past := settled(p, noon, 0, 0)
	past.Idle = noon.Add(-time.Hour)
	o := asks(0)
	o.Desired, o.Ready = 0, 1 // the last one is still ending
	if s, _ := Next(p, past, o); !s.Idle.IsZero() {
		t.Errorf("idle since %v", s.Idle)
	}
}

func TestLoadWakesAWorkloadAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		policy func(*policy.App)
		edit   func(*Observation)
		load   float64
		to     int
	}{
		"the least that is above activation":     {nil, nil, 5.01, 1},
		"no more than activation":                {nil, nil, 5, 0},
		"as much as it takes":                    {nil, nil, 700, 7},
		"past the out window":                    {func(p *policy.App) { p.Out.Window = time.Minute }, nil, 700, 1},
		"past a rate of shares":                  {func(p *policy.App) { p.Out.Rate = []policy.Rate{{Percent: 1, Per: time.Minute}} }, nil, 700, 1},
		"not if it cannot be read":               {nil, func(o *Observation) { o.Signals[0].Err = "timeout" }, 700, 0},
		"not if it is absurd":                    {nil, nil, 1e12, 0},
		"not if growth is paused":                {nil, func(o *Observation) { o.Hand = Hand{Pause: PauseOut, PauseUntil: noon.Add(time.Hour)} }, 700, 0},
		"not a policy that may not ask for none": {func(p *policy.App) { p.AllowZero = nil }, nil, 700, 0},
		"a floor wakes it, too":                  {nil, func(o *Observation) { o.Hand = Hand{Floor: 3, Until: noon.Add(time.Hour)} }, 0, 3},
		"a forecast wakes it, too":               {nil, func(o *Observation) { o.Ahead = &Ahead{Signal: "rps", Load: 200, Most: 900, At: noon} }, 0, 2},
		"but not for less than activation":       {nil, func(o *Observation) { o.Ahead = &Ahead{Signal: "rps", Load: 5, Most: 900, At: noon} }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := queue()
			p.Min, p.AllowZero = 0, &policy.AllowZero{IdleFor: time.Minute, Activation: 5}
			p.Signals = append(p.Signals, cpuSignal())
			if tt.policy != nil {
				tt.policy(&p)
			}
			o := asks(tt.load)
			o.Desired, o.Ready = 0, 0
			if tt.edit != nil {
				tt.edit(&o)
			}
			_, d := Next(p, settled(p, noon, 0, 0), o)
			if d.To != tt.to {
				t.Errorf("%d, want %d: %s", d.To, tt.to, d.Why())
			}
			if gated(d, GateInvalid) && o.Signals[0].Err == "" {
				t.Errorf("replicas are missed where none are meant to be: %s", d.Why())
			}
		})
	}
}

// ExampleNext_lead is how it reads.
func ExampleNext_lead() {
	p, past := queue()
	p.Out.Lead = policy.Span{Auto: true}
	o := asks(400)
	o.Boot = 28 * time.Second
	_, d := Next(p, rising(past, "rps", 4), o)
	fmt.Println(d.Why())
	// Output: 4 → 6: rps: 400 in all, target 100: 4 replicas; rising by 300 a minute, 550 in 30s: 6 replicas
}
