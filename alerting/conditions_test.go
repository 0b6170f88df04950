package alerting

import (
	"math/rand/v2"
	"testing"

	"github.com/prometheus/alertmanager/pkg/labels"
)

// What is told to be impossible or implied must be so for every alert, so that
// nobody removes a route that matters.
func TestWhatIsSaidOfConditionsIsCertain(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	values := []string{"", "a", "b", "ab", "c"}
	patterns := []string{"a|b", "a|b|c", "a.*", ".*", ".+", "a?", "(a|b)?", "[ab]", "", "b|"}
	matcher := func() *labels.Matcher {
		kind := labels.MatchType(random.IntN(4))
		value := values[random.IntN(len(values))]
		if kind == labels.MatchRegexp || kind == labels.MatchNotRegexp {
			value = patterns[random.IntN(len(patterns))]
		}
		m, err := labels.NewMatcher(kind, []string{"x", "y"}[random.IntN(2)], value)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	contradictions, implications := 0, 0
	for range 20_000 {
		var c conditions
		for range random.IntN(4) {
			c = append(c, matcher())
		}
		other := matcher()
		impossible, implied := c.contradiction() != "", c.implied(other)
		for _, x := range values {
			for _, y := range values {
				lset := map[string]string{"x": x, "y": y}
				satisfied := true
				for _, m := range c {
					satisfied = satisfied && m.Matches(lset[m.Name])
				}
				if satisfied && impossible {
					t.Fatalf("%v is no contradiction: x=%q y=%q", c, x, y)
				}
				if satisfied && implied && !other.Matches(lset[other.Name]) {
					t.Fatalf("%v does not imply %v: x=%q y=%q", c, other, x, y)
				}
			}
		}
		if impossible {
			contradictions++
		}
		if implied {
			implications++
		}
	}
	if contradictions < 1000 || implications < 1000 {
		t.Errorf("only %d contradictions and %d implications seen", contradictions, implications)
	}
}
