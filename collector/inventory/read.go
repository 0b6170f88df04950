package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// readLimit ends one question to the store or to a platform.
const readLimit = 20 * time.Second

// recallStep is how far apart the times are at which the past is looked at: as
// far as PromQL looks back from each.
const recallStep = 5 * time.Minute

// Run reads the store and asks the platforms, each at its own pace, until ctx
// ends: a platform that hangs delays nothing else.
func (v *Inventory) Run(ctx context.Context) error {
	loops := []lifecycle.Loop{{Name: "read", Run: func(ctx context.Context) error {
		return v.every(ctx, v.Refresh)
	}}}
	for platform := range v.opts.Declarers {
		loops = append(loops, lifecycle.Loop{Name: "ask " + platform, Run: func(ctx context.Context) error {
			return v.every(ctx, func(ctx context.Context, at time.Time) error { return v.Declare(ctx, platform, at) })
		}})
	}
	return lifecycle.Run(ctx, loops...)
}

// every does something now and then, until ctx ends.
func (v *Inventory) every(ctx context.Context, do func(context.Context, time.Time) error) error {
	tick := time.NewTicker(v.opts.Interval)
	defer tick.Stop()
	told := ""
	for {
		err := do(ctx, v.opts.Now())
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			told = ""
		case err.Error() != told:
			told = err.Error()
			v.opts.Log.Warn("inventory is not up to date", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Refresh reads the store as of a time; Run does so every few seconds. What
// could not be read stays as it was, and gets older. Until it was answered once, it
// also asks what was there before this process.
func (v *Inventory) Refresh(ctx context.Context, at time.Time) error {
	if v.opts.Query == nil {
		return nil
	}
	v.mu.Lock()
	known := v.recalled
	v.mu.Unlock()
	r := &reading{ctx: ctx, at: at, ask: v.opts}
	r.recall = !known.nodes
	nodes := r.readNodes()
	nodesOK := len(r.errs) == 0
	known.nodes = known.nodes || nodesOK
	r.recall, r.gap = !known.containers, false
	containers, containersOK := r.readContainers()
	known.containers = known.containers || containersOK && !r.gap
	r.recall, r.gap = !known.gpus, false
	gpus, gpusOK := r.readGPUs()
	known.gpus = known.gpus || gpusOK && !r.gap
	if ctx.Err() != nil {
		return ctx.Err()
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	if !nodesOK {
		nodes = nil // what half an answer does not tell is not unknown
	}
	v.takeNodes(nodes, at)
	if containersOK {
		v.takeContainers(containers, at)
	}
	if gpusOK {
		v.takeGPUs(gpus, at)
	}
	v.recalled = known
	v.trouble = v.trouble[:0:0]
	for _, err := range r.errs {
		v.trouble = append(v.trouble, err.Error())
		v.metrics.failed.WithLabelValues("store").Inc()
	}
	if len(r.errs) == 0 {
		v.read = at
	}
	return errors.Join(r.errs...)
}

// reading is one look at the store.
type reading struct {
	ctx    context.Context
	at     time.Time
	ask    Options
	recall bool // the past is asked for as well,
	gap    bool // and was not told in full
	errs   []error
}

// each takes what a query gives, and tells whether it gave an answer.
func (r *reading) each(promql string, take func(labels map[string]string, value float64)) bool {
	ctx, cancel := context.WithTimeout(r.ctx, readLimit)
	defer cancel()
	samples, err := r.ask.Query(ctx, promql, r.at)
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("read the store: %w", err))
		return false
	}
	for _, s := range samples {
		take(s.Labels, s.Value)
	}
	return true
}

// past takes what a query gives at all times of the past that is to be recalled.
// What is there now can be told without.
func (r *reading) past(promql string, take func(labels map[string]string, value float64)) {
	if !r.recall {
		return
	}
	over := fmt.Sprintf("max_over_time((%s)[%ds:%ds])", promql, int(r.ask.Remember.Seconds()), int(recallStep.Seconds()))
	r.gap = !r.each(over, take) || r.gap
}

// over notes by how many a list is too long.
func (v *Inventory) over(kind string, most, listed int) int {
	over := max(listed-most, 0)
	v.leftOut[kind] = over
	return over
}

// settle is for how long a node has to report before what it does not tell of
// counts as gone: the first that it says when it is back may be of itself alone.
const settle = 10 * time.Second

// reach is until when a node's own reports go, but for those of just now, and how
// long before that what it does not tell of any more must have been seen to count
// as gone.
func (v *Inventory) reach(node string, recalled bool) (until time.Time, grace time.Duration) {
	n := v.nodes[node]
	grace = 5 * time.Second
	if recalled {
		grace = time.Minute // what is recalled was looked at every few minutes
	}
	if n.Interval != nil {
		grace += time.Duration(3 * *n.Interval * float64(time.Second))
	}
	return v.reported[node], grace
}

// fresh tells whether a reading of a node still stands for the present. Of a node
// that the collector has not heard of yet the age of its readings decides.
func (v *Inventory) fresh(node string, at, now time.Time) bool {
	n := v.nodes[node]
	if !n.Lost.IsZero() {
		return false
	}
	patience := staleAfter
	if n.Interval != nil {
		patience = max(patience, time.Duration(3**n.Interval*float64(time.Second)))
	}
	return seen(at, now) <= patience
}

// staleAfter is the age from which a reading that should have been followed by
// others is not the present any more.
const staleAfter = 15 * time.Second

func sorted[T any](list []T, compare func(a, b *T) int) []T {
	slices.SortFunc(list, func(a, b T) int { return compare(&a, &b) })
	return list
}
