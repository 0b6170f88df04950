// Package fake is a platform in memory: the reference for what drivers do, and
// the world that the scaler's tests walk through. It keeps state, replicas
// take time to start, and every accepted write is remembered.
//
// Time is the process' clock, so inside a testing/synctest bubble replicas
// start in virtual time. No goroutine runs between calls.
package fake

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
)

var _ driver.Driver = (*Platform)(nil)

// Platform holds workloads. The zero value is an empty platform whose replicas
// are ready at once. Its methods may be called concurrently.
type Platform struct {
	// Boot is how long a replica takes from being asked for to being ready.
	// Set it before the first call.
	Boot time.Duration

	mu        sync.Mutex
	workloads map[driver.Workload]*workload
	writes    []Write
	reads     int
	born      int
	statusIn  []trouble
	scaleIn   []trouble
}

// Write is one change that the platform accepted.
type Write struct {
	At       time.Time
	Workload driver.Workload
	From, To int
	Epoch    uint64
}

type workload struct {
	rev      int
	epoch    uint64
	updating bool
	replicas []replica // oldest first
}

type replica struct {
	id    string
	ready time.Time
}

// trouble is what a coming call meets instead of an answer.
type trouble struct {
	err    error
	hang   bool
	before func() // runs first, without the lock
}

// Add puts a workload with n ready replicas on the platform.
func (p *Platform) Add(w driver.Workload, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.workloads == nil {
		p.workloads = make(map[driver.Workload]*workload)
	}
	p.workloads[w] = &workload{}
	p.resize(p.workloads[w], n, time.Time{})
}

// Edit changes the count of w as another person or tool would. It is not among
// the Writes.
func (p *Platform) Edit(w driver.Workload, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resize(p.workloads[w], n, time.Now().Add(p.Boot))
}

// SetUpdating starts or ends a rollout of w.
func (p *Platform) SetUpdating(w driver.Workload, updating bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workloads[w].updating = updating
	p.workloads[w].rev++
}

// FailStatus lets the coming calls of Status fail, one error each; nil is a
// call that works.
func (p *Platform) FailStatus(errs ...error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, err := range errs {
		p.statusIn = append(p.statusIn, trouble{err: err})
	}
}

// FailScale is FailStatus for Scale.
func (p *Platform) FailScale(errs ...error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, err := range errs {
		p.scaleIn = append(p.scaleIn, trouble{err: err})
	}
}

// HangStatus lets the next call of Status wait until its context ends.
func (p *Platform) HangStatus() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.statusIn = append(p.statusIn, trouble{hang: true})
}

// HangScale is HangStatus for Scale.
func (p *Platform) HangScale() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scaleIn = append(p.scaleIn, trouble{hang: true})
}

// BeforeScale runs do at the start of the next call of Scale: what somebody
// else does between the scaler's look and its write.
func (p *Platform) BeforeScale(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scaleIn = append(p.scaleIn, trouble{before: do})
}

// Writes returns every change that was accepted, oldest first.
func (p *Platform) Writes() []Write {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.writes)
}

// Reads returns how often Status was called.
func (p *Platform) Reads() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reads
}

// Replicas returns the ids of w's replicas, oldest first.
func (p *Platform) Replicas(w driver.Workload) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for _, r := range p.workloads[w].replicas {
		ids = append(ids, r.id)
	}
	return ids
}

// Status implements driver.Driver.
func (p *Platform) Status(ctx context.Context, w driver.Workload) (driver.Status, error) {
	p.mu.Lock()
	p.reads++
	p.mu.Unlock()
	if err := p.meet(ctx, &p.statusIn); err != nil {
		return driver.Status{}, fmt.Errorf("look at %s: %w", w, err)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	wl, ok := p.workloads[w]
	if !ok {
		return driver.Status{}, fmt.Errorf("look at %s: %w", w, driver.ErrNotFound)
	}
	s := driver.Status{Desired: len(wl.replicas), Updating: wl.updating, Rev: wl.token()}
	now := time.Now()
	for _, r := range wl.replicas {
		if now.Before(r.ready) {
			s.Starting++
		} else {
			s.Ready++
		}
	}
	return s, nil
}

// Scale implements driver.Driver.
func (p *Platform) Scale(ctx context.Context, w driver.Workload, n int, rev driver.Rev, epoch uint64) error {
	if err := p.meet(ctx, &p.scaleIn); err != nil {
		return fmt.Errorf("scale %s: %w", w, err)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	wl, ok := p.workloads[w]
	switch {
	case !ok:
		return fmt.Errorf("scale %s: %w", w, driver.ErrNotFound)
	case n < 0:
		return fmt.Errorf("scale %s to %d: %w", w, n, driver.ErrRefused)
	case rev != "" && rev != wl.token():
		return fmt.Errorf("scale %s: %w", w, driver.ErrConflict)
	case epoch > 0 && wl.epoch > epoch:
		return fmt.Errorf("scale %s under epoch %d: %w", w, epoch, driver.ErrFenced)
	case n == len(wl.replicas):
		return nil
	}
	now := time.Now()
	p.writes = append(p.writes, Write{At: now, Workload: w, From: len(wl.replicas), To: n, Epoch: epoch})
	wl.epoch = max(wl.epoch, epoch)
	p.resize(wl, n, now.Add(p.Boot))
	return nil
}

// meet takes the next trouble from the queue and suffers it.
func (p *Platform) meet(ctx context.Context, queue *[]trouble) error {
	p.mu.Lock()
	var next trouble
	if len(*queue) > 0 {
		next, *queue = (*queue)[0], (*queue)[1:]
	}
	p.mu.Unlock()

	if next.before != nil {
		next.before()
	}
	if next.hang {
		<-ctx.Done()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return next.err
}

// resize adds replicas that become ready at ready, or takes the newest away.
func (p *Platform) resize(wl *workload, n int, ready time.Time) {
	wl.rev++
	for len(wl.replicas) < n {
		p.born++
		wl.replicas = append(wl.replicas, replica{id: "replica-" + strconv.Itoa(p.born), ready: ready})
	}
	wl.replicas = wl.replicas[:n]
}

func (wl *workload) token() driver.Rev { return driver.Rev(strconv.Itoa(wl.rev)) }
