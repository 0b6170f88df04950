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
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
)

var (
	_ driver.Driver  = (*Platform)(nil)
	_ driver.Lister  = (*Platform)(nil)
	_ driver.Watcher = (*Platform)(nil)
)

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
	lists     int
	watchers  map[int]func(driver.Workload)
	watched   int
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
	failing  int
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
	p.resize(p.workloads[w], n, time.Now().Add(p.Boot))
	p.mu.Unlock()
	p.tell(w)
}

// SetFailing makes the n newest replicas of w fail again and again; 0 lets them
// start anew.
func (p *Platform) SetFailing(w driver.Workload, n int) {
	p.mu.Lock()
	wl, ready := p.workloads[w], time.Now().Add(p.Boot)
	for i := range wl.replicas[max(0, len(wl.replicas)-max(n, wl.failing)):] {
		wl.replicas[len(wl.replicas)-1-i].ready = ready
	}
	wl.failing = n
	p.mu.Unlock()
	p.tell(w)
}

// SetUpdating starts or ends a rollout of w.
func (p *Platform) SetUpdating(w driver.Workload, updating bool) {
	p.mu.Lock()
	p.workloads[w].updating = updating
	p.workloads[w].rev++
	p.mu.Unlock()
	p.tell(w)
}

// tell tells who watches that w has changed.
func (p *Platform) tell(w driver.Workload) {
	p.mu.Lock()
	watchers := slices.Collect(maps.Values(p.watchers))
	p.mu.Unlock()
	for _, changed := range watchers {
		changed(w)
	}
}

// Watch implements driver.Watcher: it tells of Edit, SetUpdating, SetFailing and
// of what is scaled.
func (p *Platform) Watch(ctx context.Context, changed func(driver.Workload)) error {
	p.mu.Lock()
	if p.watchers == nil {
		p.watchers = make(map[int]func(driver.Workload))
	}
	p.watched++
	me := p.watched
	p.watchers[me] = changed
	p.mu.Unlock()
	changed(driver.Workload{})
	<-ctx.Done()
	p.mu.Lock()
	delete(p.watchers, me)
	p.mu.Unlock()
	return ctx.Err()
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

// Lists returns how often StatusAll was called.
func (p *Platform) Lists() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lists
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
	return p.status(w)
}

// StatusAll implements driver.Lister. It meets the same trouble as Status.
func (p *Platform) StatusAll(ctx context.Context, ws []driver.Workload) ([]driver.Reply, error) {
	p.mu.Lock()
	p.lists++
	p.mu.Unlock()
	if err := p.meet(ctx, &p.statusIn); err != nil {
		return nil, fmt.Errorf("look at %d workloads: %w", len(ws), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	replies := make([]driver.Reply, len(ws))
	for i, w := range ws {
		replies[i].Status, replies[i].Err = p.status(w)
	}
	return replies, nil
}

// status is that of w. p.mu is held.
func (p *Platform) status(w driver.Workload) (driver.Status, error) {
	wl, ok := p.workloads[w]
	if !ok {
		return driver.Status{}, fmt.Errorf("look at %s: %w", w, driver.ErrNotFound)
	}
	s := driver.Status{Desired: len(wl.replicas), Updating: wl.updating, Rev: wl.token()}
	now := time.Now()
	for i, r := range wl.replicas {
		switch {
		case i >= len(wl.replicas)-wl.failing:
			s.Starting++
			s.Failing++
		case now.Before(r.ready):
			s.Starting++
		default:
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

	changed, err := p.scale(w, n, rev, epoch)
	if changed {
		p.tell(w)
	}
	return err
}

func (p *Platform) scale(w driver.Workload, n int, rev driver.Rev, epoch uint64) (changed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wl, ok := p.workloads[w]
	switch {
	case !ok:
		return false, fmt.Errorf("scale %s: %w", w, driver.ErrNotFound)
	case n < 0:
		return false, fmt.Errorf("scale %s to %d: %w", w, n, driver.ErrRefused)
	case rev != "" && rev != wl.token():
		return false, fmt.Errorf("scale %s: %w", w, driver.ErrConflict)
	case epoch > 0 && wl.epoch > epoch:
		return false, fmt.Errorf("scale %s under epoch %d: %w", w, epoch, driver.ErrFenced)
	case n == len(wl.replicas):
		return false, nil
	}
	now := time.Now()
	p.writes = append(p.writes, Write{At: now, Workload: w, From: len(wl.replicas), To: n, Epoch: epoch})
	wl.epoch = max(wl.epoch, epoch)
	p.resize(wl, n, now.Add(p.Boot))
	return true, nil
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
