package scaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// The limits of the guard. Policies have rates of their own, far below; these
// are for the day when something in front of the guard is broken.
const (
	writeBurst  = 10              // writes of one policy in a row
	writeRefill = 2 * time.Second // for one more
	lookLimit   = 5 * time.Second // for a platform to report
	writeLimit  = 5 * time.Second // for a platform to accept
)

// Reasons for refusing; a label of metrics.
const (
	refusedCeiling  = "ceiling"
	refusedNegative = "negative"
	refusedMode     = "mode"
	refusedRate     = "rate"
	refusedSignal   = "signal" // by the decision: it asks for something absurd
	refusedLease    = "lease"
)

// errGuard marks what the guard refused before any platform heard of it.
var errGuard = errors.New("refused by the guard")

// guard stands in front of every driver. It alone holds them, and hands out
// grips: what one policy may do to one workload.
type guard struct {
	drivers map[string]driver.Driver
	ceiling int
	lease   Lease
	log     *slog.Logger
	metrics *metrics
}

// grip is one policy's hold on its workload. It belongs to the policy's loop.
type grip struct {
	guard    *guard
	policy   string
	workload driver.Workload
	read     reader
	write    writer // nil unless the policy is active: then there is no way to write

	tokens float64 // writes that may follow at once
	filled time.Time
}

// reader and writer are the two halves of driver.Driver, so that holding one
// does not mean holding the other.
type reader interface {
	Status(ctx context.Context, w driver.Workload) (driver.Status, error)
}

type writer interface {
	Scale(ctx context.Context, w driver.Workload, n int, rev driver.Rev, epoch uint64) error
}

// readOnly hides the driver behind a reader, so that not even a type assertion
// finds a writer in it.
type readOnly struct{ d reader }

func (r readOnly) Status(ctx context.Context, w driver.Workload) (driver.Status, error) {
	return r.d.Status(ctx, w)
}

// grip hands out what app may do.
func (g *guard) grip(app policy.App) (*grip, error) {
	d, ok := g.drivers[app.Target.Driver]
	if !ok {
		return nil, fmt.Errorf("policy %s: no driver %q here", app.Name, app.Target.Driver)
	}
	h := &grip{
		guard:    g,
		policy:   app.Name,
		workload: workload(app.Target),
		read:     readOnly{d},
		tokens:   writeBurst,
	}
	if app.Mode == policy.Active {
		h.write = d
	}
	return h, nil
}

// workload is what a driver knows a target as.
func workload(t policy.Target) driver.Workload { return driver.Workload{Name: t.Service} }

// lister is the driver of that name as one that lists, or nil if it cannot.
func (g *guard) lister(name string) driver.Lister {
	if l, ok := g.drivers[name].(driver.Lister); ok {
		return onlyLists{l}
	}
	return nil
}

// watcher is the driver of that name as one that tells of changes, or nil.
func (g *guard) watcher(name string) driver.Watcher {
	if w, ok := g.drivers[name].(driver.Watcher); ok {
		return onlyWatches{w}
	}
	return nil
}

// onlyLists and onlyWatches are to a driver what readOnly is.
type onlyWatches struct{ w driver.Watcher }

func (o onlyWatches) Watch(ctx context.Context, changed func(driver.Workload)) error {
	return o.w.Watch(ctx, changed)
}

type onlyLists struct{ l driver.Lister }

func (o onlyLists) StatusAll(ctx context.Context, ws []driver.Workload) ([]driver.Reply, error) {
	return o.l.StatusAll(ctx, ws)
}

// status asks the platform.
func (h *grip) status(ctx context.Context) (driver.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	return h.read.Status(ctx, h.workload)
}

// scale asks the platform for n replicas, if the guard lets it through. What it
// does not is counted, logged as an error and wraps errGuard.
func (h *grip) scale(ctx context.Context, n int, rev driver.Rev) error {
	epoch, reason, err := h.check(n)
	if err != nil {
		h.guard.metrics.refused.WithLabelValues(h.policy, reason).Inc()
		h.guard.log.Error("write refused", "policy", h.policy, "workload", h.workload, "replicas", n, "err", err)
		return fmt.Errorf("%w: %w", errGuard, err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	return h.write.Scale(ctx, h.workload, n, rev, epoch)
}

func (h *grip) check(n int) (epoch uint64, reason string, err error) {
	epoch, held := h.guard.lease.Held()
	switch {
	case h.write == nil:
		return 0, refusedMode, errors.New("the policy may not write, only mode active may")
	case !held:
		return 0, refusedLease, errors.New("another collector leads, or none does")
	case n < 0:
		return 0, refusedNegative, fmt.Errorf("%d replicas are less than none", n)
	case n > h.guard.ceiling:
		return 0, refusedCeiling, fmt.Errorf("%d replicas exceed the ceiling of %d; look for the signal that asks for so many, or raise the ceiling", n, h.guard.ceiling)
	case !h.takeToken():
		return 0, refusedRate, fmt.Errorf("more than %d writes in a row, with less than %v for each", writeBurst, writeRefill)
	}
	return epoch, "", nil
}

// alone is the lease of who has no partner.
type alone struct{}

func (alone) Held() (uint64, bool) { return 0, true }

// takeToken is a token bucket: it refills by one each writeRefill.
func (h *grip) takeToken() bool {
	now := time.Now()
	if !h.filled.IsZero() {
		h.tokens = min(writeBurst, h.tokens+now.Sub(h.filled).Seconds()/writeRefill.Seconds())
	}
	h.filled = now
	if h.tokens < 1 {
		return false
	}
	h.tokens--
	return true
}
