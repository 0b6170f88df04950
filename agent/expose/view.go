package expose

import (
	"slices"
	"time"
)

// view is what one scrape shows: a copy of all values, so that rendering and
// sending need no lock. Views are used over and over.
type view struct {
	generation uint64
	groups     []*group
	shown      []bool    // whether the group of that position is
	values     []float64 // of all groups, one after the other
	buf        []byte    // text that waits to be written
}

// look fills v with what is fresh now of the given jobs, of all if there are
// none.
func (e *Exposition) look(v *view, jobs []string) {
	e.copyTo(v, time.Now())
	if len(jobs) == 0 {
		return
	}
	for i, g := range v.groups {
		v.shown[i] = v.shown[i] && slices.Contains(jobs, g.job)
	}
}

func (e *Exposition) copyTo(v *view, now time.Time) {
	v.shown, v.values = v.shown[:0], v.values[:0]
	pace := e.opts.Slowdown()
	e.mu.Lock()
	defer e.mu.Unlock()
	v.generation = e.generation
	v.groups = append(v.groups[:0], e.groups...)
	for _, g := range e.groups {
		v.shown = append(v.shown, g.fresh(now, pace))
		v.values = append(v.values, g.values...)
	}
}

// put gives a view back. It must not keep groups alive that have ended.
func (e *Exposition) put(v *view) {
	clear(v.groups)
	e.views.Put(v)
}
