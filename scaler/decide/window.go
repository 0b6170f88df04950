package decide

import "time"

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

// add puts one more number into the window and drops those older than length;
// outdone tells whether an older number stands back behind a newer.
func (w *Window) add(now time.Time, n int, length time.Duration, outdone func(older, newer int) bool) {
	start := now.Add(-length)
	kept := w.Asked[:0]
	for _, a := range w.Asked {
		if !a.At.Before(start) && !outdone(a.Replicas, n) {
			kept = append(kept, a)
		}
	}
	if w.Since.Before(start) {
		w.Since = start // what is older has been let go, whatever the next length is
	}
	w.Asked = append(kept, Ask{now, n})
}

// wanted puts a number into the in window.
func (s *State) wanted(now time.Time, n int, length time.Duration) {
	s.Most.add(now, n, length, func(older, newer int) bool { return older <= newer })
}

// clear begins the window anew.
func (w *Window) clear(now time.Time) { w.Since, w.Asked = now, w.Asked[:0] }

// first is the extreme. There is one, because add has been called.
func (w *Window) first() Ask { return w.Asked[0] }
