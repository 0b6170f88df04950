package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Cursor is how far one collector has the batches. Several may read a spool,
// each with a cursor and a Reader of its own: a batch is kept until all of them
// have it, and a while longer.
//
// Cursors outlive the process, in a file that is written without care: one that
// is behind the truth costs space for a while, and nothing else.
type Cursor struct {
	spool *Spool
	name  string
	acked uint64 // the collector has all batches up to this one
	// former is the last batch that the collector has under another identity
	// of the spool. It need not see it again under this one.
	former uint64
}

const (
	cursorsName   = "cursors"
	cursorsHeader = "plimsoll-cursors 1"
	maxCursors    = 64 // in the file; beyond them it is damaged
)

// Cursor returns the cursor of a collector, by the name under which the agent
// knows it. From then on nothing is deleted that this collector lacks, unless
// the bound demands it.
func (s *Spool) Cursor(name string) *Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cursors[name]; c != nil {
		return c
	}
	c := s.remembered[name]
	if c == nil {
		c = &Cursor{name: name}
	}
	c.spool = s
	s.cursors[name] = c
	return c
}

// Ack says that the collector has all batches up to seq on its disk.
func (c *Cursor) Ack(seq uint64) {
	s := c.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || seq >= s.next || seq <= c.acked {
		return // old news, or of a batch that never was
	}
	c.acked, s.cursorsDirty = seq, true
	s.release()
}

// Acked is the last batch up to which the collector has all.
func (c *Cursor) Acked() uint64 {
	c.spool.mu.Lock()
	defer c.spool.mu.Unlock()
	return c.acked
}

// Oldest is the number of the oldest batch that there is for the collector;
// NextSeq if there is none.
func (c *Cursor) Oldest() uint64 {
	c.spool.mu.Lock()
	defer c.spool.mu.Unlock()
	return max(c.spool.segments[0].first, c.former+1)
}

// acked is the last batch up to which all collectors have all. s.mu is held.
func (s *Spool) acked() uint64 {
	if len(s.cursors) == 0 {
		return 0
	}
	least := ^uint64(0)
	for _, c := range s.cursors {
		least = min(least, c.acked)
	}
	return least
}

// renewed notes that the spool has another identity from now on. s.mu is held.
func (s *Spool) renewed() {
	for _, known := range []map[string]*Cursor{s.cursors, s.remembered} {
		for _, c := range known {
			c.acked = min(c.acked, s.next-1) // what was beyond has been lost
			c.former = c.acked
		}
	}
	s.cursorsDirty = true
}

// readCursors returns the cursors of earlier runs. A file that makes no sense is
// as good as none.
func readCursors(dir string) (map[string]*Cursor, error) {
	data, err := os.ReadFile(filepath.Join(dir, cursorsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if lines[0] != cursorsHeader || len(lines) > 1+maxCursors {
		return nil, nil
	}
	known := map[string]*Cursor{}
	for _, line := range lines[1:] {
		fields := strings.SplitN(line, " ", 3)
		if len(fields) != 3 {
			return nil, nil
		}
		acked, err1 := strconv.ParseUint(fields[0], 10, 64)
		former, err2 := strconv.ParseUint(fields[1], 10, 64)
		name, err3 := strconv.Unquote(fields[2])
		if errors.Join(err1, err2, err3) != nil {
			return nil, nil
		}
		known[name] = &Cursor{name: name, acked: acked, former: min(former, acked)}
	}
	return known, nil
}

// saveCursors writes what has changed since the last time: a line for each
// cursor in use, with the last batch acknowledged, the last under a former
// identity, and the collector's name.
func (s *Spool) saveCursors() {
	s.mu.Lock()
	dirty := s.cursorsDirty && len(s.cursors) > 0
	s.cursorsDirty = false
	var b strings.Builder
	fmt.Fprintln(&b, cursorsHeader)
	for _, name := range slices.Sorted(maps.Keys(s.cursors)) {
		c := s.cursors[name]
		fmt.Fprintf(&b, "%d %d %q\n", c.acked, c.former, name)
	}
	s.mu.Unlock()
	if !dirty {
		return
	}
	path := filepath.Join(s.opts.Dir, cursorsName)
	// Not made durable: after a power cut more is kept than need be, and that is all.
	err := os.WriteFile(path+".new", []byte(b.String()), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		s.opts.Log.Debug("cannot note what collectors have; after a restart, more is kept than need be", "file", path, "err", err)
	}
}
