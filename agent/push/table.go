package push

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Options bound a Table. A zero stands for its default.
type Options struct {
	Series       int           // of all senders together; 10,000
	SenderSeries int           // of one sender; 5,000
	Bytes        int           // of memory, about, for all that is kept; 16 MiB
	Labels       int           // of a point; 30
	NameBytes    int           // of a metric or label; 200
	ValueBytes   int           // of a label; 1024
	Idle         time.Duration // after which a point that is not renewed ends; 5 min
	// Every is from one turn of a point to the next, in ticks: what has not
	// changed is written again then, sets are counted, and idle points end. 15.
	Every uint64
}

func (o Options) withDefaults() Options {
	o.Series = cmp.Or(o.Series, 10_000)
	o.SenderSeries = cmp.Or(o.SenderSeries, 5_000)
	o.Bytes = cmp.Or(o.Bytes, 16<<20)
	o.Labels = cmp.Or(o.Labels, 30)
	o.NameBytes = cmp.Or(o.NameBytes, 200)
	o.ValueBytes = cmp.Or(o.ValueBytes, 1024)
	o.Idle = cmp.Or(o.Idle, 5*time.Minute)
	o.Every = cmp.Or(o.Every, 15)
	return o
}

// movedLives is how many times longer a gauge stays that its sender moves rather
// than sets: if it began again, it would begin at 0.
const movedLives = 12

// Table is all that is pushed on a node.
type Table struct {
	limits Options
	born   time.Time
	feeds  []*Feed

	mu      sync.Mutex    // guards all that follows, and all senders and points
	now     time.Duration // since born, when the table was last opened
	senders map[Origin]*Sender
	unnamed bool // one of them has no name
	series  int
	bytes   int
	changed []*Point
	turns   [][]*Point // each tick has the points of one
	next    int        // turn for the next point
	version uint64     // of the containers that senders are named by

	health []*sample.Group // of each feed
	own    *sample.Group
	key    []byte // of the point that is being looked for
	family []byte
}

// NewTable makes an empty table.
func NewTable(opts Options) *Table {
	opts = opts.withDefaults()
	return &Table{
		limits: opts, born: time.Now(),
		senders: make(map[Origin]*Sender), turns: make([][]*Point, opts.Every),
	}
}

// reserve takes memory, if there is enough.
func (t *Table) reserve(bytes int) bool {
	if t.bytes+bytes > t.limits.Bytes {
		return false
	}
	t.bytes += bytes
	return true
}

// place gives a new point its turn; displace takes it back.
func (t *Table) place(p *Point) {
	p.turn = t.next
	p.at = len(t.turns[p.turn])
	t.turns[p.turn] = append(t.turns[p.turn], p)
	t.next = (t.next + 1) % len(t.turns)
}

func (t *Table) displace(p *Point) {
	list := t.turns[p.turn]
	last := list[len(list)-1]
	list[p.at], last.at = last, p.at
	list[len(list)-1] = nil
	t.turns[p.turn] = list[:len(list)-1]
}

// Standing is what is known of who a sender is.
type Standing uint8

// The standings.
const (
	Unnamed  Standing = iota // not yet known: ask again at the next tick
	Stranger                 // in no container, or in one that nobody knows
	Member                   // of a container
	Gone                     // with its container, and all it has ends
)

// Identify tells the labels of a sender, from what it was and how long the table
// has had it. It is called with the table open and must not wait.
type Identify func(o Origin, was Standing, since time.Duration) ([]sample.Label, Standing)

// Collect adds what has changed since the last tick, what has its turn, and what
// has ended. Senders are named anew when version changes, and until they have a
// name nothing of them is written. All samples are of the tick's time.
func (t *Table) Collect(b *sample.Batch, version uint64, identify Identify) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = time.Since(t.born)
	t.name(b, version != t.version, identify)
	t.version = version

	kept := t.changed[:0]
	for _, p := range t.changed {
		switch {
		case p.dead:
			continue
		case p.ending:
			p.finish(b)
			continue
		case p.sender.named():
			p.write(b, false)
		}
		if p.listed = p.changed; p.listed {
			kept = append(kept, p)
		}
	}
	clear(t.changed[len(kept):])
	t.changed = kept

	turn := b.Tick % uint64(len(t.turns))
	for i := len(t.turns[turn]) - 1; i >= 0; i-- { // backwards, as points leave
		t.take(t.turns[turn][i], b)
	}
	t.report(b, turn == 0)
}

// name names the senders that have no name, or all.
func (t *Table) name(b *sample.Batch, all bool, identify Identify) {
	if !all && !t.unnamed {
		return
	}
	t.unnamed = false
	for o, s := range t.senders {
		if s.named() && !all {
			continue
		}
		labels, is := identify(o, s.standing, t.now-s.first)
		switch is {
		case Unnamed:
			t.unnamed = true
		case Gone:
			for _, p := range s.points {
				p.finish(b)
			}
		case Stranger, Member:
			if !slices.Equal(labels, s.labels) {
				s.rename(labels, b)
			}
			s.standing = is
		}
	}
}

// rename ends the series that s has under its old labels. They go on under the
// new.
func (s *Sender) rename(labels []sample.Label, b *sample.Batch) {
	s.labels = labels
	for _, p := range s.points {
		if p.group == nil {
			continue
		}
		b.End(p.group)
		p.group, p.changed = nil, true
		p.list()
	}
}

// take gives p its turn.
func (t *Table) take(p *Point, b *sample.Batch) {
	silence, idle := t.now-p.updated, t.limits.Idle
	if p.moved {
		idle *= movedLives
	}
	switch {
	case p.ending, silence >= idle:
		p.finish(b)
		return
	case p.family.Kind == Set:
		p.values[0] = sample.Absent
		if p.complete {
			p.values[0] = float64(len(p.seen))
		}
		p.complete = true
		clear(p.seen)
	case !p.family.Held && silence > 2*p.interval:
		return // its sender is late, and what it said last is no longer news
	}
	if p.sender.named() && !p.changed && (p.begun || p.family.Kind == Set && !sample.IsAbsent(p.values[0])) {
		p.write(b, false)
	}
}
