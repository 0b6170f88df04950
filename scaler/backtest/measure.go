package backtest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Measure is one of the scores, as people name it.
type Measure struct {
	// Name is the word of a Limit.
	Name string
	// Says is what it means, in a few words.
	Says string
	// Unit is %, "min", "s", "h" (replica-hours), "/h" or empty for a count.
	Unit string
	// Of is its value, NaN if it is not known.
	Of func(Scores) float64
}

// Text is a value of it for people.
func (m Measure) Text(v float64) string {
	if math.IsNaN(v) {
		return "not known"
	}
	switch m.Unit {
	case "%":
		return fmt.Sprintf("%.2f %%", v)
	case "s":
		return time.Duration(v * float64(time.Second)).Round(time.Second).String()
	case "":
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprintf("%.1f %s", v, m.Unit)
}

// Measures are all that can be asked of a run, the most telling first.
func Measures() []Measure {
	return []Measure{
		{"under", "replicas missing, of those demanded (θ_U)", "%", func(s Scores) float64 { return s.ThetaU }},
		{"over", "replicas too many, of those demanded (θ_O)", "%", func(s Scores) float64 { return s.ThetaO }},
		{"replica_hours", "what was paid for", "h", func(s Scores) float64 { return s.ReplicaHours }},
		{"over_minutes", "time in which replicas carried more than they are to", "min", func(s Scores) float64 { return s.OverMinutes }},
		{"worst", "longest such time without a break", "s", func(s Scores) float64 { return s.WorstSeconds }},
		{"lost", "load that nothing could carry", "%", func(s Scores) float64 {
			if s.LostPercent == nil {
				return math.NaN()
			}
			return *s.LostPercent
		}},
		{"changes", "times another number was asked for", "", func(s Scores) float64 { return float64(s.Changes) }},
		{"reversals", "of these, against the one before", "", func(s Scores) float64 { return float64(s.Reversals) }},
		{"peak", "most replicas ready at a time", "", func(s Scores) float64 { return float64(s.Peak) }},
		{"under_time", "share of time with too few (τ_U)", "%", func(s Scores) float64 { return s.TauU }},
		{"over_time", "share of time with too many (τ_O)", "%", func(s Scores) float64 { return s.TauO }},
		{"instability", "share of time in which supply did not move as demand did (υ)", "%", func(s Scores) float64 { return s.Upsilon }},
		{"known", "share of time in which demand is known", "%", func(s Scores) float64 { return s.KnownPercent }},
		{"censored", "share of that in which it may have been more: all were busy", "%", func(s Scores) float64 { return s.CensoredPercent }},
		{"jitter", "changes of supply beyond those of demand", "/h", func(s Scores) float64 { return s.Jitter }},
	}
}

func measure(name string) (Measure, bool) {
	all := Measures()
	i := slices.IndexFunc(all, func(m Measure) bool { return m.Name == name })
	if i < 0 {
		return Measure{}, false
	}
	return all[i], true
}
