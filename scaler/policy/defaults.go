package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// cpuRange is the range that CPU use is averaged over where a policy does not
// say: five of the agent's samples, so that a jump is seen whole after 5 s and
// one lost sample does not matter.
const cpuRange = 5 * time.Second

// SetDefaults is for conf, which calls it before it reads a policy.
func (a *App) SetDefaults() {
	*a = App{
		Mode:     Advise,
		Interval: 2 * time.Second,
		Min:      1,

		DuringUpdate: HoldIn,
		// What is measured to follow a load more closely than the HPA does at no
		// greater cost: bench/scaler holds these to it.
		Out: Out{
			Tolerance: 0.07,
			Rate:      []Rate{{Replicas: 10, Percent: 3, Per: 15 * time.Second}},
			Lead:      Span{Auto: true},
		},
		In: In{
			DeadBand: 0.07,
			Window:   220 * time.Second,
			Rate:     []Rate{{Replicas: 1, Percent: 0.5, Per: 30 * time.Second}},
			Settle:   Span{Auto: true},
		},
	}
}

// SetDefaults is for conf, which calls it before it reads a signal.
func (s *Signal) SetDefaults() {
	*s = Signal{Type: Track, MaxAge: 15 * time.Second, Coverage: Coverage{Out: 0.5, In: 0.8}}
}

// complete fills in the defaults that depend on what the file says, except for
// the keys it gives.
func (s *Signal) complete(has func(key string) bool) {
	fill := func(key string, applies bool, set func()) {
		if applies && !has(key) {
			set()
		}
	}
	container := s.Source == CPU || s.Source == Memory
	threshold := s.Type == Threshold
	fill("name", true, func() { s.Name = string(s.Source) })
	fill("of", container, func() { s.Of = Limit })
	fill("kind", s.Type == Track, func() { s.Kind = s.usualKind() })
	fill("window", threshold, func() { s.Window = time.Minute })
	fill("window", !threshold && s.Source == CPU, func() { s.Window = cpuRange })
	saturates := s.saturates()
	fill("saturation.above", saturates, func() { s.Saturation.Above = 0.95 })
	fill("saturation.boost", saturates, func() { s.Saturation.Boost = 3 })
	fill("on_empty", s.Source == Query, func() { s.OnEmpty = EmptyInvalid })
	fill("samples", threshold, func() { s.Samples = 3 })
	fill("step_out", threshold, func() { s.StepOut = 1 })
	fill("step_in", threshold, func() { s.StepIn = 1 })
}

// saturates tells whether the signal can see that replicas are full.
func (s *Signal) saturates() bool { return s.Type == Track && s.Source == CPU && s.Of == Limit }

// Whole tells whether the signal's reading is one number for the whole workload.
func (s *Signal) Whole() bool { return s.Kind == Total || s.Source == Query && s.Type != Track }

// usualKind is the kind of reading that the source gives.
func (s *Signal) usualKind() Kind {
	switch {
	case s.Source == Query:
		return Total
	case s.Of == Limit || s.Of == Request:
		return Utilization
	}
	return Average
}

// special are the keys of a signal that mean something only for some types and
// sources, and applies tells for which.
var special = []string{"of", "query", "kind", "target", "max", "min", "step_out", "step_in", "samples", "rows", "saturation", "window", "coverage", "on_empty", "guard"}

func (s *Signal) applies(key string) bool {
	switch key {
	case "of":
		return s.Source != Query
	case "query", "on_empty", "guard":
		return s.Source == Query
	case "coverage":
		return !s.Whole()
	case "kind", "target":
		return s.Type == Track
	case "max", "min", "step_out", "step_in", "samples":
		return s.Type == Threshold
	case "rows":
		return s.Type == Steps
	case "saturation":
		return s.saturates()
	}
	return s.Type == Threshold || s.Source == CPU // window
}

// KeyHint is for conf: it tells a key of a later version from a slip.
func (*File) KeyHint(key string) string {
	if key == "pools" {
		return "this version scales workloads, not nodes; remove it"
	}
	return ""
}

// KeyHint is for conf: the keys of a target depend on its driver.
func (t *Target) KeyHint(key string) string {
	if slices.Contains([]string{"url", "command", "group"}, key) {
		return "it belongs to a driver that this version does not have; swarm takes service"
	}
	return ""
}

// oneOf complains of a word that is not among those known. Words of later
// versions get an answer of their own.
func oneOf(word string, known, later []string) (conf.Mistake, bool) {
	all := strings.Join(known, ", ")
	switch {
	case slices.Contains(known, word):
		return conf.Mistake{}, true
	case word == "":
		return conf.Mistake{What: "is missing", Hint: "available: " + all}, false
	case slices.Contains(later, word):
		return conf.Mistake{What: conf.Quote(word) + " is not available in this version", Hint: "available: " + all}, false
	}
	m := conf.Mistake{What: "unknown: " + conf.Quote(word), Hint: "available: " + all}
	if near := conf.Nearest(word, known); near != "" {
		m.Hint = "did you mean " + near + "?"
	}
	return m, false
}
