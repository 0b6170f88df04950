package policy

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// warn tells of what is valid and yet hardly meant. The code never changes its
// meaning; docs/policies.md explains each.
func (c *checker) warn(code, path, what, hint string) {
	c.warnings = append(c.warnings, finding{path, conf.Mistake{What: code + ": " + what, Hint: hint}, -1})
}

// lint looks for what is hardly meant in a file without mistakes.
func (c *checker) lint(f *File) {
	for i := range f.Apps {
		a, path := &f.Apps[i], fmt.Sprintf("apps[%d]", i)
		c.lintBounds(a, path)
		c.lintPace(a, path)
		c.lintTimes(a, path)
		c.lintGPU(a, path)
		for j := range a.Signals {
			s, path := &a.Signals[j], fmt.Sprintf("%s.signals[%d]", path, j)
			switch s.Type {
			case Threshold:
				c.lintThreshold(a, s, path)
			case Steps:
				c.lintLadder(a, s, path)
			case Track:
				c.lintTrack(s, path)
			}
			c.lintQuery(s, path)
		}
	}
}

func (c *checker) lintBounds(a *App, path string) {
	if a.Min == a.Max {
		c.warn("W-FIXED", path+".max", fmt.Sprintf("is min as well, so that there are always %d replicas", a.Max), "raise max, or remove the policy")
	}
	if f := a.Fallback; f != nil && f.Replicas < a.Min {
		c.warn("W-FALLBACK", path+".fallback.replicas", fmt.Sprintf("%d is less than min %d, which holds all the same", f.Replicas, a.Min), "raise it, or lower min")
	}
}

// lintPace compares how fast a workload may come and go, and how long it is
// watched before it goes.
func (c *checker) lintPace(a *App, path string) {
	faster := len(a.In.Rate) > 0 // who writes [] means that in.window is enough
	for _, n := range []int{max(a.Min, 1), a.Max} {
		faster = faster && pace(a.In.Rate, n) > pace(a.Out.Rate, n)
	}
	if faster {
		c.warn("W-IN-FASTER", path+".in.rate", "lets replicas go faster than out.rate lets them come", "what was removed too soon is then missed for long: slow it down")
	}
	for j := range a.Signals {
		s := &a.Signals[j]
		// Five minutes are what queries usually look back: beside an in.window that
		// nobody chose they are no contradiction.
		usual := 5 * time.Minute
		if c.has(path + ".in.window") {
			usual = 0
		}
		if back := s.LookBack(); back > max(a.In.Window, usual) {
			c.warn("W-LOOK-BACK", path+".in.window", fmt.Sprintf("is shorter than the %s that %s looks back", Short(back), conf.Quote(s.Name)),
				"a lull between two peaks would be over before it is seen: raise it, or shorten the range of the query")
			break
		}
	}
}

// pace is how many of n replicas may come or go in a minute.
func pace(rates []Rate, n int) float64 {
	least := math.Inf(1)
	for _, r := range rates {
		least = min(least, max(float64(r.Replicas), float64(r.Percent)*float64(n))/r.Per.Minutes())
	}
	return least
}

// lintTimes looks for schedules, events and forecasts that change nothing.
func (c *checker) lintTimes(a *App, path string) {
	for i, s := range a.Schedules {
		path := fmt.Sprintf("%s.schedules[%d]", path, i)
		floor, ceiling := max(s.Floor, s.Exact), max(s.Ceiling, s.Exact)
		if floor > 0 && floor <= a.Min && s.Exact == 0 {
			c.warn("W-SCHEDULE", path+".floor", fmt.Sprintf("%d is no more than min %d, so that it changes nothing", floor, a.Min), "raise it, or lower min")
		}
		if ceiling > 0 && ceiling < a.Min {
			c.warn("W-SCHEDULE", path, fmt.Sprintf("%d replicas are less than min %d, which holds all the same", ceiling, a.Min), "raise the ceiling, or lower min")
		}
		for _, other := range a.Schedules[:i] {
			lifts, holds := floor, max(other.Ceiling, other.Exact)
			if holds == 0 || lifts <= holds {
				lifts, holds = max(other.Floor, other.Exact), ceiling
			}
			if holds > 0 && lifts > holds && together(s, other) {
				c.warn("W-SCHEDULE", path, fmt.Sprintf("opens together with %s, and a floor of %d is above a ceiling of %d: the floor holds", conf.Quote(other.Name), lifts, holds),
					"lower the floor, or move one of them")
			}
		}
	}
	for i, e := range a.Events {
		if n := e.Factor * float64(a.Min); n > float64(a.Max) {
			c.warn("W-EVENT", fmt.Sprintf("%s.events[%d].factor", path, i),
				fmt.Sprintf("%v times the load of min %d takes %.0f replicas, and max is %d", e.Factor, a.Min, math.Ceil(n), a.Max), "raise max, or lower the factor")
		}
	}
	if f := a.Forecast; f != nil && f.Enabled && c.opts.Retention > 0 {
		// Three seasons to learn from, and one day to be examined on.
		const day = 24 * time.Hour
		need, season := 4*day, "a day"
		if f.Season == Weekly {
			need, season = 22*day, "a week"
		}
		if c.opts.Retention < need {
			c.warn("W-HISTORY", path+".forecast", fmt.Sprintf("never has the %d days that a season of %s takes: samples are kept for %s", int(need/day), season, days(c.opts.Retention)),
				"keep them for longer, or remove forecast")
		}
	}
}

// together tells whether two schedules open at the same moments.
func together(a, b Schedule) bool {
	return a.Cron == b.Cron && a.TZ == b.TZ && a.At.Equal(b.At)
}

// days writes a duration in whole days where it has any.
func days(d time.Duration) string {
	if n := int(d / (24 * time.Hour)); n > 0 {
		return fmt.Sprintf("%d days", n)
	}
	return Short(d)
}

// gpuBusy matches metrics of how much of its time a GPU was busy.
var gpuBusy = regexp.MustCompile(`(?i)\b\w*(?:gpu\w*util|gpu\w*busy|gr_engine_active|sm_active)\w*`)

// lintGPU looks for policies that go by how busy GPUs are, and nothing else: one
// request keeps a GPU as busy as a hundred do.
func (c *checker) lintGPU(a *App, path string) {
	first := ""
	for j := range a.Signals {
		s := &a.Signals[j]
		if s.Source == Query && !gpuBusy.MatchString(s.Query) {
			return
		}
		if s.Source == Query && first == "" {
			first = fmt.Sprintf("%s.signals[%d].query", path, j)
		}
	}
	if first != "" {
		c.warn("W-GPU-UTIL", first, "one request keeps a GPU as busy as a hundred do, and nothing else says how many there are",
			"add a signal of what waits, such as requests running and queued, or of the memory for them")
	}
}

// lintThreshold looks for a step in that would call for a step out. It is the
// last step down to the minimum that raises the reading most: of c replicas that
// leave c−step, each carries c/(c−step) times what it did. Next never takes such
// a step, so that the workload stays where nobody expects it to.
func (c *checker) lintThreshold(a *App, s *Signal, path string) {
	if least := max(a.Min, 1); a.Max >= least+s.StepIn {
		from := least + s.StepIn
		if after := s.Min.Value * float64(from) / float64(least); after > s.Max.Value*Crossing {
			c.warn("W-FLAP", path, fmt.Sprintf("at %d replicas, in %d->%d turns %s into %s, too near max %s, so that it is not done",
				from, from, least, s.Min, Amount{after, s.Min.Unit}, s.Max), "raise max, lower min, lower step_in, or use type track")
		}
	}
	if span := a.Max - a.Min; s.StepOut > span && span > 0 {
		c.warn("W-STEP", path+".step_out", fmt.Sprintf("%d is more than the %d replicas between min and max", s.StepOut, span), "lower it, or raise max")
	}
}

// lintLadder is lintThreshold for the rungs of a ladder.
func (c *checker) lintLadder(a *App, s *Signal, path string) {
	brink := s.Brink()
	for i, r := range s.Rows {
		path := fmt.Sprintf("%s.rows[%d]", path, i)
		if span := a.Max - a.Min; r.Add.Unit == Plain && int(r.Add.Value) > span && span > 0 {
			c.warn("W-STEP", path+".add", fmt.Sprintf("%s is more than the %d replicas between min and max", r.Add, span), "lower it, or raise max")
		}
		if r.Set > a.Max || r.Set > 0 && r.Set < a.Min {
			c.warn("W-STEP", path+".set", fmt.Sprintf("%d is not between min %d and max %d, which hold all the same", r.Set, a.Min, a.Max), "change one of them")
		}
		if r.Remove.Unit == Absent || math.IsInf(brink, 1) {
			continue
		}
		from, to := steepest(a, r.Remove)
		if after := r.Below.Value * float64(from) / float64(to); after > brink*Crossing {
			c.warn("W-FLAP", path, fmt.Sprintf("at %d replicas, in %d->%d turns %s into %s, too near %s, above which another row grows, so that it is not done",
				from, from, to, r.Below, Amount{after, r.Below.Unit}, Amount{brink, r.Below.Unit}), "lower below, or remove fewer")
		}
	}
}

// steepest is the step in, between min and max, that raises most what those carry
// that stay.
func steepest(a *App, remove Amount) (from, to int) {
	least := max(a.Min, 1)
	from, to = least, least
	for n := least + 1; n <= a.Max; n++ {
		by := remove.Value
		if remove.Unit == Share {
			by = by*float64(n) + 1e-9
		}
		if left := n - max(1, int(by)); left >= least && n*to > from*left {
			from, to = n, left
		}
	}
	return from, to
}

func (c *checker) lintTrack(s *Signal, path string) {
	if above := float64(s.Saturation.Above); s.Saturation.Boost > 1 && s.Target.Value >= above {
		c.warn("W-SATURATION", path+".target", fmt.Sprintf("replicas at %s count as full, from %s on, and %v times as many are asked for", s.Target, s.Saturation.Above, s.Saturation.Boost),
			"lower target, or write saturation: {boost: 1}")
	}
}

// ratio matches metrics whose name says that they read 0 to 1.
var ratio = regexp.MustCompile(`\b\w+_ratio\b`)

func (c *checker) lintQuery(s *Signal, path string) {
	if s.Source != Query {
		return
	}
	facts := c.facts[path+".query"]
	if facts.Many && s.Whole() {
		c.warn("W-MANY", path+".query", "may return more than one series, and then says nothing", "wrap it in sum(…) or max(…)")
	}
	if len(facts.Bare) > 0 {
		c.warn("W-COUNTER", path+".query", strings.Join(facts.Bare, ", ")+" only ever grows, and so would what it asks for", "take rate(…[1m]) of it")
	}
	if !ratio.MatchString(s.Query) || strings.ContainsAny(s.Query, "*/") {
		return
	}
	amounts := map[string]Amount{"target": s.Target, "max": s.Max, "min": s.Min}
	for _, key := range []string{"target", "max", "min"} {
		if v := amounts[key]; v.Unit == Plain && v.Value > 1 && (s.Type != Track || s.Kind == Average) {
			c.warn("W-RATIO", path+"."+key, fmt.Sprintf("%s is never reached: a ratio reads 0 to 1", v), fmt.Sprintf("write %s%%", v))
		}
	}
}
