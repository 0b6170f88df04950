package policy

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// The bounds of a file. They are far beyond use and keep a slip from becoming
// a burden.
const (
	maxSignals = 16
	maxStep    = 100
	maxSamples = 60
	maxWindows = 64
	maxRows    = 16
)

// checker finds what is wrong with the meaning of a file.
type checker struct {
	opts     Options
	has      func(path string) bool // whether the file itself gives a value
	found    []finding
	warnings []finding
	facts    map[string]Facts // of the queries, by their paths
}

// finding is a mistake under its path.
type finding struct {
	path string
	conf.Mistake
	at int // offset in the text of the value; -1 for the value as a whole
}

func (c *checker) fail(path, what, hint string) {
	c.found = append(c.found, finding{path, conf.Mistake{What: what, Hint: hint}, -1})
}

// wrong is fail for a query.
func (c *checker) wrong(path string, err error) {
	f := finding{path, conf.Mistake{What: err.Error()}, -1}
	var q *QueryError
	if errors.As(err, &q) {
		f.at = q.At
	}
	c.found = append(c.found, f)
}

func (c *checker) file(f *File) {
	switch f.Version {
	case Version:
	case "":
		c.fail("version", "is missing", "start the file with version: "+Version)
	default:
		c.fail("version", conf.Quote(f.Version)+" is not known", "this version reads "+Version)
	}
	if len(f.Apps) == 0 && !c.has("apps") {
		c.fail("apps", "is missing", "add a policy, or an empty list: apps: []")
	}
	for _, key := range []string{"name", "target.service", "target.name", "target.app"} {
		if c.has("defaults." + key) {
			c.fail("defaults."+key, "belongs to one policy alone", "move it to that one")
		}
	}
	names, targets := map[string]int{}, map[string]int{}
	for i := range f.Apps {
		a, path := &f.Apps[i], fmt.Sprintf("apps[%d]", i)
		c.app(a, path)
		if first, again := names[a.Name]; again && a.Name != "" {
			c.fail(path+".name", fmt.Sprintf("%s is the name of apps[%d] already", conf.Quote(a.Name), first), "give each policy its own")
		} else {
			names[a.Name] = i
		}
		if first, again := targets[a.Target.String()]; again && a.Target.String() != a.Target.Driver {
			c.fail(path+".target", fmt.Sprintf("%s is already controlled by apps[%d]", a.Target, first), "one workload takes one policy; put all signals into that one")
		} else {
			targets[a.Target.String()] = i
		}
	}
}

var appName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (c *checker) app(a *App, path string) {
	switch {
	case a.Name == "":
		c.fail(path+".name", "is missing", "give the policy a name")
	case !appName.MatchString(a.Name):
		c.fail(path+".name", conf.Quote(a.Name)+" is not a name", "use up to 63 letters, digits, dots, dashes and underscores")
	}
	if m, ok := oneOf(string(a.Mode), []string{string(Advise), string(Active), string(Paused)}, nil); !ok {
		c.fail(path+".mode", m.What, m.Hint)
	}
	c.target(a.Target, path+".target")
	c.between(path+".interval", a.Interval, time.Second, time.Hour)
	c.bounds(a, path)
	c.out(a.Out, path+".out")
	c.in(a.In, a, path+".in")
	c.schedules(a, path)
	c.ahead(a, path)
	c.care(a, path)
	if p := a.Panic; p != nil {
		if !(p.Threshold >= 1.1 && p.Threshold <= 10) {
			c.fail(path+".panic.threshold", fmt.Sprintf("must be 1.1 to 10, got %v", p.Threshold), "")
		}
		c.between(path+".panic.hold", p.Hold, 10*time.Second, time.Hour)
		if p.MaxAdd < 0 || p.MaxAdd > c.opts.Ceiling {
			c.fail(path+".panic.max_add", fmt.Sprintf("must be 0 to %d, got %d", c.opts.Ceiling, p.MaxAdd), "0 stands for up to max")
		}
	}

	if n := len(a.Signals); n == 0 || n > maxSignals {
		c.fail(path+".signals", fmt.Sprintf("has %d signals", n), fmt.Sprintf("give 1 to %d", maxSignals))
	}
	names := map[string]int{}
	for i := range a.Signals {
		s, path := &a.Signals[i], fmt.Sprintf("%s.signals[%d]", path, i)
		c.signal(s, a.Target.Driver, path)
		if first, again := names[s.Name]; again && s.Name != "" {
			c.fail(path+".name", fmt.Sprintf("%s is the name of signals[%d] already", conf.Quote(s.Name), first), "give each signal its own")
		} else {
			names[s.Name] = i
		}
	}
}

// care checks what keeps a workload from harm.
func (c *checker) care(a *App, path string) {
	if m, ok := oneOf(string(a.DuringUpdate), []string{string(HoldIn), string(HoldAll)}, nil); !ok {
		c.fail(path+".during_update", m.What, m.Hint)
	}
	c.between(path+".in.cooldown", a.In.Cooldown, 0, 24*time.Hour)
	if b := a.Budget; b != nil {
		c.count(path+".budget.changes", b.Changes, 10_000)
		c.between(path+".budget.window", b.Window, time.Minute, 24*time.Hour)
	}
	f := a.Fallback
	if f == nil {
		return
	}
	c.between(path+".fallback.after", f.After, 10*time.Second, 24*time.Hour)
	if m, ok := oneOf(string(f.Action), []string{string(Exactly), string(AtLeast)}, nil); !ok {
		c.fail(path+".fallback.action", m.What, m.Hint)
	}
	if f.Replicas < 1 || f.Replicas > a.Max && a.Max > 0 {
		c.fail(path+".fallback.replicas", fmt.Sprintf("must be 1 to max, got %d", f.Replicas), "")
	}
	if f.AllowIn && f.Action == AtLeast {
		c.fail(path+".fallback.allow_in", "does nothing for action max, which never shrinks", "remove it")
	}
}

// bounds checks the numbers of replicas.
func (c *checker) bounds(a *App, path string) {
	c.zero(a, path)
	switch {
	case a.Max == 0 && !c.has(path+".max"):
		c.fail(path+".max", "is missing", "say how many replicas the platform can carry")
	case a.Max > c.opts.Ceiling:
		c.fail(path+".max", fmt.Sprintf("%d exceeds the ceiling of %d replicas", a.Max, c.opts.Ceiling), "lower it, or raise the scaler's ceiling")
	case a.Max < a.Min:
		c.fail(path+".max", fmt.Sprintf("%d is less than min %d", a.Max, a.Min), "max is the greater of the two")
	}
}

func (c *checker) out(o Out, path string) {
	c.share(path+".tolerance", o.Tolerance, 0.5)
	c.between(path+".window", o.Window, 0, time.Hour)
	c.rates(o.Rate, 10, path+".rate")
}

func (c *checker) in(in In, a *App, path string) {
	c.share(path+".dead_band", in.DeadBand, 0.5)
	c.between(path+".window", in.Window, max(5*time.Second, 2*a.Interval), 24*time.Hour)
	c.rates(in.Rate, 1, path+".rate")
	for i, r := range in.Rate {
		// A share is rounded down, so that of few replicas it lets none go.
		stuck := 1 / float64(r.Percent)
		if r.Replicas == 0 && r.Percent > 0 && stuck > float64(a.Min)+1 && a.Max > a.Min {
			c.fail(fmt.Sprintf("%s.rate[%d].percent", path, i),
				fmt.Sprintf("%s of fewer than %.0f replicas is less than one, so that min %d is never reached", r.Percent, math.Ceil(stuck), a.Min),
				"add replicas: 1")
		}
	}
}

func (c *checker) rates(rates []Rate, most conf.Percent, path string) {
	for i, r := range rates {
		path := fmt.Sprintf("%s[%d]", path, i)
		if r.Replicas < 0 {
			c.fail(path+".replicas", fmt.Sprintf("must be 0 or more, got %d", r.Replicas), "")
		}
		c.share(path+".percent", r.Percent, most)
		if r.Replicas == 0 && r.Percent == 0 {
			c.fail(path, "allows no change at all", "give replicas, percent or both")
		}
		if r.Per == 0 && !c.has(path+".per") {
			c.fail(path+".per", "is missing", "say in which time, like per: 60s")
			continue
		}
		c.between(path+".per", r.Per, time.Second, time.Hour)
	}
}

func (c *checker) between(path string, d, least, most time.Duration) {
	if d < least || d > most {
		c.fail(path, fmt.Sprintf("must be %s to %s, got %s", Short(least), Short(most), Short(d)), "")
	}
}

func (c *checker) count(path string, n, most int) {
	if n < 1 || n > most {
		c.fail(path, fmt.Sprintf("must be 1 to %d, got %d", most, n), "")
	}
}

func (c *checker) share(path string, p, most conf.Percent) {
	if !(p >= 0 && p <= most) { // so that NaN fails
		c.fail(path, fmt.Sprintf("must be 0%% to %s, got %s", most, p), "")
	}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
