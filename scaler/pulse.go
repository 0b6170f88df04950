package scaler

import (
	"context"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

const (
	// coalesce is the grid on which samples lead to evaluations: those that come
	// within it lead to one, and policies that they are for are evaluated together.
	coalesce = 100 * time.Millisecond
	// sampleCost bounds what samples cost: of n policies, none is evaluated because
	// of one sooner than n times that after it was evaluated before.
	sampleCost = time.Millisecond
	// pollEvery is how often a workload is looked at while replicas are on their
	// way: platforms do not tell when one is ready. What takes much longer than it
	// should, pollPatience at least, is looked at ever more rarely, as it may never
	// be: each time after pollShare of the time since.
	pollEvery    = time.Second
	pollPatience = time.Minute
	pollShare    = 0.1
	// planEvery is how often the borders of schedules are looked up: the clock on
	// the wall may have been set.
	planEvery = time.Minute
)

// pulse says when each policy is evaluated, and evaluates together what is due
// together. Its methods may be called concurrently and never block for long.
type pulse struct {
	mu      sync.Mutex
	members map[string]*member
	planned time.Time // when the next is due
	wake    chan struct{}
}

// member is a policy that has a pulse.
type member struct {
	app   policy.App
	turns chan turn // to its loop, which takes one at a time

	// All below is guarded by pulse.mu.
	gone     bool
	busy     bool // its loop is at work
	last     time.Time
	beat     time.Time     // the next by the interval
	border   time.Time     // the next of a schedule or an event; zero for none
	asOf     time.Time     // when border was found
	boot     time.Duration // for which it was
	poll     time.Time     // the next because of replicas on their way; zero for none
	starting time.Time     // since when they are; zero if none is
	free     time.Time     // no sooner, unless the policy wants it: those that end together go on together
	asked    time.Time     // since when the policy itself wants it; zero if it does not
	platform time.Time     // since when its platform does
	news     news          // the samples that it has not seen
}

// await is what a platform has still to do after an evaluation.
type await int

const (
	nothing  await = iota
	replicas       // to start those that are not ready
	change         // to carry out what it was just asked for
)

// turn is one evaluation that is due.
type turn struct {
	trigger journal.Trigger
	round   *round
	news    news
}

// news are samples that came since an evaluation began.
type news struct {
	taken   time.Time // when the first of them was taken
	arrived time.Time // when it came; zero if none did
}

func newPulse() *pulse {
	return &pulse{members: make(map[string]*member), wake: make(chan struct{}, 1)}
}

// add gives a policy a pulse, which begins with the next call of begin.
func (p *pulse) add(app policy.App) *member {
	now := time.Now()
	m := &member{app: app, turns: make(chan turn, 1), asked: now, beat: now}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members[app.Name] = m
	return m
}

// begin begins with those that were added.
func (p *pulse) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurry(time.Now())
}

// remove takes it away. A turn that was given may still be in m.turns.
func (p *pulse) remove(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.gone = true
	if p.members[m.app.Name] == m {
		delete(p.members, m.app.Name)
	}
}

// run gives turns until ctx ends. Those that are given together share a round.
func (p *pulse) run(ctx context.Context, round func([]policy.App) *round) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-p.wake:
		}
		timer.Reset(p.give(time.Now(), round))
	}
}

// give gives a turn to each member that is due, and returns for how long none is.
func (p *pulse) give(now time.Time, round func([]policy.App) *round) time.Duration {
	const never = time.Hour
	p.mu.Lock()
	defer p.mu.Unlock()
	var due []*member
	var turns []turn
	var apps []policy.App
	p.planned = now.Add(never)
	for _, m := range p.members {
		if m.busy {
			continue
		}
		at, trigger := m.next(p.spacing())
		if at.After(now) {
			p.planned = earlier(p.planned, at)
			continue
		}
		due, apps = append(due, m), append(apps, m.app)
		turns = append(turns, turn{trigger: trigger, news: m.news})
		m.busy = true
		m.last, m.asked, m.platform, m.news = now, time.Time{}, time.Time{}, news{}
	}
	if len(due) > 0 {
		shared := round(apps)
		for i, m := range due {
			turns[i].round = shared
			m.turns <- turns[i] // it has room: m was not busy
		}
	}
	return p.planned.Sub(now)
}

// spacing is how long after an evaluation samples lead to none. p.mu is held.
func (p *pulse) spacing() time.Duration {
	return max(coalesce, time.Duration(len(p.members))*sampleCost)
}

// next is when the member is due, and why.
func (m *member) next(spacing time.Duration) (at time.Time, why journal.Trigger) {
	at, why = m.beat, journal.TriggerInterval
	consider := func(t time.Time, trigger journal.Trigger) {
		if !t.IsZero() && !t.After(at) {
			at, why = t, trigger
		}
	}
	consider(m.poll, journal.TriggerStarting)
	if !m.news.arrived.IsZero() {
		consider(up(later(m.news.arrived, m.last.Add(spacing)), coalesce), journal.TriggerSample)
	}
	consider(m.border, journal.TriggerSchedule)
	if !m.platform.IsZero() {
		consider(later(m.platform, m.last.Add(coalesce)), journal.TriggerPlatform)
	}
	at = later(at, m.free)
	consider(m.asked, journal.TriggerPolicy)
	return at, why
}

// plan is what is due after an evaluation that began at m.last, but for what the
// world brings. wall is the time of day now.
func (m *member) plan(now, wall time.Time, boot time.Duration) {
	grid := beatGrid(m.app.Interval)
	m.beat = up(m.last.Add(m.app.Interval-grid/2), grid)
	if len(m.app.Schedules)+len(m.app.Events) == 0 {
		return
	}
	over := !m.border.IsZero() && !now.Before(m.border)
	if !m.asOf.IsZero() && now.Sub(m.asOf) < planEvery && boot == m.boot && !over {
		return
	}
	m.border, m.asOf, m.boot = time.Time{}, now, boot
	if at, ok := m.app.NextBorder(wall, boot); ok {
		m.border = now.Add(at.Sub(wall))
	}
}

// done takes a member back whose evaluation is over.
func (p *pulse) done(m *member, wall time.Time, awaited await, boot time.Duration) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	m.busy, m.poll, m.free = false, time.Time{}, up(now.Add(1), coalesce)
	m.plan(now, wall, boot)
	m.wait(awaited, boot)
	if at, _ := m.next(p.spacing()); !m.gone {
		p.hurry(at)
	}
}

// wait says when a member is looked at because of what is awaited since its last
// evaluation.
func (m *member) wait(awaited await, boot time.Duration) {
	switch {
	case awaited == nothing:
		m.starting = time.Time{}
		return
	case awaited == change || m.starting.IsZero():
		m.starting = m.last
	}
	overdue := m.last.Sub(m.starting) - max(2*boot, pollPatience)
	if wait := max(pollEvery, time.Duration(pollShare*float64(overdue))); wait < m.app.Interval {
		m.poll = m.last.Add(wait)
	}
}

// sample tells a member that a sample has come that was taken at a time.
func (p *pulse) sample(m *member, taken, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !m.news.arrived.IsZero() || m.gone {
		return
	}
	m.news = news{taken, now}
	if !m.busy {
		at, _ := m.next(p.spacing())
		p.hurry(at)
	}
}

// changed tells that workloads of a driver have changed: those that match.
func (p *pulse) changed(match func(policy.App) bool) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if m.platform.IsZero() && match(m.app) {
			m.platform = now
			p.hurry(later(now, m.last.Add(coalesce)))
		}
	}
}

// nudge has a policy evaluated at once.
func (p *pulse) nudge(name string) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.members[name]; m != nil && m.asked.IsZero() {
		m.asked = now
		p.hurry(now)
	}
}

// hurry makes sure that what is due at a time is not overslept. p.mu is held.
func (p *pulse) hurry(at time.Time) {
	if !at.Before(p.planned) {
		return
	}
	p.planned = at
	select {
	case p.wake <- struct{}{}:
	default: // it is about to look
	}
}

// beatGrid is on which grid an interval is counted, so that policies that were last
// evaluated at different times come together again.
func beatGrid(interval time.Duration) time.Duration {
	for _, grid := range []time.Duration{2 * time.Second, time.Second} {
		if interval%grid == 0 {
			return grid
		}
	}
	return coalesce
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// up is the first time of a grid that is not before t. The grid is of the clock
// on the wall, but the result keeps the reading of the other one.
func up(t time.Time, grid time.Duration) time.Time {
	if past := time.Duration(t.UnixNano()) % grid; past > 0 {
		return t.Add(grid - past)
	}
	return t
}
