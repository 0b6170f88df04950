package journal

import (
	"errors"
	"slices"
	"time"
)

const (
	// A run of equal entries is written when it is as long as shortestRun, the
	// next one of the same verdict when it is twice as long as that, and so on up
	// to longestRun: what changes shows within a minute, and what never does takes
	// a hundred lines a day. A crash loses the run that is not written yet.
	shortestRun = time.Minute
	longestRun  = 16 * time.Minute
	// mostRuns is how many verdicts of a policy may take turns, as they do where
	// the load is between two numbers, and still be one run each.
	mostRuns = 8
	// longestInterval is the longest between two ticks of a policy, and so the
	// most by which entries may be out of their order in the journal.
	longestInterval = time.Hour
)

// turns are the verdicts of a policy since its workload was last scaled.
type turns []run

// run is entries of one verdict that are not written yet.
type run struct {
	verdict string
	entry   Entry
	length  time.Duration // at which it is written
	empty   bool          // there is no entry yet
}

// Record keeps the entry of one tick. The first of a new verdict is written at
// once, and a change of the number of replicas survives a power cut when Record
// returns. An entry that repeats a verdict, of those since the last change, makes
// its run longer; the run is written when there is a change, and when it is long
// enough. What e points to must not change afterwards.
func (j *Journal) Record(e Entry) error {
	err := j.take(e)
	if e.Result == Accepted {
		err = errors.Join(err, j.sync())
	}
	return wrap(err)
}

// take is Record but for the power cut.
func (j *Journal) take(e Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()

	e.Since, e.Ticks = e.At(), 1
	t := j.turns[e.Policy]
	verdict := e.Verdict()
	i := slices.IndexFunc(t, func(r run) bool { return r.verdict == verdict })
	if i >= 0 && e.Result != Accepted {
		t.lengthen(i, e, j.nextID)
		return j.flush(e.Policy, e.At())
	}
	var errs []error
	if e.Result == Accepted || len(t) == mostRuns || len(t) > 0 && t[0].entry.Decision.From != e.Decision.From {
		errs = append(errs, j.flush(e.Policy, time.Time{}))
		t = nil
	}
	e.ID = j.nextID(e)
	errs = append(errs, j.write(e))
	j.turns[e.Policy] = append(t, run{verdict: verdict, entry: e, length: shortestRun, empty: true})
	return errors.Join(errs...)
}

func (j *Journal) nextID(e Entry) string {
	j.lastID = newID(e.Since, j.lastID)
	return j.lastID
}

// lengthen adds an entry to a run.
func (t turns) lengthen(i int, e Entry, newID func(Entry) string) {
	r := &t[i]
	if r.empty {
		e.ID = newID(e)
	} else {
		e.ID, e.Since, e.Ticks = r.entry.ID, r.entry.Since, r.entry.Ticks+1
	}
	r.entry, r.empty = e, false
}

// flush writes the runs of a policy that are long enough by then; all of them if
// then is zero. The next of the same verdict are longer.
func (j *Journal) flush(name string, then time.Time) error {
	var errs []error
	for i := range j.turns[name] {
		r := &j.turns[name][i]
		if r.empty || !then.IsZero() && then.Sub(r.entry.Since) < r.length {
			continue
		}
		r.empty, r.length = true, min(2*r.length, longestRun)
		errs = append(errs, j.write(r.entry))
	}
	return errors.Join(errs...)
}

// End forgets a policy that is no more, once all of it is written.
func (j *Journal) End(name string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.flush(name, time.Time{})
	delete(j.turns, name)
	return wrap(err)
}
