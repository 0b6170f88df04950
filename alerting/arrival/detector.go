package arrival

import (
	"cmp"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// DefaultMaxSeries bounds memory: a series that is followed takes about 1 kB in
// an expression of the usual size.
const DefaultMaxSeries = 200_000

const (
	// lookback is how long a sample counts in PromQL if no other comes.
	lookback = 5 * time.Minute
	// ahead is how far the time of a sample may be from now and still be followed.
	ahead = time.Minute
	// forgetting is how long a series that has ended is remembered.
	forgetting = time.Minute
)

// Options are what a Detector works with; all have defaults.
type Options struct {
	// MaxSeries is how many series are followed at the most, 200,000 by default.
	// Rules about those beyond are evaluated by the clock alone.
	MaxSeries  int
	Registerer prometheus.Registerer // nil: metrics go nowhere
}

// A Detector follows the series that alerts are about. Its methods may be called
// concurrently.
type Detector struct {
	max     int
	metrics *metrics
	epoch   atomic.Uint64
	program atomic.Pointer[program] // changed while mu is held

	mu      sync.Mutex
	leaves  map[uint64]*leaf // by the hash of their labels
	queue   [][]*cell        // to be computed, by level
	crossed []*group         // since the lock was taken
	refused bool             // a series for want of room
	labels  *labels.Builder
}

// leaf is a series that is followed.
type leaf struct {
	labels labels.Labels
	cells  []*cell // one for each selector that it matches
	at     int64   // of the last sample, in ms
	value  float64
	live   bool // that was a value
	gone   bool // nothing follows it for now
}

// New returns a Detector that follows nothing yet.
func New(opts Options) (*Detector, error) {
	if opts.MaxSeries < 0 {
		return nil, errors.New("the number of series to follow cannot be negative")
	}
	d := &Detector{
		max: cmp.Or(opts.MaxSeries, DefaultMaxSeries), leaves: map[uint64]*leaf{},
		labels: labels.NewBuilder(labels.EmptyLabels()),
	}
	d.epoch.Store(1)
	d.program.Store(&program{})
	var err error
	d.metrics, err = newMetrics(opts.Registerer, d)
	return d, err
}

// Epoch changes when what Series has answered may no longer be right. It is
// never 0.
func (d *Detector) Epoch() uint64 { return d.epoch.Load() }

// Series returns what stands for a series in Stored, or nil if no rule is about
// it.
func (d *Detector) Series(ls labels.Labels) any {
	if l := d.series(ls); l != nil {
		return l
	}
	return nil
}

func (d *Detector) series(ls labels.Labels) *leaf {
	if !d.program.Load().wants(ls) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	hash := ls.Hash()
	if l := d.leaves[hash]; l != nil {
		if !labels.Equal(l.labels, ls) {
			return nil // two in 2^64; the clock sees to the second
		}
		return l
	}
	if !d.program.Load().wants(ls) {
		return nil
	}
	if len(d.leaves) >= d.max {
		d.refused = true
		d.metrics.refused.Inc()
		return nil
	}
	l := &leaf{labels: ls}
	d.grow(l)
	d.leaves[hash] = l
	return l
}

// grow gives a leaf its place in the program, and tells whether there is one.
func (d *Detector) grow(l *leaf) bool {
	l.cells, l.live = nil, false
	for _, n := range d.program.Load().selectors[l.labels.Get(model.MetricNameLabel)] {
		if !matches(l.labels, n.matchers) {
			continue
		}
		c := &cell{node: n}
		l.cells = append(l.cells, c)
		n.rise(c, l.labels, d.labels)
	}
	l.gone = len(l.cells) == 0
	return !l.gone
}

// Stored shows samples of one time, in ms since the Unix epoch, once they can be
// queried. What stands for each series is from Series; staleness markers end
// them. The slices are good until it returns.
func (d *Detector) Stored(at int64, series []any, values []float64) {
	now := time.Now()
	if age := now.UnixMilli() - at; age > lookback.Milliseconds() || age < -ahead.Milliseconds() {
		return // no present query sees it
	}
	d.mu.Lock()
	for i, s := range series {
		if l, ok := s.(*leaf); ok {
			d.sample(l, at, values[i], now)
		}
	}
	crossed := d.settle(now)
	d.mu.Unlock()
	announce(crossed, time.UnixMilli(at))
}

// Show is Stored for those who remember nothing of a series.
func (d *Detector) Show(at int64, series []labels.Labels, values []float64) {
	var shown []any
	var of []float64
	for i, ls := range series {
		if l := d.series(ls); l != nil {
			shown, of = append(shown, l), append(of, values[i])
		}
	}
	if len(shown) > 0 {
		d.Stored(at, shown, of)
	}
}

func (d *Detector) sample(l *leaf, at int64, v float64, now time.Time) {
	if l.gone {
		if l = d.revive(l); l == nil {
			return
		}
	}
	if at < l.at && l.at <= now.Add(ahead).UnixMilli() { // else the clock was set back
		return // of the past
	}
	l.at = at
	d.set(l, v, !value.IsStaleNaN(v))
}

// revive takes a leaf back that was forgotten, or finds the one in its place.
func (d *Detector) revive(l *leaf) *leaf {
	hash := l.labels.Hash()
	if now := d.leaves[hash]; now != nil {
		return now
	}
	if len(d.leaves) >= d.max || !d.grow(l) {
		return nil
	}
	d.leaves[hash] = l
	return l
}

// set changes the value of a series.
func (d *Detector) set(l *leaf, v float64, live bool) {
	if live == l.live && (!live || math.Float64bits(v) == math.Float64bits(l.value)) {
		return
	}
	l.value, l.live = v, live
	for _, c := range l.cells {
		d.become(c, v, live)
	}
}

// become changes a cell, and has what is made of it computed.
func (d *Detector) become(c *cell, v float64, present bool) {
	if c.present == present && math.Float64bits(c.value) == math.Float64bits(v) {
		return
	}
	if g := c.node.group; c.node.parent == nil && c.role == result && c.present != present && !g.announced {
		g.announced = true
		d.crossed = append(d.crossed, g)
	}
	c.value, c.present = v, present
	for _, out := range c.outs {
		if out.queued {
			continue
		}
		out.queued = true
		level := out.level()
		d.queue[level] = append(d.queue[level], out)
	}
}

// level is where a cell stands in the queue. What elements share comes before
// what is made of it.
func (c *cell) level() int {
	if c.role == shared {
		return 2*c.node.level - 1
	}
	return 2 * c.node.level
}

// settle computes what has changed, each cell once, from the leaves up, and
// returns the groups whose alerts are concerned.
func (d *Detector) settle(now time.Time) []*group {
	for level := range d.queue {
		for _, c := range d.queue[level] {
			c.queued = false
			v, present := c.compute(now)
			d.become(c, v, present)
		}
		clear(d.queue[level])
		d.queue[level] = d.queue[level][:0]
	}
	crossed := d.crossed
	for _, g := range crossed {
		g.announced = false
		d.metrics.crossings.Inc()
	}
	d.crossed = nil
	return crossed
}

func announce(groups []*group, at time.Time) {
	for _, g := range groups {
		if g.crossed != nil {
			g.crossed(at)
		}
	}
}

// Sweep forgets series that have ended, and ends those of which nothing has been
// heard for five minutes. It is to be called about once a minute.
func (d *Detector) Sweep(now time.Time) {
	d.mu.Lock()
	old, ended := now.Add(-lookback).UnixMilli(), now.Add(-forgetting).UnixMilli()
	for hash, l := range d.leaves {
		l.at = min(l.at, now.Add(ahead).UnixMilli()) // the clock may have been set back
		switch {
		case l.live && l.at < old:
			d.set(l, 0, false)
		case !l.live && l.at < ended:
			for _, c := range l.cells {
				c.drop()
			}
			l.cells, l.gone = nil, true
			delete(d.leaves, hash)
		}
	}
	crossed := d.settle(now)
	if d.refused && len(d.leaves) < d.max-d.max/10 {
		d.refused = false
		d.epoch.Add(1) // all may ask again
	}
	d.mu.Unlock()
	announce(crossed, now)
}

// size is how many series are followed.
func (d *Detector) size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.leaves)
}
