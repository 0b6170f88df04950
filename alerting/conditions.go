package alerting

import (
	"fmt"
	"slices"

	"github.com/prometheus/alertmanager/pkg/labels"
	promlabels "github.com/prometheus/prometheus/model/labels"
)

// conditions are matchers that an alert satisfies all at once. What is said of
// them is certain: where values cannot be listed, nothing is said.
type conditions []*labels.Matcher

// of are the conditions about a label.
func (c conditions) of(label string) (own conditions) {
	for _, m := range c {
		if m.Name == label {
			own = append(own, m)
		}
	}
	return own
}

// values lists what a label may be; ok is false if that is more than a list.
func (c conditions) values(label string) (values []string, ok bool) {
	own := c.of(label)
	for _, m := range own {
		list, listed := valuesOf(m)
		if !listed {
			continue
		}
		values = slices.DeleteFunc(list, func(v string) bool {
			return slices.ContainsFunc(own, func(m *labels.Matcher) bool { return !m.Matches(v) })
		})
		return values, true
	}
	return nil, false
}

// valuesOf lists the values that a matcher matches, as for a="b" and a=~"b|c".
func valuesOf(m *labels.Matcher) ([]string, bool) {
	switch m.Type {
	case labels.MatchEqual:
		return []string{m.Value}, true
	case labels.MatchRegexp:
		twin, err := promlabels.NewMatcher(promlabels.MatchRegexp, "l", m.Value)
		if err == nil && len(twin.SetMatches()) > 0 {
			return slices.Clone(twin.SetMatches()), true
		}
	}
	return nil, false
}

// contradiction says why no alert can satisfy all conditions, or nothing if one
// may.
func (c conditions) contradiction() string {
	for _, m := range c {
		values, ok := c.values(m.Name)
		if !ok || len(values) > 0 {
			continue
		}
		own := c.of(m.Name)
		for i, a := range own {
			for _, b := range own[i+1:] {
				if v, listed := (conditions{a, b}).values(a.Name); listed && len(v) == 0 {
					return fmt.Sprintf("it would have both %s and %s", a, b)
				}
			}
		}
		return fmt.Sprintf("the conditions on %s contradict each other", m.Name)
	}
	return ""
}

// implies tells whether whatever satisfies c certainly satisfies others.
func (c conditions) implies(others ...*labels.Matcher) bool {
	for _, m := range others {
		if !c.implied(m) {
			return false
		}
	}
	return true
}

func (c conditions) implied(m *labels.Matcher) bool {
	if m.Type == labels.MatchRegexp && m.Value == ".*" {
		return true
	}
	if slices.ContainsFunc(c, func(own *labels.Matcher) bool {
		return own.Name == m.Name && own.Type == m.Type && own.Value == m.Value
	}) {
		return true
	}
	values, ok := c.values(m.Name)
	return ok && !slices.ContainsFunc(values, func(v string) bool { return !m.Matches(v) })
}
