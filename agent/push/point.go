package push

import (
	"math"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Point is a metric of a sender with one set of labels.
type Point struct {
	sender *Sender
	family *family
	key    string
	labels []sample.Label // its own
	values []float64      // one for each series
	group  *sample.Group  // nil before its first sample

	updated  time.Duration // since the table's birth
	interval time.Duration // from one update to the next, about
	clock    uint64        // of its sender when it last said something, if it tells
	turn, at int           // where it stands among the table's turns

	listed   bool // among the table's changed
	changed  bool // since it was last written
	begun    bool // its zeros are written
	moved    bool // by how much, not to what: a gauge whose value is known here only
	ending   bool // it leaves at the next tick
	dead     bool // it has left
	stamp    uint64
	seen     map[uint64]struct{} // of a set
	room     int                 // the most that seen ever had
	complete bool                // seen was begun at a turn
}

const (
	// firstInterval is how often OpenTelemetry's SDKs export unless told
	// otherwise.
	firstInterval = time.Minute
	// maxSeen bounds what a set counts. What is beyond is dropped.
	maxSeen   = 4096
	seenBytes = 40
)

// accumulates tells whether values are added up here, from 0.
func (f *family) accumulates() bool { return f.Held && (f.Kind == Counter || f.Kind == Histogram) }

// Add adds to a counter or a gauge. A gauge that never had a value had 0, as
// StatsD has it.
func (p *Point) Add(v float64) Reason {
	was := p.values[0]
	if sample.IsAbsent(was) {
		was = 0
	}
	sum := was + v
	if !finite(sum) || p.family.Kind == Counter && !(v >= 0) {
		return BadValue
	}
	p.values[0] = sum
	p.moved = p.moved || p.family.Kind == Gauge
	p.touch()
	return 0
}

// Set sets a gauge, or a counter that its sender adds up.
func (p *Point) Set(v float64) Reason {
	if p.family.Kind == Counter && !(v >= 0 && finite(v)) {
		return BadValue
	}
	p.values[0] = plain(v)
	p.touch()
	return 0
}

// Observe adds a value to a histogram, weight times.
func (p *Point) Observe(v, weight float64) Reason {
	n := len(p.values)
	sum, count := p.values[n-2]+v*weight, p.values[n-1]+weight
	if !finite(sum) || !finite(count) {
		return BadValue
	}
	first, _ := slices.BinarySearch(p.family.Bounds, v) // a bound belongs to its bucket
	for i := first; i < n-2; i++ {
		p.values[i] += weight
	}
	p.values[n-2], p.values[n-1] = sum, count
	p.touch()
	return 0
}

// See adds a thing, by its hash, to a set.
func (p *Point) See(hash uint64) Reason {
	if _, old := p.seen[hash]; !old {
		switch {
		case len(p.seen) < p.room:
		case p.room >= maxSeen || !p.sender.table.reserve(seenBytes):
			return Memory
		default:
			p.room++
		}
		if p.seen == nil {
			p.seen = make(map[uint64]struct{})
		}
		p.seen[hash] = struct{}{}
	}
	p.renew()
	return 0
}

// SetAll sets all values of a histogram or summary, sample.Absent where there is
// none.
func (p *Point) SetAll(values []float64) Reason {
	if len(values) != len(p.values) {
		return Malformed
	}
	for i, v := range values {
		p.values[i] = v
		if !sample.IsAbsent(v) {
			p.values[i] = plain(v)
		}
	}
	p.touch()
	return 0
}

// AddAll adds to all values of a histogram. If there is no sum to add, the sum
// is unknown from then on.
func (p *Point) AddAll(values []float64) Reason {
	if len(values) != len(p.values) {
		return Malformed
	}
	for i, v := range values {
		if !sample.IsAbsent(v) && !finite(p.values[i]+v) && !sample.IsAbsent(p.values[i]) {
			return BadValue
		}
	}
	for i, v := range values {
		if sample.IsAbsent(v) || sample.IsAbsent(p.values[i]) {
			p.values[i] = sample.Absent
		} else {
			p.values[i] += v
		}
	}
	p.touch()
	return 0
}

// End says that there is no value any more.
func (p *Point) End() {
	p.ending = true
	p.list()
}

// Follows takes note of the sender's time of what it says, in ns, and tells
// whether it is later than what it said before, or with again, not earlier.
func (p *Point) Follows(at uint64, again bool) bool {
	if at < p.clock || at == p.clock && !again {
		return false
	}
	p.clock = at
	return true
}

func (p *Point) touch() {
	p.renew()
	p.changed = true
	p.list()
}

func (p *Point) list() {
	if !p.listed {
		p.listed = true
		p.sender.table.changed = append(p.sender.table.changed, p)
	}
}

func (p *Point) renew() {
	now := p.sender.table.now
	if p.updated > 0 {
		// A flush between two exports should not pass for a shorter interval.
		p.interval = max(now-p.updated, p.interval-p.interval/4)
	}
	p.updated, p.ending = now, false
}

// write adds p's values, once a tick. What is added up here begins at 0, one
// tick before its first value, so that increase() sees that too.
func (p *Point) write(b *sample.Batch, last bool) {
	if p.stamp == b.Tick+1 {
		return
	}
	p.stamp = b.Tick + 1
	if p.group == nil {
		p.group = &sample.Group{Labels: p.sender.merged(p), Series: p.family.series, Every: uint64(len(p.sender.table.turns))}
	}
	v := b.Add(p.group)
	if p.begun || last || !p.family.accumulates() {
		copy(v, p.values)
		p.changed = false
	} else {
		clear(v)
	}
	p.begun = true
}

// finish ends p's series; what it has to say is said.
func (p *Point) finish(b *sample.Batch) {
	if p.changed && p.sender.named() {
		p.write(b, true)
	}
	if p.group != nil {
		b.End(p.group)
	}
	p.sender.remove(p)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// plain makes every NaN the same, for some have a meaning of their own.
func plain(v float64) float64 {
	if math.IsNaN(v) {
		return math.NaN()
	}
	return v
}
