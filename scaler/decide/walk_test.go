package decide

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// The long walks: policies of all kinds, each for hundreds of ticks in a world where
// loads, people, platforms and clocks do as they please, and after each tick all
// that must always hold is asked for. A walk that breaks a rule is cut down to the
// ticks that it takes, and told with its seed.

const (
	walks     = 500
	walkTicks = 240
)

// TestEveryRuleHoldsOnLongWalks is I1 to I4, I9, I11 to I16, I21 and I22 of a tick,
// wherever a walk may have led.
func TestEveryRuleHoldsOnLongWalks(t *testing.T) {
	many := uint64(walks)
	if testing.Short() || underRace {
		many /= 10
	}
	for seed := range many {
		w := newWandering(seed)
		at, broken := w.run(w.ticks)
		if broken == "" {
			continue
		}
		w.ticks = w.ticks[:at+1]
		w.shorten()
		_, broken = w.run(w.ticks)
		p, _ := json.MarshalIndent(w.policy, "", "  ")
		t.Fatalf("seed %d, %d ticks: %s\nfrom %d replicas\npolicy %s\nticks %s", seed, len(w.ticks), broken, w.replicas, p, tell(w.ticks))
	}
}

// wandering is a policy, and what happens to its workload.
type wandering struct {
	policy   policy.App
	replicas int // in the beginning
	ticks    []happening
}

// happening is what is new at a tick. It is about the world, not about what the
// policy does in it, so that a walk goes on if some are left out.
type happening struct {
	After   time.Duration    // since the tick before
	Load    float64          // of the workload, in replicas that are full
	Faults  map[string]fault `json:",omitempty"` // by signal
	Shuffle uint64           `json:",omitempty"` // of the readings and samples
	ByHand  int              `json:",omitempty"` // someone scales to that; -1 for to 0
	Boot    int              `json:",omitempty"` // ticks that new replicas take from now on
	Failing int              `json:",omitempty"`
	Update  bool             `json:",omitempty"`
	Down    bool             `json:",omitempty"`
	Lost    bool             `json:",omitempty"`
	Frozen  bool             `json:",omitempty"`
	Full    bool             `json:",omitempty"` // replicas are throttled, and wait for a CPU
	Novel   bool             `json:",omitempty"` // boot time and the bases of events are not known
	Hand    Hand             `json:",omitzero"`  // Until and PauseUntil are set to a minute later
	Ahead   float64          `json:",omitempty"`
	Probe   int              `json:",omitempty"` // which questions to ask besides
}

type fault int

const (
	sound fault = iota
	failed
	empty
	nan
	infinite
	negative
	absurd
	old
	half
	nameless
	twice
	repeated
	vouched
	lastFault
)

func newWandering(seed uint64) *wandering {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &wandering{
		policy:   rapid.Custom(anyPolicy).Example(int(seed)),
		replicas: 1 + r.IntN(50),
	}
	if f := w.policy.Fallback; f != nil && r.IntN(3) == 0 {
		f.Action, f.AllowIn = policy.Exactly, true
	}
	if r.IntN(3) == 0 {
		w.policy.DuringUpdate = policy.HoldAll
	}
	load := r.Float64() * 20
	restless := []int{12, 40, 100}[r.IntN(3)] // so many ticks between two that surprise
	var lasting happening                     // what lasts for a while
	for range walkTicks {
		h := lasting
		h.After = 2 * time.Second
		h.ByHand, h.Probe, h.Shuffle = 0, 0, 0
		switch r.IntN(restless) {
		case 0:
			load = r.Float64() * r.Float64() * 80
		case 1:
			load = 0
		default:
			load *= 1 + (r.Float64()-0.5)/float64(restless)
		}
		h.Load = load
		one := func(n int) bool { return r.IntN(n) == 0 }
		if one(5 * restless) {
			h.After = []time.Duration{0, 3 * time.Second, 9 * time.Second, time.Minute, time.Hour, -time.Second, -time.Hour}[r.IntN(7)]
		}
		if one(4 * restless) {
			h.ByHand = r.IntN(60) - 1
		}
		if one(2 * restless) {
			lasting = happening{Boot: r.IntN(8), Failing: r.IntN(3), Update: one(4), Lost: one(4), Frozen: one(6), Down: one(8), Full: one(4), Novel: one(4)}
			if one(3) {
				lasting.Ahead = r.Float64() * 60
			}
			if one(3) {
				lasting.Hand = Hand{Pause: []Pause{"", PauseIn, PauseOut, PauseAll}[r.IntN(4)], Floor: r.IntN(20), Ceiling: r.IntN(30), By: "someone"}
			}
			if one(3) {
				lasting.Faults = w.faults(r)
			}
			if one(2) {
				lasting = happening{Boot: lasting.Boot}
			}
		}
		if one(restless) {
			h.Faults = w.faults(r)
		}
		if one(5) {
			h.Shuffle = r.Uint64()
		}
		if one(15) {
			h.Probe = 1 + r.IntN(probes)
		}
		w.ticks = append(w.ticks, h)
	}
	return w
}

// faults breaks some of the signals.
func (w *wandering) faults(r *rand.Rand) map[string]fault {
	faults := map[string]fault{}
	for i := range w.policy.Signals {
		if r.IntN(2) == 0 {
			faults[w.policy.Signals[i].Name] = fault(r.IntN(int(lastFault)))
		}
	}
	return faults
}

// run walks, and returns the tick at which a rule was broken and what it says.
func (w *wandering) run(ticks []happening) (at int, broken string) {
	c := &course{policy: w.policy, now: noon, desired: w.replicas, serving: w.replicas}
	for i := range ticks {
		if broken := c.tick(&ticks[i]); broken != "" {
			return i, broken
		}
	}
	return 0, ""
}

// shorten leaves out ticks, and what happens at them, as long as some rule is broken.
func (w *wandering) shorten() {
	breaks := func(ticks []happening) bool { _, broken := w.run(ticks); return broken != "" }
	for size := len(w.ticks) / 2; size > 0; size /= 2 {
		for i := 0; i+size <= len(w.ticks); {
			if fewer := slices.Concat(w.ticks[:i], w.ticks[i+size:]); breaks(fewer) {
				w.ticks = fewer
			} else {
				i += size
			}
		}
	}
	plain := []func(h *happening){
		func(h *happening) { *h = happening{After: 2 * time.Second, Load: h.Load, Probe: h.Probe} },
		func(h *happening) { h.Faults = nil },
		func(h *happening) { h.Hand = Hand{} },
		func(h *happening) { h.Ahead = 0 },
		func(h *happening) { h.Shuffle = 0 },
		func(h *happening) { h.Update, h.Lost, h.Frozen, h.Down = false, false, false, false },
		func(h *happening) { h.Boot, h.Failing = 0, 0 },
		func(h *happening) { h.Full, h.Novel = false, false },
		func(h *happening) { h.Load = 0 },
		func(h *happening) { h.Load = math.Round(h.Load) },
		func(h *happening) { h.Probe = 0 },
	}
	for i := range w.ticks {
		for _, simpler := range plain {
			before := w.ticks[i]
			if simpler(&w.ticks[i]); !breaks(w.ticks) {
				w.ticks[i] = before
			}
		}
	}
}

func tell(ticks []happening) string {
	var b strings.Builder
	for _, h := range ticks {
		data, _ := json.Marshal(h)
		fmt.Fprintf(&b, "\n  %s", data)
	}
	return b.String()
}

// course is a walk under way.
type course struct {
	policy  policy.App
	decider Decider
	state   State
	now     time.Time
	desired int
	serving int
	started []int // ticks until each that is on its way serves

	began   time.Time // of the in window, as this test counts it
	asked   []Ask
	added   int // someone scaled to that, which no decision has seen yet; 0 if nobody did
	changes []Change
	heard   map[string]time.Time // since when each signal has been
}

// tick lets a tick pass, and returns the rule that it broke.
func (c *course) tick(h *happening) string {
	c.now = c.now.Add(h.After)
	if h.ByHand != 0 {
		if h.ByHand > c.desired {
			c.added = h.ByHand
		}
		c.scale(max(0, h.ByHand), h)
	}
	c.boot(h)
	o := c.observe(h)
	past := c.state.Clone()
	d := c.decider.Next(&c.policy, &c.state, &o)
	in := Input{c.policy, past, o}
	for _, rule := range rules {
		if broken := rule(c, &in, d); broken != "" {
			return broken + "\n" + d.Why()
		}
	}
	if h.Probe > 0 {
		if broken := c.probe(h, in, *d); broken != "" {
			return fmt.Sprintf("probe %d: %s\n%s", h.Probe, broken, d.Why())
		}
	}
	if d.Apply {
		c.scale(d.To, h)
	}
	return ""
}

func (c *course) scale(n int, h *happening) {
	for range n - c.desired {
		c.started = append(c.started, h.Boot)
	}
	c.desired = n
	c.started = c.started[:max(0, min(len(c.started), n-c.serving))]
	c.serving = min(c.serving, n)
}

func (c *course) boot(h *happening) {
	for i := range c.started {
		c.started[i]--
	}
	up := 0
	for up < len(c.started)-h.Failing && c.started[up] < 0 {
		up++
	}
	c.started = c.started[up:]
	c.serving += up
}

func (c *course) observe(h *happening) Observation {
	o := Observation{Now: c.now, Desired: c.desired, Ready: c.serving, Starting: len(c.started), Updating: h.Update, Boot: 6 * time.Second}
	if h.Down {
		o.Err = "no answer"
	}
	if h.Lost {
		o.Lost = []string{"node-1"}
	}
	if h.Frozen {
		o.Frozen = "much was lost at once"
	}
	o.Failing = min(h.Failing, len(c.started))
	o.Hand = h.Hand
	if h.Hand != (Hand{}) {
		o.Hand.Until, o.Hand.PauseUntil = c.now.Add(time.Minute), c.now.Add(time.Minute)
	}
	if h.Novel {
		o.Boot = 0
	}
	for i := range c.policy.Events {
		if h.Novel {
			break
		}
		o.Bases = append(o.Bases, Base{Event: c.policy.Events[i].Name, Load: h.Load * 50})
	}
	for i := range c.policy.Signals {
		s := &c.policy.Signals[i]
		if h.Ahead > 0 && s.Type == policy.Track {
			o.Ahead = &Ahead{Signal: s.Name, Load: h.Ahead * s.Target.Value, At: c.now.Add(time.Minute), Model: "median", Most: 40 * s.Target.Value}
		}
		if r, ok := c.reading(s, h, o.Ready); ok {
			if h.Full {
				half := 0.5
				r.Throttled, r.Pressure = &half, &half
			}
			o.Signals = append(o.Signals, r)
			if h.Faults[s.Name] == twice {
				o.Signals = append(o.Signals, r)
			}
		}
	}
	if h.Shuffle != 0 {
		o = shuffled(o, h.Shuffle)
	}
	return o
}

// reading is what a signal reads of the load.
func (c *course) reading(s *policy.Signal, h *happening, ready int) (r Reading, ok bool) {
	r.Signal = s.Name
	at := c.now.Add(-time.Second)
	mean := min(1, h.Load/float64(max(1, ready)))
	switch {
	case s.Type == policy.Desired:
		r.Samples = []Sample{{At: at, Value: h.Load}}
	case s.Whole():
		r.Samples = []Sample{{At: at, Value: h.Load * 100}}
	case s.Source == policy.Query:
		r.Samples = []Sample{{At: at, Value: mean * 100}}
	default:
		for i := range ready {
			r.Samples = append(r.Samples, Sample{Replica: names[i%len(names)], At: at, Value: mean})
		}
	}
	if len(r.Samples) == 0 {
		return r, true
	}
	first := &r.Samples[0]
	switch h.Faults[s.Name] {
	case failed:
		r.Err, r.Samples = "timeout", nil
	case empty:
		r.Samples = nil
	case nan:
		first.Value = math.NaN()
	case infinite:
		first.Value = math.Inf(1)
	case negative:
		first.Value = -first.Value - 1
	case absurd:
		first.Value = 1e12
	case old:
		for i := range r.Samples {
			r.Samples[i].At = c.now.Add(-time.Hour)
		}
	case half:
		r.Samples = r.Samples[:len(r.Samples)/2]
	case repeated: // the first replica once more, as it was before
		if first.Replica != "" {
			r.Samples = append(r.Samples, Sample{first.Replica, first.At.Add(-time.Second), 1 - first.Value})
		}
	case vouched: // nothing, and the guard says that it is 0
		r.Empty, r.Samples = true, []Sample{{At: at}}
	case nameless:
		return r, false
	}
	return r, true
}

// names are those of replicas, in their order.
var names = func() (names [128]string) {
	for i := range names {
		names[i] = fmt.Sprintf("replica-%03d", i)
	}
	return names
}()

// shuffled is o with its readings and samples in another order.
func shuffled(o Observation, seed uint64) Observation {
	r := rand.New(rand.NewPCG(seed, 2))
	o.Signals = slices.Clone(o.Signals)
	r.Shuffle(len(o.Signals), func(i, j int) { o.Signals[i], o.Signals[j] = o.Signals[j], o.Signals[i] })
	for i := range o.Signals {
		samples := slices.Clone(o.Signals[i].Samples)
		r.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
		o.Signals[i].Samples = samples
	}
	return o
}
