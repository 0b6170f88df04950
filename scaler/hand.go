package scaler

import (
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/durable"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

// clockSlack is by how much the clock may go astray before the end of what was said
// is written anew.
const clockSlack = 5 * time.Second

// hands are what people have said and what still counts, kept in one file over
// restarts. How long it counts goes by time that has passed, not by what the clock
// shows: one that is set ends nothing early, and prolongs nothing. Only over a
// restart there is no other time than the clock's. The methods may be called
// concurrently.
type hands struct {
	path    string // empty: nothing is kept over a restart
	log     *slog.Logger
	metrics *handMetrics
	// audit writes an act down for good, before it counts.
	audit func(journal.Act) error
	wall  func() time.Time
	clock func() time.Duration // since some moment; cannot be set
	// replace writes the file: durable.Replace.
	replace func(path string, data []byte, mode fs.FileMode) error

	// Whoever speaks waits for the disk, one after the other. Decisions, which take
	// mu alone, do not.
	saying sync.Mutex // of those who say and hear
	saving sync.Mutex // of those who write the file

	mu     sync.Mutex // never held while anything is written
	acts   map[aim]held
	behind bool // acts has what the file has not
	// listeners are poked at each change: the lines to the other collector of a pair.
	listeners map[chan struct{}]struct{}
}

// held is the last act of its aim. One that ends something is kept as well: the
// other collector may still know what it ended.
type held struct {
	journal.Act
	Lasts time.Duration `json:"lasts"` // how long it was to count when it was said, in ns
	since time.Duration // by hands.clock: when it began to count
	left  time.Duration // how long it counts from then
}

func openHands(path string, wall func() time.Time, log *slog.Logger, audit func(journal.Act) error, m *handMetrics) *hands {
	began := time.Now()
	return loadHands(&hands{
		path: path, log: log, audit: audit, metrics: m,
		wall: wall, clock: func() time.Duration { return time.Since(began) }, replace: durable.Replace,
	})
}

// put takes an act as the last of its aim. It may count no longer than was meant
// when it was said, however far back the clock is now.
func (h *hands) put(a journal.Act, lasts time.Duration) {
	left := min(h.left(a), lasts, handMost)
	if left <= 0 {
		delete(h.acts, aimOf(a))
		return
	}
	h.acts[aimOf(a)] = held{a, lasts, h.clock(), left}
}

// left is how much longer an act counts, by the clock.
func (h *hands) left(a journal.Act) time.Duration { return endOf(a).Sub(h.wall()) }

// say lets an act count, once it is written down. What a crash would forget is
// told, but counts.
func (h *hands) say(a journal.Act) (journal.Act, error) {
	h.saying.Lock()
	defer h.saying.Unlock()
	before, known, counts := h.known(aimOf(a))
	ends := a.Verb == journal.VerbResume || a.Verb == journal.VerbRelease
	if ends && (!known || before.Verb == a.Verb || !counts) {
		return a, errNothingToEnd
	}
	a.ID = newActID()
	a.Order = max(a.At.UnixMilli(), before.Order+1)
	if err := h.audit(a); err != nil {
		return a, err
	}
	h.take(a)
	return a, nil
}

// errNothingToEnd is for whoever ends what is not there.
var errNothingToEnd = errors.New("there is nothing to end")

// hear takes an act that was told to the other collector, unless a later one is
// known, and tells whether it was taken. One that is over is taken only to end the
// one before: the other, whose clock may be behind, tells of it again and again.
func (h *hands) hear(a journal.Act) bool {
	h.saying.Lock()
	defer h.saying.Unlock()
	before, known, _ := h.known(aimOf(a))
	switch {
	case known && !supersedes(a, before):
		return false
	case !known && (h.left(a) <= 0 || h.full()):
		return false
	}
	if err := h.audit(a); err != nil {
		h.log.Error("what was told to the other collector counts here too, but is not in the audit log", "policy", a.Policy, "act", string(a.Verb), "err", err)
	}
	h.take(a)
	return true
}

// known is the last act of an aim, and whether it still counts.
func (h *hands) known(of aim) (a journal.Act, known, counts bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last, known := h.acts[of]
	return last.Act, known, known && h.remains(last) > 0
}

// full tells whether there are more acts than two collectors with the same policies
// can have.
func (h *hands) full() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.acts) >= actsMost
}

// take lets an act count. h.saying is held.
func (h *hands) take(a journal.Act) {
	a.Until = endOf(a)
	h.mu.Lock()
	h.put(a, a.Until.Sub(a.At))
	h.behind = true
	h.poke()
	h.mu.Unlock()
	h.metrics.said(a)
	h.log.Info("told by hand", "act", string(a.Verb), "policy", a.Policy, "direction", string(a.Direction),
		"floor", a.Floor, "ceiling", a.Ceiling, "until", a.Until, "by", a.By, "proven", a.Proven, "reason", a.Reason)
}

// remains is how much longer an act counts.
func (h *hands) remains(a held) time.Duration { return a.left - (h.clock() - a.since) }

// current is what counts of an aim, with its end by the clock of now.
func (h *hands) current(of aim) (journal.Act, bool) {
	a, ok := h.acts[of]
	if !ok || a.Verb == journal.VerbResume || a.Verb == journal.VerbRelease {
		return journal.Act{}, false
	}
	left := h.remains(a)
	if left <= 0 {
		return journal.Act{}, false
	}
	if until := h.wall().Add(left); until.Sub(a.Until).Abs() > clockSlack {
		h.log.Warn("the clock was set; what was said by hand ends when it was meant to", "policy", a.Policy, "act", string(a.Verb), "was", a.Until, "until", until)
		a.Until = until.Round(time.Second).UTC()
		h.acts[of] = a
		h.behind = true
	}
	return a.Act, true
}

// Hand is what counts for a policy now, as it was told.
type Hand struct {
	Pause    *journal.Act `json:"pause,omitempty"`     // of this policy
	PauseAll *journal.Act `json:"pause_all,omitempty"` // of all policies
	Override *journal.Act `json:"override,omitempty"`
}

// of is what counts for a policy now.
func (h *hands) of(name string) (said Hand) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.acts) == 0 {
		return said
	}
	for _, one := range []struct {
		aim aim
		to  **journal.Act
	}{{aim{name, true}, &said.Pause}, {aim{journal.AllPolicies, true}, &said.PauseAll}, {aim{name, false}, &said.Override}} {
		if a, ok := h.current(one.aim); ok {
			*one.to = &a
		}
	}
	return said
}

// decided is what a decision is told of it.
func (said Hand) decided() (d decide.Hand) {
	for _, p := range []*journal.Act{said.Pause, said.PauseAll} {
		if p == nil {
			continue
		}
		switch {
		case d.Pause == "":
			d.Pause, d.PauseUntil, d.PauseBy = p.Direction, p.Until, speaker(*p)
		case d.Pause == p.Direction:
			if p.Until.After(d.PauseUntil) {
				d.PauseUntil, d.PauseBy = p.Until, speaker(*p)
			}
		default: // both, until one of them is over, when the next tick is told of the other
			d.Pause, d.PauseBy = decide.PauseAll, d.PauseBy+"; "+speaker(*p)
			if p.Until.Before(d.PauseUntil) {
				d.PauseUntil = p.Until
			}
		}
	}
	if o := said.Override; o != nil {
		d.Floor, d.Ceiling, d.Until, d.By = o.Floor, o.Ceiling, o.Until, speaker(*o)
	}
	return d
}

// all are the acts that are known, ends among them, in a fixed order.
func (h *hands) all() []journal.Act {
	h.mu.Lock()
	defer h.mu.Unlock()
	var acts []journal.Act
	for _, a := range h.list() {
		acts = append(acts, a.Act)
	}
	return acts
}
