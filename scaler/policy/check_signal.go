package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Crossing is the share of max that a threshold's reading may reach by a step in
// alone.
const Crossing = 0.95

func (c *checker) signal(s *Signal, driver, path string) {
	m, known := oneOf(string(s.Type), []string{string(Track), string(Threshold), string(Steps), string(Desired)}, nil)
	if !known {
		c.fail(path+".type", m.What, m.Hint)
	}
	m, sourced := oneOf(string(s.Source), []string{string(CPU), string(Memory), string(Query)},
		[]string{"gpu", "gpu_memory", "network_rx", "network_tx", "pids"})
	if !sourced {
		c.fail(path+".source", m.What, m.Hint)
	}
	if !known || !sourced {
		return // what else applies is not known
	}
	for _, key := range special {
		if !s.applies(key) && c.has(path+"."+key) {
			c.fail(path+"."+key, fmt.Sprintf("does nothing for type %s and source %s", s.Type, s.Source), "remove it")
		}
	}
	if !appName.MatchString(s.Name) {
		c.fail(path+".name", conf.Quote(s.Name)+" is not a name", "use up to 63 letters, digits, dots, dashes and underscores")
	}
	c.between(path+".max_age", s.MaxAge, 2*time.Second, 10*time.Minute)
	if s.applies("window") {
		c.between(path+".window", s.Window, 2*time.Second, time.Hour)
	}
	c.source(s, driver, path)
	c.trust(s, path)
	switch s.Type {
	case Threshold:
		c.threshold(s, path)
	case Steps:
		c.rows(s, path)
	case Desired:
		if s.Source != Query {
			c.fail(path+".source", "a number of replicas is none of "+string(s.Source), "give a query that returns one, with source: query")
		}
	default:
		c.track(s, path)
	}
}

// source checks where the readings come from.
func (c *checker) source(s *Signal, driver, path string) {
	bases := []string{string(Limit), string(Cores)}
	if s.Source == Memory {
		bases[1] = string(Bytes)
	}
	if driver == "kubernetes" {
		bases = append(bases, string(Request))
	}
	switch s.Source {
	case CPU, Memory:
		if m, ok := oneOf(string(s.Of), bases, []string{string(Request)}); !ok {
			c.fail(path+".of", m.What, m.Hint)
		}
	case Query:
		if strings.TrimSpace(s.Query) == "" {
			c.fail(path+".query", "is missing", "source query needs PromQL")
			return
		}
		s.Back = c.query(s.Query, path+".query").Back
	}
}

func (c *checker) track(s *Signal, path string) {
	m, ok := oneOf(string(s.Kind), []string{string(Utilization), string(Average), string(Total)}, nil)
	if !ok {
		c.fail(path+".kind", m.What, m.Hint)
		return
	}
	if s.Source != Query && s.Kind != s.usualKind() {
		c.fail(path+".kind", fmt.Sprintf("%s of %s is read as %s", s.Source, s.Of, s.usualKind()), "remove kind")
	}
	c.amount(path+".target", s.Target, s.units())
	if s.saturates() {
		if a := s.Saturation.Above; !(a >= 0.5 && a <= 1) {
			c.fail(path+".saturation.above", fmt.Sprintf("must be 50%% to 100%%, got %s", a), "")
		}
		if b := s.Saturation.Boost; !(b >= 1 && b <= 10) {
			c.fail(path+".saturation.boost", fmt.Sprintf("must be 1 to 10, got %v", b), "write 1 for none")
		}
	}
	if s.Kind == Utilization && s.Target.Value > 1 {
		c.fail(path+".target", fmt.Sprintf("must be at most 100%%, got %s", s.Target), "")
	}
}

func (c *checker) threshold(s *Signal, path string) {
	units := s.units()
	sound := c.amount(path+".max", s.Max, units)
	sound = c.amount(path+".min", s.Min, units) && sound
	c.count(path+".step_out", s.StepOut, maxStep)
	c.count(path+".step_in", s.StepIn, maxStep)
	c.count(path+".samples", s.Samples, maxSamples)
	switch {
	case !sound:
	case s.Min.Unit != s.Max.Unit:
		c.mixed(path+".min", s.Min, s.Max)
	case s.Min.Value >= s.Max.Value:
		c.fail(path+".min", fmt.Sprintf("%s is not below max %s", s.Min, s.Max), "leave room between the two")
	}
}

// mixed complains of an amount that does not compare with another: 30% is 0.3, and
// nothing beside 80.
func (c *checker) mixed(path string, a, other Amount) {
	c.fail(path, fmt.Sprintf("%s does not compare with %s", a, other), "write both as numbers, both with % or both as sizes")
}

// units are those an amount may have, given what it is compared with.
func (s *Signal) units() []Unit {
	switch {
	case s.Source == Query && s.Type != Track:
		return []Unit{Plain, Share, Size}
	case s.Source == Query && s.Kind == Utilization:
		return []Unit{Share}
	case s.Source == Query:
		return []Unit{Plain, Size}
	case s.Of == Limit || s.Of == Request:
		return []Unit{Share}
	case s.Of == Bytes:
		return []Unit{Size}
	}
	return []Unit{Plain}
}

// amount checks a number that must be there, above 0, and in one of the units.
func (c *checker) amount(path string, a Amount, units []Unit) bool {
	examples := map[Unit]string{Plain: "a number like 250", Share: "a percentage like 60%", Size: "a size like 256MiB"}
	var want []string
	fits := false
	for _, u := range units {
		want = append(want, examples[u])
		fits = fits || a.Unit == u
	}
	hint := "write " + strings.Join(want, " or ")
	switch {
	case a.Unit == Absent:
		c.fail(path, "is missing", hint)
	case !fits:
		c.fail(path, fmt.Sprintf("%s has the wrong unit", a), hint)
	case !finite(a.Value) || a.Value <= 0:
		c.fail(path, fmt.Sprintf("must be above 0, got %s", a), "")
	default:
		return true
	}
	return false
}
