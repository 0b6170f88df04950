package scaler

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
)

const (
	// handVersion is the version of the file. Another is not read.
	handVersion = 1
	// clockSlack is by how much the clock may go astray before the end of what was
	// said is written anew.
	clockSlack = 5 * time.Second
)

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
	audit func(Act) error
	wall  func() time.Time
	clock func() time.Duration // since some moment; cannot be set

	mu     sync.Mutex
	acts   map[aim]held
	behind bool // acts has what the file has not
	// listeners are poked at each change: the lines to the other collector of a pair.
	listeners map[chan struct{}]struct{}
}

// held is the last act of its aim. One that ends something is kept as well: the
// other collector may still know what it ended.
type held struct {
	Act
	Lasts time.Duration `json:"lasts"` // how long it was to count when it was said, in ns
	since time.Duration // by hands.clock: when it began to count
	left  time.Duration // how long it counts from then
}

type handFile struct {
	Version int    `json:"version"`
	Acts    []held `json:"acts"`
}

func openHands(path string, wall func() time.Time, log *slog.Logger, audit func(Act) error, m *handMetrics) *hands {
	began := time.Now()
	return loadHands(&hands{
		path: path, log: log, audit: audit, metrics: m,
		wall: wall, clock: func() time.Duration { return time.Since(began) },
	})
}

// loadHands reads the file. What cannot be read is told as an error, since a person
// relies on it, and is put aside.
func loadHands(h *hands) *hands {
	h.acts, h.listeners = make(map[aim]held), make(map[chan struct{}]struct{})
	if h.path == "" {
		return h
	}
	acts, err := readHands(h.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		aside := h.path + ".unreadable"
		err = errors.Join(err, os.Rename(h.path, aside))
		h.log.Error("pauses and overrides unreadable, none counts any more; give them again", "file", aside, "err", err)
	}
	for _, a := range acts {
		h.put(a.Act, a.Lasts)
	}
	return h
}

func readHands(path string) ([]held, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file handFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if file.Version != handVersion {
		return nil, fmt.Errorf("version %d, this program knows %d", file.Version, handVersion)
	}
	return file.Acts, nil
}

// put takes an act as the last of its aim. It may count no longer than was meant
// when it was said, however far back the clock is now.
func (h *hands) put(a Act, lasts time.Duration) {
	left := min(a.Until.Sub(h.wall()), lasts, handMost)
	if left <= 0 {
		delete(h.acts, a.aims())
		return
	}
	h.acts[a.aims()] = held{a, lasts, h.clock(), left}
}

// say lets an act count, once it is written down. What a crash would forget is
// told, but counts.
func (h *hands) say(a Act) (Act, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.acts[a.aims()]
	ends := a.Verb == VerbResume || a.Verb == VerbRelease
	if ends && (!known || before.Verb == a.Verb || h.remains(before) <= 0) {
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
// known, and tells whether it was taken.
func (h *hands) hear(a Act) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.acts[a.aims()]
	if known && !a.after(before.Act) || !known && len(h.acts) >= actsMost {
		return false
	}
	if err := h.audit(a); err != nil {
		h.log.Error("what was told to the other collector counts here too, but is not in the audit log", "policy", a.Policy, "act", string(a.Verb), "err", err)
	}
	h.take(a)
	return true
}

func (h *hands) take(a Act) {
	if a.Until.IsZero() {
		a.Until = a.At.Add(handMost) // for as long as what it ended could have counted
	}
	h.put(a, a.Until.Sub(a.At))
	h.behind = true
	h.poke()
	h.metrics.said(a)
	h.log.Info("told by hand", "act", string(a.Verb), "policy", a.Policy, "direction", string(a.Direction),
		"floor", a.Floor, "ceiling", a.Ceiling, "until", a.Until, "by", a.By, "proven", a.Proven, "reason", a.Reason)
}

// remains is how much longer an act counts.
func (h *hands) remains(a held) time.Duration { return a.left - (h.clock() - a.since) }

// current is what counts of an aim, with its end by the clock of now.
func (h *hands) current(of aim) (Act, bool) {
	a, ok := h.acts[of]
	if !ok || a.Verb == VerbResume || a.Verb == VerbRelease {
		return Act{}, false
	}
	left := h.remains(a)
	if left <= 0 {
		return Act{}, false
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
	Pause    *Act `json:"pause,omitempty"`     // of this policy
	PauseAll *Act `json:"pause_all,omitempty"` // of all policies
	Override *Act `json:"override,omitempty"`
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
		to  **Act
	}{{aim{name, true}, &said.Pause}, {aim{AllPolicies, true}, &said.PauseAll}, {aim{name, false}, &said.Override}} {
		if a, ok := h.current(one.aim); ok {
			*one.to = &a
		}
	}
	return said
}

// decided is what a decision is told of it.
func (said Hand) decided() (d decide.Hand) {
	for _, p := range []*Act{said.Pause, said.PauseAll} {
		if p == nil {
			continue
		}
		switch {
		case d.Pause == "":
			d.Pause, d.PauseUntil, d.PauseBy = p.Direction, p.Until, p.who()
		case d.Pause == p.Direction:
			if p.Until.After(d.PauseUntil) {
				d.PauseUntil, d.PauseBy = p.Until, p.who()
			}
		default: // both, until one of them is over, when the next tick is told of the other
			d.Pause, d.PauseBy = decide.PauseAll, d.PauseBy+"; "+p.who()
			if p.Until.Before(d.PauseUntil) {
				d.PauseUntil = p.Until
			}
		}
	}
	if o := said.Override; o != nil {
		d.Floor, d.Ceiling, d.Until, d.By = o.Floor, o.Ceiling, o.Until, o.who()
	}
	return d
}

// all are the acts that are known, ends among them, in a fixed order.
func (h *hands) all() []Act {
	h.mu.Lock()
	defer h.mu.Unlock()
	var acts []Act
	for _, a := range h.list() {
		acts = append(acts, a.Act)
	}
	return acts
}

func (h *hands) list() []held {
	return slices.SortedFunc(maps.Values(h.acts), func(a, b held) int {
		return cmp.Or(strings.Compare(a.Policy, b.Policy), strings.Compare(string(a.Verb), string(b.Verb)))
	})
}

// sweep forgets what is over, and writes the file if it is behind. It is replaced
// as a whole, so that a crash leaves the old one or the new one.
func (h *hands) sweep() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for of, a := range h.acts {
		if h.remains(a) > 0 {
			continue
		}
		delete(h.acts, of)
		h.behind = true
		if a.Verb == VerbPause || a.Verb == VerbOverride {
			h.log.Info("what was told by hand is over", "act", string(a.Verb), "policy", a.Policy, "by", a.By)
		}
	}
	h.metrics.show(h.acts)
	if h.path == "" || !h.behind {
		return nil
	}
	data, err := json.Marshal(handFile{handVersion, h.list()})
	if err == nil {
		err = replaceFile(h.path, data)
	}
	if err != nil {
		return fmt.Errorf("save pauses and overrides: %w", err)
	}
	h.behind = false
	return nil
}
