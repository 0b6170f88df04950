package scaler

import (
	"fmt"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// hold is a tick of a policy, seconds after noon, at which nothing was done.
func hold(name string, seconds int) journal.Entry {
	return journal.Entry{
		Policy:      name,
		Observation: decide.Observation{Now: noon.Add(time.Duration(seconds) * time.Second), Desired: 2, Ready: 2},
		Decision:    decide.Decision{Action: decide.Hold, From: 2, To: 2}.Quote("steady"),
	}
}

// scaled is a tick at which the platform took a request.
func scaled(name string, seconds int) journal.Entry {
	e := hold(name, seconds)
	e.Decision = decide.Decision{Action: decide.Grow, From: 2, To: 3, Apply: true}.Quote("above")
	e.Result = journal.Accepted
	e.State = &decide.State{Version: decide.StateVersion}
	return e
}

// open is a journal of a directory that is closed when the test ends.
func open(t *testing.T, opts journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func read(t *testing.T, j *journal.Journal, q journal.Query) []journal.Entry {
	t.Helper()
	entries, err := j.Read(q)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// brief is entries without what tests do not look at.
func brief(entries []journal.Entry) []string {
	var s []string
	for _, e := range entries {
		s = append(s, fmt.Sprintf("%s %s %v..%v ×%d", e.Policy, e.Decision.Action, e.Since.Sub(noon), e.At().Sub(noon), e.Ticks))
	}
	return s
}
