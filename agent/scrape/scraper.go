package scrape

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Options say how targets are reached and what they may cost. Processes is
// needed.
type Options struct {
	// Processes are those of a cgroup, by the agent's numbers. It is called by
	// several goroutines at a time.
	Processes func(cgroup string) ([]int, error)
	Proc      string // of the node; "/proc" if empty
	// HostNetwork lets in containers on the node's own network. Their labels
	// can then name whatever listens on the node's loopback.
	HostNetwork bool

	Targets int // at most; 500 if 0
	// A series with long labels counts as several, one for each 512 bytes.
	TargetSeries int   // of one target; 5,000 if 0
	NodeSeries   int   // of all targets, those that are gone but were a moment ago too; 50,000 if 0
	BodyBytes    int64 // of one answer, before and after it is unzipped; 10 MiB if 0

	Log *slog.Logger // none if nil
}

// How many answers are read at a time; to wait for one to begin costs next to
// nothing. Some slots are only for targets that have timed out, so that however
// many of those there are, the others find a place.
const (
	slots     = 6
	slowSlots = 2
)

// Scraper scrapes targets, each in its own rhythm.
type Scraper struct {
	opts Options
	dial func(ctx context.Context, t *Target) (net.Conn, error)

	slots, slow chan struct{}
	parsing     sync.Mutex   // one at a time, for the sake of memory
	room        atomic.Int64 // for series
	counts      counts

	mu      sync.Mutex
	targets int
	waiting []*Target // to be begun
	added   chan struct{}
}

// New returns a Scraper without targets. It starts nothing.
func New(opts Options) (*Scraper, error) {
	if opts.Processes == nil {
		return nil, errors.New("a scraper needs to be told of processes")
	}
	opts.Proc = cmp.Or(opts.Proc, "/proc")
	opts.Targets = cmp.Or(opts.Targets, 500)
	opts.TargetSeries = cmp.Or(opts.TargetSeries, 5_000)
	opts.NodeSeries = cmp.Or(opts.NodeSeries, 50_000)
	opts.BodyBytes = cmp.Or(opts.BodyBytes, 10<<20)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scraper{
		opts:  opts,
		slots: make(chan struct{}, slots),
		slow:  make(chan struct{}, slowSlots),
		added: make(chan struct{}, 1),
	}
	n := &networks{proc: opts.Proc, processes: opts.Processes, host: opts.HostNetwork}
	s.dial = func(ctx context.Context, t *Target) (net.Conn, error) {
		ns, err := n.open(t.cgroup)
		if err != nil {
			return nil, err
		}
		defer ns.Close()
		return dial(ctx, ns, t.spec.Port, &t.address)
	}
	s.room.Store(int64(opts.NodeSeries))
	return s, nil
}

// Run scrapes the targets that there are and will be, until ctx ends.
func (s *Scraper) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		s.mu.Lock()
		waiting := s.waiting
		s.waiting = nil
		s.mu.Unlock()
		for _, t := range waiting {
			running.Go(func() { s.follow(ctx, t) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.added:
		}
	}
}

// Target is a container that is scraped.
type Target struct {
	scraper *Scraper
	cgroup  string
	spec    Spec
	ctx     context.Context // ends when it is stopped
	cancel  context.CancelFunc

	// Of the goroutine that follows it.
	address netip.Addr // that answered last
	book    book
	slow    bool      // it timed out and has not been quick since
	state   string    // what was logged of it last
	logged  time.Time // and when

	mu    sync.Mutex
	ready *Update
}

// Add begins to scrape a container: its series will have the given labels and
// come at least every so many ticks. It returns nil if there are too many
// targets. It never waits.
func (s *Scraper) Add(cgroup string, spec Spec, labels []sample.Label, every uint64) *Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.targets == s.opts.Targets {
		s.counts[ManyTargets].Add(1)
		return nil
	}
	s.targets++
	ctx, cancel := context.WithCancel(context.Background())
	t := &Target{
		scraper: s, cgroup: cgroup, spec: spec, ctx: ctx, cancel: cancel,
		book: book{labels: labels, every: every, limit: s.opts.TargetSeries, room: &s.room, counts: &s.counts},
	}
	s.waiting = append(s.waiting, t)
	select {
	case s.added <- struct{}{}:
	default: // it is told already
	}
	return t
}

// Stop ends the scraping of a target, once. It never waits.
func (t *Target) Stop() {
	t.cancel()
	t.scraper.mu.Lock()
	t.scraper.targets--
	t.scraper.mu.Unlock()
}

// Mistake counts a container that is not scraped for what its labels say.
func (s *Scraper) Mistake() { s.counts[Mistake].Add(1) }

// Update is what scrapes have found since the last that was taken.
type Update struct {
	Up       bool
	Duration time.Duration
	Scraped  int // samples that the target wrote
	Kept     int // those that were not dropped

	Ended []*sample.Group // they have no series left, and come in no later update
	// Columns are the values of all other groups, absent if the scrape failed.
	Columns []sample.Column
	// Renewed says that groups in Ended may have series that Columns have too.
	// Those cannot have a value at the tick at which they end.
	Renewed bool
}

// Take returns what there is to know since the last call, if anything. Its
// slices are the caller's, its groups are not to be changed.
func (t *Target) Take() (Update, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ready == nil {
		return Update{}, false
	}
	u := *t.ready
	t.ready = nil
	return u, true
}

// give leaves an update for Take, with what went before it and was not taken.
func (t *Target) give(u Update) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ready != nil {
		// What was gone may be back under another group.
		u.Renewed = u.Renewed || t.ready.Renewed || len(t.ready.Ended) > 0
		u.Ended = append(t.ready.Ended, u.Ended...)
	}
	t.ready = &u
}

// follow scrapes a target at its times until it is stopped, which also ends a
// scrape under way.
func (s *Scraper) follow(ctx context.Context, t *Target) {
	defer t.book.close()
	defer t.cancel()
	defer context.AfterFunc(ctx, t.cancel)()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := t.first(time.Now()); ; {
		timer.Reset(time.Until(due))
		select {
		case <-t.ctx.Done():
			return
		case <-timer.C:
		}
		s.once(t)
		for time.Until(due) <= 0 {
			due = due.Add(t.spec.Interval)
		}
	}
}

// first is when a target is due for the first time. Targets are due at
// different parts of their interval, after a restart of the agent at the same
// as before.
func (t *Target) first(now time.Time) time.Time {
	h := fnv.New64a()
	_, _ = io.WriteString(h, t.cgroup) // never fails
	interval := int64(t.spec.Interval)
	phase := int64(h.Sum64() % uint64(interval))
	return now.Add(time.Duration(interval - (now.UnixNano()-phase)%interval))
}

// once scrapes a target.
func (s *Scraper) once(t *Target) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.ctx, t.spec.Timeout)
	defer cancel()
	u, err := s.scrape(ctx, t)
	if t.ctx.Err() != nil {
		return // it left, or the agent ends
	}
	if errors.Is(err, errBusy) {
		s.counts[Busy].Add(1)
		return // that says nothing of the target
	}
	if err != nil && ctx.Err() != nil {
		err = failed(Timeout, err)
	}
	u.Up, u.Duration = err == nil, time.Since(began)
	if err != nil && reasonOf(err, Broken) == Timeout {
		t.slow = true
	} else if u.Duration < t.spec.Timeout/2 {
		t.slow = false
	}
	t.note(err)
	t.give(u)
}

func (s *Scraper) scrape(ctx context.Context, t *Target) (Update, error) {
	conn, err := s.dial(ctx, t)
	if err != nil {
		return t.lost(failed(reasonOf(err, Unreachable), err))
	}
	defer conn.Close()
	answer, err := ask(ctx, t.spec, conn)
	if err != nil {
		return t.lost(err)
	}
	defer answer.Body.Close()
	leave, err := s.enter(ctx, t)
	if err != nil {
		return Update{}, err
	}
	defer leave()
	e, err := read(answer, s.opts.BodyBytes)
	if err != nil {
		return t.lost(err)
	}
	s.parsing.Lock()
	defer s.parsing.Unlock()
	now := time.Now()
	t.book.begin(now)
	if err := parse(e, now, max(t.spec.Interval, time.Minute), t.book.put); err != nil {
		return t.lost(err)
	}
	u := Update{Scraped: t.book.seen, Kept: t.book.live}
	u.Columns, u.Ended, u.Renewed = t.book.finish()
	return u, nil
}

// lost is what there is of a scrape that failed.
func (t *Target) lost(err error) (Update, error) {
	return Update{Columns: t.book.abandon()}, err
}

// errBusy says that no slot was free in time.
var errBusy = errors.New("no slot is free")

// enter waits for a slot. It is the caller's until leave is called.
func (s *Scraper) enter(ctx context.Context, t *Target) (leave func(), err error) {
	slot := s.slots
	if t.slow {
		slot = s.slow
	}
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, errBusy
	}
}

// note counts how a scrape went, and logs it where that is news, but not more
// than once a minute.
func (t *Target) note(err error) {
	state := ""
	if err != nil {
		reason := reasonOf(err, Broken)
		t.scraper.counts[reason].Add(1)
		state = reason.String()
	}
	if state == t.state || !t.logged.IsZero() && time.Since(t.logged) < time.Minute {
		return
	}
	t.state, t.logged = state, time.Now()
	if err != nil {
		t.scraper.opts.Log.Warn("target cannot be scraped", "container", t.cgroup, "err", shortened(err))
		return
	}
	t.scraper.opts.Log.Info("target is scraped again", "container", t.cgroup)
}

// Stats are what a scraper does.
type Stats struct {
	Targets int
	Series  int
	Counts  [reasons]uint64 // since it was made, by reason
}

// Stats returns them as they are now.
func (s *Scraper) Stats() Stats {
	st := Stats{Series: s.opts.NodeSeries - int(s.room.Load())}
	for r := range st.Counts {
		st.Counts[r] = s.counts[r].Load()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Targets = s.targets
	return st
}
