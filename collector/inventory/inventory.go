// Package inventory knows what there is: nodes, containers, services, GPUs, how
// many replicas platforms were asked for, and what has happened lately.
//
//	ingest ─ NodeSeen, NodeLost, Event ─┐
//	store ─── PromQL ─── Refresh ───────┼─ Inventory ─ Handler ─ console
//	platforms ─ Declarer ─ Declare ─────┘            └ Nodes, Services, … ─ scaler
//
// It lives in memory and is bounded. All but events and what platforms declare is
// read from the store, so that a collector that was restarted knows it again
// before the first agent is back.
//
// It promises not to guess. What is not known is absent, not zero; what cannot be
// seen at present, as the containers of a node that is lost, is not gone but stale,
// and its age is told.
package inventory

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/collector/query"
)

// Options bound an inventory and say where it reads.
type Options struct {
	// Nodes at most; 0 means 4096. Past it a new one takes the place of the one
	// that has been lost longest, or is not listed if all are connected.
	Nodes int
	// Events at most; 0 means 512. Past it the oldest goes.
	Events int
	// Containers at most; 0 means 20,000. Past it those that run and were read
	// last are listed, and the others counted. The same goes for GPUs, 4096 by
	// default, and for services of each platform, 4096 by default.
	Containers, GPUs, Services int
	// Remember is for how long what cannot be seen any more is listed as stale;
	// 0 means 6 h.
	Remember time.Duration

	// Query answers PromQL for one instant. Without it nodes are known by what
	// ingest tells alone, and nothing else is.
	Query func(ctx context.Context, promql string, at time.Time) ([]query.Sample, error)
	// Declarers say what platforms were asked to run, by the platform's name:
	// "swarm", "compose", "kubernetes", "marathon".
	Declarers map[string]Declarer
	Interval  time.Duration // between two readings; 0 means 5 s

	Now        func() time.Time // of ages; time.Now if nil
	Log        *slog.Logger     // none if nil
	Registerer prometheus.Registerer
}

// Inventory is safe for concurrent use.
type Inventory struct {
	opts    Options
	metrics *metrics

	mu         sync.Mutex
	nodes      map[string]Node
	reported   map[string]time.Time // of nodes, the newest report that was not of just now
	events     []Event              // a ring
	next       int                  // where the next event goes
	containers map[place]*Container
	gpus       map[part]*GPU
	declared   map[string]*declaration // by platform
	read       time.Time               // as of when the store was read last; zero for never
	recalled   recalled
	trouble    []string       // of the last reading
	leftOut    map[string]int // for want of room, by kind
}

// New returns an inventory that knows nothing yet. It starts nothing: see Run.
func New(opts Options) *Inventory {
	opts.Nodes = cmp.Or(opts.Nodes, 4096)
	opts.Events = cmp.Or(opts.Events, 512)
	opts.Containers = cmp.Or(opts.Containers, 20_000)
	opts.GPUs = cmp.Or(opts.GPUs, 4096)
	opts.Services = cmp.Or(opts.Services, 4096)
	opts.Remember = cmp.Or(opts.Remember, 6*time.Hour)
	opts.Interval = cmp.Or(opts.Interval, 5*time.Second)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	v := &Inventory{
		opts:       opts,
		nodes:      map[string]Node{},
		reported:   map[string]time.Time{},
		events:     make([]Event, 0, opts.Events),
		containers: map[place]*Container{},
		gpus:       map[part]*GPU{},
		declared:   map[string]*declaration{},
		leftOut:    map[string]int{},
	}
	v.metrics = newMetrics(v, opts.Registerer)
	return v
}

// recalled tells of what it has been read from the store what was there before
// this process.
type recalled struct{ nodes, containers, gpus bool }

// Recalled tells whether the nodes of before this process have been read from the
// store: until then Nodes may lack some.
func (v *Inventory) Recalled() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.recalled.nodes
}

// Seconds is a time that may not be known; nil if it is not. It has fractions.
type Seconds = *float64

// seen is the age of something last seen at a time, never below zero: a node's
// clock may be a little ahead of ours.
func seen(at, now time.Time) time.Duration { return max(now.Sub(at), 0) }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// unix is the time that so many seconds since 1970 are.
func unix(seconds float64) time.Time { return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC() }
