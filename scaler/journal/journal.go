// Package journal keeps what a scaler decided, what each decision was based on, and
// what people have said: so much that anyone can make a decision again, in lines
// that are chained by their hashes, so that none can be altered unnoticed.
//
//	Record ─► turns ─► write ─► linelog            a run of equal ticks is one line
//	                              │
//	          Read, Find, Acts ◄──┼──► Verify      also beside the process that writes
//	                Replay ◄──────┘
package journal

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/chain"
	"github.com/plimsoll-io/plimsoll/internal/linelog"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Options say where a journal is and how much it may keep.
type Options struct {
	// Dir is made if it does not exist.
	Dir string
	// MaxBytes bounds the whole journal; the oldest goes first. Default 64 MiB.
	MaxBytes int64
	// Program is the version that decides, which is kept beside what it decided.
	Program string
	// Log may be nil.
	Log *slog.Logger
}

// Journal keeps decisions on disk, one JSON object on a line, each sealed with the
// hash of the one before. A line that a crash tore is cut off, and the chain goes
// on with a line that says so. Its methods may be called concurrently.
type Journal struct {
	log     *slog.Logger
	program string
	disk    *linelog.Log
	sync    func() error // makes what was written survive a power cut; without mu, as others write meanwhile

	mu       sync.Mutex
	link     chain.Link
	found    startMark              // what Open found; for the first line that is written
	started  bool                   // it is written
	told     map[string]bool        // fingerprints of the policies that are in the last segment
	lastID   string                 // that was given
	earliest time.Time              // when the first entry of the last segment began; of those it has
	turns    map[string]turns       // by policy: what may be repeated
	apps     map[string]*policy.App // by fingerprint: policies, so that a reader need not look for them
	reading  sync.Mutex             // one search of what is on disk at a time, so that they take one core; before mu
	checking sync.Mutex             // one verification at a time, for the time it takes
}

// Open opens the journal in a directory, with all that it has.
func Open(opts Options) (*Journal, error) {
	disk, err := linelog.Open(linelog.Options{Dir: opts.Dir, MaxBytes: cmp.Or(opts.MaxBytes, 64<<20), Pack: true})
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{
		log:     cmp.Or(opts.Log, slog.New(slog.DiscardHandler)),
		program: cmp.Or(opts.Program, "unknown"),
		disk:    disk,
		sync:    disk.Sync,
		told:    make(map[string]bool),
		turns:   make(map[string]turns),
		apps:    make(map[string]*policy.App),
	}
	j.resume()
	return j, nil
}

// resume finds where the chain is to be gone on with, and what the last segment
// tells already.
func (j *Journal) resume() {
	list := j.disk.Segments()
	if len(list) == 0 {
		return
	}
	j.found.Found = list[0].Number
	for line, err := range list[len(list)-1].Forward() {
		switch {
		case err != nil:
			j.log.Warn("journal damaged", "err", err) // its chain will say so, too
		case line.Torn:
			j.found.Torn = int64(len(line.Text))
		default:
			j.recollect(line.Text)
		}
	}
	for _, seg := range slices.Backward(list) {
		for line, err := range seg.Backward() {
			if line.Torn {
				continue
			}
			var seal chain.Seal
			if err == nil {
				seal, err = chain.Read(line.Text)
			}
			if err != nil {
				j.found.Anew = fmt.Sprintf("the last line of %s: %v", seg.Name(), err)
				j.log.Warn("journal goes on with a new chain", "why", j.found.Anew)
				return
			}
			j.link = seal.Link
			return
		}
	}
}

// recollect takes from a line of the last segment what need not be written again.
func (j *Journal) recollect(line []byte) {
	if id, ok := after(line, beginsEntry); ok {
		j.lastID = max(j.lastID, id)
		j.has(sinceOf(line))
		return
	}
	if basis, ok := after(line, beginsBasis); ok {
		if _, err := chain.Read(line); err == nil {
			j.told[basis] = true
		}
		return
	}
	var m mark
	if _, ok := after(line, beginsSegment); ok && json.Unmarshal(line, &m) == nil && m.Segment != nil {
		j.lastID = max(j.lastID, m.Segment.Last)
	}
}

// write appends an entry. The policy is kept once in a segment, by its
// fingerprint; what follows from it is not kept.
func (j *Journal) write(e Entry) error {
	app := e.App
	if app != nil {
		e.Basis = app.Fingerprint()
		e.Queries = nil
	}
	e.App = nil
	object, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := j.add(object, e.Basis, app); err != nil {
		return err
	}
	j.has(e.Since)
	return nil
}

// has takes note of when an entry of the last segment began.
func (j *Journal) has(since time.Time) {
	if j.earliest.IsZero() || since.Before(j.earliest) {
		j.earliest = since
	}
}

// add appends an object, after all that must be before it: the mark of a new
// segment, that of a start, and the policy.
func (j *Journal) add(object []byte, basis string, app *policy.App) error {
	var told []byte
	if app != nil {
		var err error
		if told, err = json.Marshal(basisLine{basis, app}); err != nil {
			return err
		}
	}
	const seals, marks = 4 * 256, 1 << 10 // more than they take
	place, err := j.disk.Room(len(object) + len(told) + seals + marks)
	if err != nil {
		return err
	}
	s := sealing{link: j.link}
	if err := j.introduce(&s, place); err != nil {
		return err
	}
	if app != nil && (place.Fresh || !j.told[basis]) {
		if err := s.add(told); err != nil {
			return err
		}
	}
	if err := s.add(object); err != nil {
		return err
	}
	if err := j.disk.Append(s.text); err != nil {
		return err
	}
	j.link, j.started = s.link, true
	if place.Fresh {
		clear(j.told)
		j.earliest = time.Time{}
	}
	if app != nil {
		j.told[basis] = true
		j.know(basis, app)
	}
	return nil
}

// introduce adds the marks that are due.
func (j *Journal) introduce(s *sealing, place linelog.Place) error {
	var marks []mark
	if place.Fresh {
		m := &segmentMark{
			Number: place.Segment, Found: j.disk.Segments()[0].Number, Oldest: place.Oldest,
			Last: j.lastID, From: j.earliest, Program: j.program,
		}
		if !j.started {
			m.Anew = j.found.Anew
		}
		marks = append(marks, mark{Segment: m})
	}
	if !j.started {
		start := j.found
		start.At, start.Program = time.Now().Round(0).UTC(), j.program
		start.Found = cmp.Or(start.Found, place.Segment)
		marks = append(marks, mark{Start: &start})
	}
	for _, m := range marks {
		object, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if err := s.add(object); err != nil {
			return err
		}
	}
	return nil
}

// basisLine is a policy in a journal.
type basisLine struct {
	Basis string      `json:"basis"`
	App   *policy.App `json:"app"`
}

// mostKnown bounds the policies that are kept in memory for readers.
const mostKnown = 4096

func (j *Journal) know(basis string, app *policy.App) {
	if len(j.apps) >= mostKnown {
		clear(j.apps)
	}
	j.apps[basis] = app
}

// Close writes what is still in memory. The journal may be read afterwards, but
// not written.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(j.turns)) {
		errs = append(errs, j.flush(name, time.Time{}))
	}
	if j.started {
		if object, err := json.Marshal(mark{Stop: &stopMark{At: time.Now().Round(0).UTC()}}); err == nil {
			_ = j.add(object, "", nil) // without room for it, the next start takes this for a crash
		}
		j.started = false // or a second Close would say it again
	}
	return wrap(errors.Join(append(errs, j.disk.Close())...))
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}
