// Package expose shows the latest samples of an agent to Prometheus servers
// that scrape. It promises that what it shows is fresh: a value that its source
// no longer renews is left out, as is one whose subject is gone. Neither a
// scrape nor a client that is slow to read it holds up the agent.
//
//	agent ── Observe ── latest value of each group ──┐
//	                                                 ├── text ── ServeHTTP ── Prometheus
//	names and labels, rendered once per group ───────┘
package expose

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Options all have a default.
type Options struct {
	Interval   time.Duration // between the agent's ticks; 1 s if 0
	MaxAge     time.Duration // of values of groups that do not say how often they are read; 45 s if 0
	Timeout    time.Duration // for a client to take a whole answer; 10 s if 0
	MaxScrapes int           // at a time, the others are refused; 8 if 0
	Slowdown   func() uint64 // the agent ticks at every so many intervals; 1 if nil
	// DropJob leaves out the label job, as every exporter does, because the
	// server that scrapes sets its own. Servers with honor_labels want it kept.
	DropJob bool
}

// periods is how many times in a row a group may miss its turn before it counts
// as stale.
const periods = 3

// Exposition holds the latest value of every series. Its methods may be called
// at the same time.
type Exposition struct {
	opts  Options
	slots chan struct{} // taken by scrapes that are being served
	views sync.Pool     // of *view

	compressors sync.Pool // of *gzip.Writer

	mu         sync.Mutex // never held while anything is rendered or sent
	groups     []*group   // in the order that they came in
	known      map[*sample.Group]*group
	generation uint64 // of groups: another when one comes or goes

	layoutMu sync.Mutex
	layout   *layout // of the last generation that was scraped

	scrapes, refused, cut atomic.Uint64
	unfit                 atomic.Int64
}

// group is a group with its latest values. What is not under mu never changes.
type group struct {
	of  *sample.Group
	job string        // the label of that name; "" if there is none
	age time.Duration // at which values are stale

	values []float64 // under Exposition.mu
	seen   time.Time // when they were; under Exposition.mu
	pace   uint64    // the slowdown by then; under Exposition.mu
	ended  bool      // under Exposition.mu

	text *labelText // nil before the first scrape; under Exposition.layoutMu
}

// New returns an exposition that shows nothing yet.
func New(opts Options) *Exposition {
	opts.Interval = cmp.Or(opts.Interval, time.Second)
	opts.MaxAge = cmp.Or(opts.MaxAge, 45*time.Second)
	opts.Timeout = cmp.Or(opts.Timeout, 10*time.Second)
	opts.MaxScrapes = cmp.Or(opts.MaxScrapes, 8)
	if opts.Slowdown == nil {
		opts.Slowdown = func() uint64 { return 1 }
	}
	return &Exposition{
		opts:        opts,
		slots:       make(chan struct{}, opts.MaxScrapes),
		views:       sync.Pool{New: func() any { return new(view) }},
		compressors: sync.Pool{New: func() any { return newCompressor() }},
		known:       make(map[*sample.Group]*group),
	}
}

// Observe takes in what a tick has read. It is to be called once per tick, with
// empty batches too, and keeps nothing of b but its groups. It allocates only
// for groups that are new.
func (e *Exposition) Observe(b *sample.Batch) {
	now, pace := time.Now(), e.opts.Slowdown()
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range b.Columns {
		c := &b.Columns[i]
		g := e.known[c.Group]
		if g == nil {
			g = e.add(c.Group)
		}
		copy(g.values, c.Values)
		g.seen, g.pace = now, pace
	}
	for _, gone := range b.Ended {
		if g := e.known[gone]; g != nil {
			g.ended = true
		}
	}
	e.forget(now, pace)
}

func (e *Exposition) add(of *sample.Group) *group {
	g := &group{of: of, age: e.opts.MaxAge, values: make([]float64, len(of.Series))}
	if of.Every > 0 {
		g.age = periods * time.Duration(of.Every) * e.opts.Interval
	}
	for _, l := range of.Labels {
		if l.Name == jobLabel {
			g.job = l.Value
		}
	}
	e.known[of] = g
	e.groups = append(e.groups, g)
	e.generation++
	return g
}

// forget lets go of groups that have ended or gone stale.
func (e *Exposition) forget(now time.Time, pace uint64) {
	before := len(e.groups)
	e.groups = slices.DeleteFunc(e.groups, func(g *group) bool {
		if g.fresh(now, pace) {
			return false
		}
		delete(e.known, g.of)
		return true
	})
	if len(e.groups) != before {
		e.generation++
	}
}

// fresh tells whether the values of g may be shown while the agent is slowed so
// much. A value from before it was fast again lasts as long as it was to.
func (g *group) fresh(now time.Time, pace uint64) bool {
	return !g.ended && now.Sub(g.seen) < g.age*time.Duration(max(pace, g.pace, 1))
}

// Stats are what an exposition has done so far, and what it holds.
type Stats struct {
	Scrapes uint64 // begun
	Refused uint64 // because too many were being served
	Cut     uint64 // because the client went away or took too long
	Unfit   int    // series left out of the last scrape because no text can carry their names
}

// Stats returns the counts up to now.
func (e *Exposition) Stats() Stats {
	return Stats{
		Scrapes: e.scrapes.Load(),
		Refused: e.refused.Load(),
		Cut:     e.cut.Load(),
		Unfit:   int(e.unfit.Load()),
	}
}
