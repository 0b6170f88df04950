package agent

import (
	"slices"
	"testing"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func TestRosterFollowsComingsAndGoings(t *testing.T) {
	var came, left []string
	r := roster[string, string]{
		came: func(name string) string { came = append(came, name); return name },
		left: func(name *string, _ *sample.Batch) { left = append(left, *name) },
	}
	steps := []struct {
		read       string
		came, left string
	}{
		{read: "abc", came: "abc"},
		{read: "abc"},
		{read: "cab"},              // another order
		{read: "cb", left: "a"},    // one goes
		{read: "acdb", came: "ad"}, // one comes back, one is new
		{read: "aab", left: "cd"},  // named twice counts once
		{read: "", left: "ab"},     // all may go
		{read: "e", came: "e"},     // and others come
	}
	for i, step := range steps {
		came, left = nil, nil
		for _, c := range step.read {
			if got := r.seen(string(c)); got != nil && *got != string(c) {
				t.Errorf("step %d: %c is kept as %s", i, c, *got)
			}
		}
		r.settle(nil)
		slices.Sort(came)
		slices.Sort(left)
		if !slices.Equal(came, split(step.came)) || !slices.Equal(left, split(step.left)) {
			t.Errorf("step %d: came %v, left %v; want %q, %q", i, came, left, step.came, step.left)
		}
	}
}

func split(s string) []string {
	var out []string
	for _, c := range s {
		out = append(out, string(c))
	}
	return out
}
