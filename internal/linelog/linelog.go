// Package linelog is a bounded log of lines on disk: numbered files, of which
// the last is written to and the oldest go first.
//
//	00000007.jsonl.gz  00000008.jsonl.gz  00000009.jsonl ◄─ Append
//	└ dropped next     └ packed           └ Backward begins here
//
// Its promises:
//
//   - It never takes more than a number of bytes, and keeps nothing that is
//     older than an age, if it has one. What it drops for that, it counts.
//   - A line that was appended survives the end of the process, however that
//     ends, and a power cut once Sync or Close has returned. A line that a
//     crash tore costs that line: it is cut off before the next is written.
//   - If the disk takes only part of what is appended, that part is taken back.
//   - Reading, in either direction, needs the memory of a block, not of a file,
//     and goes on beside writing, packing and dropping.
//   - Appending does not wait for the disk while another syncs, nor while a
//     segment is packed, until the next is full.
//
// What is in a line is the caller's business.
package linelog

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// kept is into how many segments a full log is cut, by bytes and by age:
// dropping the oldest loses one part in that many.
const kept = 8

// Options say where a log is and how much it keeps.
type Options struct {
	// Dir is made if it does not exist. Other files in it are left alone.
	Dir string
	// MaxBytes bounds all segments together; required.
	MaxBytes int64
	// MaxAge is how long a line is kept, up to an eighth of it longer; 0 for ever.
	MaxAge time.Duration
	// TimeOf is when a line was written, if the line says so, else zero. With
	// MaxAge it tells when a segment that was found on disk began.
	TimeOf func(line []byte) time.Time
	// Pack compresses segments that are full; zcat reads them. What may be kept is
	// then several times as much.
	Pack bool
	// Perm is that of new files, 0600 if it is 0. Who may read a file may enter
	// the directory.
	Perm fs.FileMode
}

// Log is a log on disk. Its methods may be called concurrently; a directory has
// one Log that writes.
type Log struct {
	opts Options

	mu       sync.Mutex
	list     []Segment
	file     *os.File       // the last of list; nil until the first write
	full     []*os.File     // of segments before it, to be synced and closed
	packing  chan []Segment // gets what is packed beside; nil if nothing is
	spoilt   bool           // the last of list has an end that could not be cut off
	late     bool           // what is too much could not be dropped
	dropped  int64          // lines
	appended int64          // how often that was done

	beside sync.WaitGroup // packing and syncing of full segments
	disk   disk
}

// Open finds what is there. It changes nothing yet but makes the directory.
func Open(opts Options) (*Log, error) {
	if opts.MaxBytes <= 0 {
		return nil, fmt.Errorf("a log in %s of %d bytes: want more than 0", opts.Dir, opts.MaxBytes)
	}
	opts.Perm = cmp.Or(opts.Perm, 0o600)
	if err := os.MkdirAll(opts.Dir, opts.Perm|opts.Perm&0o444>>2); err != nil {
		return nil, err
	}
	list, err := List(opts.Dir)
	if err != nil {
		return nil, err
	}
	if opts.TimeOf != nil {
		for i := range list {
			if list[i].Oldest, err = list[i].began(opts.TimeOf); err != nil {
				return nil, err
			}
		}
	}
	return &Log{opts: opts, list: list, disk: disk{fsync: (*os.File).Sync}}, nil
}

// share is how long a segment may become. Eight of them leave room for the
// first lines of a ninth, which are written before the oldest is dropped.
func (l *Log) share() int64 { return max(1, (l.opts.MaxBytes-l.opts.MaxBytes/64)/kept) }

// Place is where the next lines go.
type Place struct {
	Segment int // its number
	// Fresh tells that they will be its first.
	Fresh bool
	// Oldest is the number of the oldest segment that stays once they are
	// written.
	Oldest int
}

// Room makes room for n bytes: it goes on with the last segment, or begins a new
// one if that has its share. Who writes lines that depend on their segment asks
// here first; Append then puts them there.
func (l *Log) Room(n int) (Place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if err := l.room(int64(n), now); err != nil {
		return Place{}, err
	}
	last := l.last()
	p := Place{Segment: last.Number, Fresh: last.Size == 0, Oldest: last.Number}
	if gone := l.surplus(int64(n), now); gone < len(l.list) {
		p.Oldest = l.list[gone].Number
	}
	return p, nil
}

// Append writes whole lines, each with its end, in one go, and drops what is
// then too much or too old. If it fails, none of them was kept. What cannot be
// dropped makes the next Append fail.
func (l *Log) Append(lines []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if err := l.room(int64(len(lines)), now); err != nil {
		return err
	}
	last := l.last()
	if n, err := l.file.Write(lines); err != nil {
		if n > 0 && l.file.Truncate(last.Size) != nil {
			last.Size += int64(n)
			l.spoilt = true
		}
		return err
	}
	l.appended++
	last.Size += int64(len(lines))
	last.Newest = now
	if last.Oldest.IsZero() {
		last.Oldest = now
	}
	l.late = l.trim(now) != nil
	return nil
}

// Trim drops what is too old. Append does that too.
func (l *Log) Trim() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trim(time.Now())
}

// Bytes is how much the log takes on disk.
func (l *Log) Bytes() (sum int64) {
	for _, seg := range l.Segments() {
		sum += seg.Size
	}
	return sum
}

// Dropped is how many lines had to go since Open, for bytes or age.
func (l *Log) Dropped() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Segments are those that there are, the oldest first, each as far as it goes
// now.
func (l *Log) Segments() []Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collect(false)
	return slices.Clone(l.list)
}
