package policy

import (
	"fmt"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// tracks tells whether a signal of the policy knows the load itself, which events
// multiply and forecasts foretell.
func (a *App) tracks() bool {
	for i := range a.Signals {
		if a.Signals[i].Type == Track {
			return true
		}
	}
	return false
}

// speaksAlone tells whether the signal has something to say where there is no
// replica.
func (s *Signal) speaksAlone() bool {
	return s.Source == Query && (s.Type == Desired || s.Type == Track && s.Kind == Total)
}

// ahead checks what a policy knows beforehand.
func (c *checker) ahead(a *App, path string) {
	c.between(path+".out.lead", a.Out.Lead.Time, 0, 10*time.Minute)
	c.between(path+".in.settle", a.In.Settle.Time, 0, time.Hour)
	if c.has(path + ".stuck_after") {
		c.between(path+".stuck_after", a.StuckAfter, time.Minute, 24*time.Hour)
	}
	c.events(a, path)
	c.forecast(a, path+".forecast")
	c.needs(a.Needs, path+".needs")
}

func (c *checker) events(a *App, path string) {
	if n := len(a.Events); n > maxWindows {
		c.fail(path+".events", fmt.Sprintf("has %d events", n), fmt.Sprintf("give %d at most", maxWindows))
	}
	if len(a.Events) > 0 && len(a.Signals) > 0 && !a.tracks() {
		c.fail(path+".events", "multiply the load that a signal of type track knows, and there is none", "add one, or make schedules of them")
	}
	names := map[string]int{}
	for i := range a.Events {
		e, path := &a.Events[i], fmt.Sprintf("%s.events[%d]", path, i)
		c.unique(names, e.Name, i, path+".name", "events", "event")
		e.At = c.at(path+".at", e.AtText)
		c.between(path+".duration", e.Duration, time.Minute, mostDuration)
		if !(e.Factor > 0 && e.Factor <= 1000) {
			c.fail(path+".factor", fmt.Sprintf("must be above 0 and at most 1000, got %v", e.Factor), "say how many times the base load there will be")
		}
		if m, ok := oneOf(string(e.Base), []string{string(SameHourLastWeek), string(P95SevenDays)}, nil); !ok {
			c.fail(path+".base", m.What, m.Hint)
		}
	}
}

// unique checks the name of an item of a list.
func (c *checker) unique(names map[string]int, name string, i int, path, list, item string) {
	switch first, again := names[name]; {
	case name == "":
		c.fail(path, "is missing", "give the "+item+" a name")
	case !appName.MatchString(name):
		c.fail(path, conf.Quote(name)+" is not a name", "use up to 63 letters, digits, dots, dashes and underscores")
	case again:
		c.fail(path, fmt.Sprintf("%s is the name of %s[%d] already", conf.Quote(name), list, first), "give each "+item+" its own")
	default:
		names[name] = i
	}
}

// at reads a time with its offset.
func (c *checker) at(path, text string) time.Time {
	if text == "" {
		c.fail(path, "is missing", "write it like 2026-11-11T00:00:00+08:00")
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		c.fail(path, conf.Quote(text)+" is not a time with its offset", "write it like 2026-11-11T00:00:00+08:00")
	}
	return at
}

func (c *checker) forecast(a *App, path string) {
	f := a.Forecast
	if f == nil {
		return
	}
	if len(a.Signals) > 0 && !a.tracks() {
		c.fail(path, "is of the load that a signal of type track knows, and there is none", "add one, or remove forecast")
	}
	if m, ok := oneOf(string(f.Season), []string{string(Daily), string(Weekly), string(AutoSeason)}, nil); !ok {
		c.fail(path+".season", m.What, m.Hint)
	}
	if !(f.Quantile >= 0.5 && f.Quantile <= 0.99) {
		c.fail(path+".quantile", fmt.Sprintf("must be 0.5 to 0.99, got %v", float64(f.Quantile)), "")
	}
	c.share(path+".min_gain", f.MinGain, 1)
	c.share(path+".max_cost", f.MaxCost, 1)
	if !(f.MaxFactor >= 1 && f.MaxFactor <= 10) {
		c.fail(path+".max_factor", fmt.Sprintf("must be 1 to 10, got %v", f.MaxFactor), "")
	}
}

func (c *checker) needs(n *Needs, path string) {
	switch {
	case n == nil:
		return
	case *n == Needs{}:
		c.fail(path, "says nothing", "give it cpu, memory or gpu")
	}
	if !(n.CPU >= 0 && n.CPU <= 1024) {
		c.fail(path+".cpu", fmt.Sprintf("must be 0 to 1024, got %v", n.CPU), "it is a number of cores")
	}
	if most := conf.Size(64 << 40); n.Memory > most {
		c.fail(path+".memory", fmt.Sprintf("must be 0B to %s, got %s", most, n.Memory), "")
	}
	if n.GPU < 0 || n.GPU > 64 {
		c.fail(path+".gpu", fmt.Sprintf("must be 0 to 64, got %d", n.GPU), "it is a number of devices")
	}
}

// zero checks what may lead to no replica at all.
func (c *checker) zero(a *App, path string) {
	z := a.AllowZero
	if z == nil {
		if a.Min < 1 {
			c.fail(path+".min", fmt.Sprintf("must be 1 or more, got %d", a.Min), "to scale to zero add allow_zero: {}")
		}
		return
	}
	switch {
	case a.Min < 0:
		c.fail(path+".min", fmt.Sprintf("must be 0 or more, got %d", a.Min), "")
	case a.Min > 0:
		c.fail(path+".allow_zero", fmt.Sprintf("does nothing while min is %d", a.Min), "set min: 0")
	}
	c.between(path+".allow_zero.idle_for", z.IdleFor, 10*time.Second, 24*time.Hour)
	if !(z.Activation >= 0 && finite(z.Activation)) {
		c.fail(path+".allow_zero.activation", fmt.Sprintf("must be 0 or more, got %v", z.Activation), "")
	}
	for i := range a.Signals {
		if a.Signals[i].speaksAlone() {
			return
		}
	}
	if len(a.Signals) > 0 {
		c.fail(path+".allow_zero", "needs a signal that tells without replicas whether one is wanted again",
			"add one of source query, of kind total or type desired, such as the length of a queue")
	}
}

// trust checks what a signal makes of answers that are missing or not whole.
func (c *checker) trust(s *Signal, path string) {
	for _, p := range []struct {
		key   string
		share conf.Percent
	}{{"out", s.Coverage.Out}, {"in", s.Coverage.In}} {
		if !(p.share >= 0.01 && p.share <= 1) {
			c.fail(path+".coverage."+p.key, fmt.Sprintf("must be 1%% to 100%%, got %s", p.share), "")
		}
	}
	if s.Coverage.In < s.Coverage.Out {
		c.fail(path+".coverage.in", fmt.Sprintf("%s is less than out %s", s.Coverage.In, s.Coverage.Out), "to shrink takes no less than to grow")
	}
	if s.Source != Query {
		return
	}
	m, ok := oneOf(string(s.OnEmpty), []string{string(EmptyInvalid), string(EmptyZero)}, nil)
	guarded := c.has(path + ".guard")
	switch {
	case !ok:
		c.fail(path+".on_empty", m.What, m.Hint)
	case s.OnEmpty == EmptyZero && !guarded:
		c.fail(path+".guard", "is missing", `say when an empty answer can be trusted, like guard: 'up{job="rabbit"} == 1'`)
	case s.OnEmpty != EmptyZero && guarded:
		c.fail(path+".guard", "does nothing without on_empty: zero", "add that, or remove guard")
	case guarded:
		c.query(s.Guard, path+".guard")
	}
}

// query checks PromQL, and remembers what it tells.
func (c *checker) query(text, path string) Facts {
	if c.opts.CheckQuery == nil {
		return Facts{Back: scanBack(text)}
	}
	facts, err := c.opts.CheckQuery(text)
	if err != nil {
		c.wrong(path, err)
		return Facts{}
	}
	if c.facts == nil {
		c.facts = map[string]Facts{}
	}
	c.facts[path] = facts
	return facts
}
