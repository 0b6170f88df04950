package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/plimsoll-io/plimsoll/internal/linelog"
)

// ErrNoEntry is that of an ID that no entry has.
var ErrNoEntry = errors.New("no such decision")

// Record is an entry as the journal has it, byte for byte, with what else it
// takes to make the decision again.
type Record struct {
	// Entry is the line, an Entry as JSON; Policy the policy that its basis names.
	Entry  json.RawMessage `json:"entry"`
	Policy json.RawMessage `json:"policy"`
	// Program is the version that decided.
	Program string `json:"program"`
	// Written tells that it is on disk, and so in the chain.
	Written bool `json:"written"`
}

// Find returns the record of an entry, or an error that is ErrNoEntry.
func (j *Journal) Find(id string) (Record, error) {
	for _, e := range j.running() {
		if e.ID == id {
			return recordOf(e, j.program)
		}
	}
	j.reading.Lock()
	defer j.reading.Unlock()
	return j.archive().Find(id)
}

// recordOf is the record of an entry that is not written yet.
func recordOf(e Entry, program string) (r Record, err error) {
	r.Program = program
	if e.App != nil {
		e.Basis = e.App.Fingerprint()
		if r.Policy, err = json.Marshal(e.App); err != nil {
			return Record{}, err
		}
	}
	e.App, e.Queries = nil, nil
	r.Entry, err = json.Marshal(e)
	return r, err
}

// Find returns the record of an entry, or an error that is ErrNoEntry.
func (a *Archive) Find(id string) (Record, error) {
	var damage []error
	first := len(a.segments) - 1 // in which it may be: it was given after that began, and written later
	for first > 0 {
		if last := beginning(a.segments[first]).Last; last != "" && last < id {
			break
		}
		first--
	}
	for _, seg := range a.segments[max(first, 0):] {
		r, err := find(seg, id)
		if err != nil {
			a.log.Warn("journal damaged", "err", err)
			damage = append(damage, fmt.Errorf("read journal: %w", err))
		}
		if r.Entry != nil {
			return r, nil
		}
	}
	if len(damage) > 0 {
		return Record{}, errors.Join(damage...)
	}
	return Record{}, fmt.Errorf("%w: %s; it may be of another collector, or too old to be kept", ErrNoEntry, id)
}

// find looks for an entry in one segment. What belongs to it is before it there.
func find(seg linelog.Segment, id string) (r Record, err error) {
	policies := make(map[string]json.RawMessage)
	for line, err := range seg.Forward() {
		if err != nil {
			return Record{}, err
		}
		text := line.Text
		if got, ok := after(text, beginsEntry); ok && got == id && !line.Torn {
			r.Entry, r.Written = bytes.Clone(text), true
			var of struct{ Basis string }
			if err := json.Unmarshal(text, &of); err != nil {
				return Record{}, err
			}
			r.Policy = policies[of.Basis]
			return r, nil
		}
		if basis, ok := after(text, beginsBasis); ok {
			var told struct{ App json.RawMessage }
			if json.Unmarshal(text, &told) == nil {
				policies[basis] = told.App
			}
		}
		if program, ok := programOf(text); ok {
			r.Program = program
		}
	}
	return Record{}, nil
}

// programOf is the version that a mark says writes from here on.
func programOf(line []byte) (string, bool) {
	if !bytes.HasPrefix(line, []byte(beginsSegment)) && !bytes.HasPrefix(line, []byte(beginsStart)) {
		return "", false
	}
	var m mark
	if json.Unmarshal(line, &m) != nil {
		return "", false
	}
	switch {
	case m.Start != nil:
		return m.Start.Program, true
	case m.Segment != nil:
		return m.Segment.Program, true
	}
	return "", false
}
