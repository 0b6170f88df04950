package decide

import (
	"slices"
	"time"
)

// Window remembers the extreme of the numbers that were asked for within some
// time. Numbers that a later one has outdone can never again be the extreme, so
// it holds few: the first is the extreme, and those after it are what remains
// when it grows too old.
type Window struct {
	// Since is the time from which nothing is missing.
	Since time.Time `json:"since"`
	Asked []Ask     `json:"asked,omitempty"`
}

// Ask is a number of replicas that was asked for, last at that time.
type Ask struct {
	At       time.Time `json:"at"`
	Replicas int       `json:"replicas"`
}

// with is the window with one more number and without those older than length;
// outdone tells whether an older number stands back behind a newer. The slice
// is fresh, so a window handed out earlier never changes.
func (w Window) with(now time.Time, n int, length time.Duration, outdone func(older, newer int) bool) Window {
	start := now.Add(-length)
	kept := slices.DeleteFunc(slices.Clone(w.Asked), func(a Ask) bool {
		return a.At.Before(start) || outdone(a.Replicas, n)
	})
	if w.Since.Before(start) {
		w.Since = start // what is older has been let go, whatever the next length is
	}
	w.Asked = append(kept, Ask{now, n})
	return w
}

// first is the extreme. There is one, because with has been called.
func (w Window) first() Ask { return w.Asked[0] }
