package burst

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

// Run reads groups that are in burst until ctx ends. While there are none it
// does nothing.
func (l *Lane) Run(ctx context.Context) error {
	if l.triggers != nil {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			l.triggers.run(l.fired)
		}()
		defer func() { l.triggers.stop(); <-ended }()
	}
	defer l.release()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next := l.round(time.Now()); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// fired takes in what a trigger says; no group is the node.
func (l *Lane) fired(group string, why Cause) {
	if group != "" {
		l.Begin(group, why)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pressed = true
}

// round reads the groups that are due, and returns when the next is; zero if
// there is none.
func (l *Lane) round(now time.Time) (next time.Time) {
	l.mu.Lock()
	l.forget(now)
	l.reading = append(l.reading[:0], l.members...)
	for _, m := range l.reading {
		m.every = m.period(now, l.opts.Every)
		m.due = earlier(m.due, now.Add(m.every)) // it may have been read less often so far
	}
	l.mu.Unlock()
	for _, m := range l.reading {
		if !now.Before(m.due) {
			l.read(m)
		}
		next = earlier(next, m.due)
	}
	return next
}

// earlier is the first of two times, of which the former may be zero for none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// forget lets go of groups whose bursts are over. l.mu is held.
func (l *Lane) forget(now time.Time) {
	l.members = slices.DeleteFunc(l.members, func(m *member) bool {
		if m.active(now) {
			return false
		}
		m.close()
		return true
	})
}

func (l *Lane) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.members {
		m.close()
	}
	l.members = nil
}

func (m *member) close() {
	if m.open != nil {
		m.open.Close()
		m.open = nil
	}
}

// read reads a group once and takes in the window that ends with it. What is
// read is as of the middle of the reading; a reading that was interrupted for
// longer than a tenth of its period would make a window of a wrong length, so it
// is left out, and the next window is longer.
func (l *Lane) read(m *member) {
	if m.open == nil && !l.openGroup(m) {
		return
	}
	began := time.Now()
	cpu, err := m.open.CPU()
	ended := time.Now()
	memoryBytes, memoryErr := m.open.MemoryUsage()
	m.due = following(l.epoch, ended, m.every)

	took := ended.Sub(began)
	p := point{at: began.Add(took / 2), usage: cpu.Usage}
	if cpu.Periods.V > 0 { // it has or had a quota
		p.throttled = cpu.Throttled
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Readings++
	switch err := errors.Join(err, memoryErr); {
	case errors.Is(err, cgroup.ErrGone):
		m.gone = true
		return
	case err != nil:
		l.stats.Failed++
	}
	if took > m.every/10 {
		l.stats.Blurred++
		return
	}
	if !m.last.at.IsZero() {
		if p.at.Sub(m.last.at) > m.every*3/2 {
			l.stats.Late++
		}
		m.sum.add(&m.last, &p, memoryBytes)
	}
	m.last = p
}

// openGroup tells whether m could be opened. It is tried again at the next turn.
func (l *Lane) openGroup(m *member) bool {
	m.due = following(l.epoch, time.Now(), m.every)
	var err error
	if m.open, err = l.fs.Open(m.group); err == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m.gone = errors.Is(err, cgroup.ErrGone)
	l.stats.Failed++
	return false
}

// following is the next multiple of a period since an epoch that is not too
// near: groups of one period are read together, and after a late reading no
// window is so short that the kernel's own steps show in it.
func following(epoch, now time.Time, every time.Duration) time.Time {
	next := now.Add(every - now.Sub(epoch)%every)
	if next.Sub(now) < every/2 {
		next = next.Add(every)
	}
	return next
}
