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
		Out: Out{
			Rate: []Rate{{Replicas: 10, Percent: 3, Per: 15 * time.Second}},
		},
		In: In{
			DeadBand: 0.10,
			Window:   5 * time.Minute,
			Rate:     []Rate{{Replicas: 1, Percent: 0.10, Per: time.Minute}},
		},
	}
}

// SetDefaults is for conf, which calls it before it reads a signal.
func (s *Signal) SetDefaults() {
	*s = Signal{Type: Track, MaxAge: 15 * time.Second}
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
	case s.Of == Limit:
		return Utilization
	}
	return Average
}

// special are the keys of a signal that mean something only for some types and
// sources, and applies tells for which.
var special = []string{"of", "query", "kind", "target", "max", "min", "step_out", "step_in", "samples", "rows", "saturation", "window"}

func (s *Signal) applies(key string) bool {
	switch key {
	case "of":
		return s.Source != Query
	case "query":
		return s.Source == Query
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

// later are the keys that the format has but this version does not.
var later = []string{
	"pools", "defaults",
	"events", "forecast", "stuck_after", "needs", "allow_zero",
	"coverage", "on_empty", "guard",
	"settle", "lead",
}

func laterHint(key string) string {
	if slices.Contains(later, key) {
		return "this version does not have it yet; remove it"
	}
	return ""
}

// KeyHint is for conf: it tells a key of a later version from a slip.
func (*File) KeyHint(key string) string { return laterHint(key) }

// KeyHint is for conf.
func (*App) KeyHint(key string) string { return laterHint(key) }

// KeyHint is for conf.
func (*Signal) KeyHint(key string) string { return laterHint(key) }

// KeyHint is for conf.
func (*Out) KeyHint(key string) string { return laterHint(key) }

// KeyHint is for conf.
func (*In) KeyHint(key string) string { return laterHint(key) }

// KeyHint is for conf: the keys of a target depend on its driver.
func (t *Target) KeyHint(key string) string {
	if slices.Contains([]string{"project", "namespace", "context", "kind", "name", "url", "command", "app"}, key) {
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
