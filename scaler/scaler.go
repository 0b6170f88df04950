package scaler

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Options are what a scaler is made of.
type Options struct {
	// Policies as policy.Load returns them.
	Policies []policy.App
	// Query answers the signals' queries.
	Query Querier
	// History answers what forecasts and events ask about the past; nil if there is
	// nobody to ask, and then no forecast acts and no event has a base.
	History RangeQuerier
	// Drivers by the name that targets use.
	Drivers map[string]driver.Driver
	// Journal keeps the decisions; nil keeps only the last one of each policy.
	// Whoever opened it closes it, after Run.
	Journal *journal.Journal
	// StateFile keeps the past over restarts; empty keeps none.
	StateFile string
	// HandFile keeps pauses and overrides over restarts; empty keeps none.
	HandFile string
	// Who tells who sends a request, and whether that is proven, by a password or a
	// certificate; nil if the collector asks for neither.
	Who func(*http.Request) (name string, proven bool)
	// Ceiling is the number of replicas that no driver is ever asked to exceed.
	// Default policy.DefaultCeiling.
	Ceiling int
	// Lease tells whether this scaler may write; nil if it is the only one. One
	// that may not goes on to decide, so that it knows as much as the other when
	// it comes to lead.
	Lease Lease
	// Watch is told of all that policies wait for, each time that it changes; nil if
	// nobody can tell when a sample arrives.
	Watch func([]Watched)
	// Nodes tells which agents are heard; nil if nobody knows.
	Nodes Nodes
	// Now is the clock of decisions; time.Now if nil. Intervals go by the process'
	// own.
	Now func() time.Time
	// Log may be nil.
	Log *slog.Logger
	// Registerer takes the scaler's metrics; it may be nil.
	Registerer prometheus.Registerer
}

// Lease is held by one of several scalers at a time.
type Lease interface {
	// Held tells whether this one may write now, and under which epoch.
	Held() (epoch uint64, held bool)
}

// Scaler evaluates policies. Its methods may be called concurrently.
type Scaler struct {
	query   Querier
	journal *journal.Journal
	log     *slog.Logger
	ceiling int
	guard   *guard
	memory  *memory
	hands   *hands
	ahead   *ahead
	pace    *rate.Limiter // of what people say
	who     func(*http.Request) (name string, proven bool)
	metrics *metrics
	watch   func([]Watched)
	nodes   Nodes
	now     func() time.Time
	pulse   *pulse
	breaker *breaker
	asking  sync.WaitGroup // what evaluations have asked for
	changed chan struct{}  // has one element when apps has changed

	mu   sync.Mutex
	apps []policy.App
	last map[string]journal.Entry // by policy: the last tick
}

// New complains of what cannot work. It starts nothing.
func New(opts Options) (*Scaler, error) {
	if opts.Query == nil {
		return nil, errors.New("a scaler needs a Querier")
	}
	if opts.Ceiling < 0 {
		return nil, fmt.Errorf("ceiling %d: want a number of replicas above 0, or 0 for %d", opts.Ceiling, policy.DefaultCeiling)
	}
	log := cmp.Or(opts.Log, slog.New(slog.DiscardHandler))
	s := &Scaler{
		query:   opts.Query,
		journal: opts.Journal,
		log:     log,
		ceiling: cmp.Or(opts.Ceiling, policy.DefaultCeiling),
		memory:  openMemory(opts.StateFile, log),
		metrics: newMetrics(opts.Registerer),
		pace:    rate.NewLimiter(rate.Every(handsEach), handsAtOnce),
		who:     opts.Who,
		watch:   opts.Watch,
		nodes:   opts.Nodes,
		now:     opts.Now,
		pulse:   newPulse(),
		changed: make(chan struct{}, 1),
		last:    make(map[string]journal.Entry),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.journal != nil {
		s.journal.Register(opts.Registerer)
	}
	s.ahead = newAhead(opts.History, s.now, log, newAheadMetrics(opts.Registerer))
	s.hands = openHands(opts.HandFile, s.now, log, s.audit, newHandMetrics(opts.Registerer))
	s.breaker = newBreaker(s.nodes, s.memory.broken)
	s.guard = &guard{drivers: opts.Drivers, ceiling: s.ceiling, lease: opts.Lease, log: log, metrics: s.metrics}
	if s.who == nil {
		s.who = func(*http.Request) (string, bool) { return "", false }
	}
	if s.guard.lease == nil {
		s.guard.lease = alone{}
	}
	if err := s.Reload(opts.Policies); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload replaces the policies. Those that did not change go on as if nothing
// had happened; those that did start afresh. If any cannot work, none is
// replaced.
func (s *Scaler) Reload(policies []policy.App) error {
	apps := slices.Clone(policies)
	for i := range apps {
		apps[i].Ceiling = s.ceiling
	}
	if err := s.check(apps); err != nil {
		return err
	}
	s.mu.Lock()
	s.apps = apps
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default: // Run has not looked since the last change and will see both
	}
	return nil
}

// check finds what policy.Load cannot know, or what would make two loops share
// one thing.
func (s *Scaler) check(apps []policy.App) error {
	var errs []error
	names := make(map[string]bool)
	targets := make(map[policy.Target]string)
	for _, app := range apps {
		if names[app.Name] {
			errs = append(errs, fmt.Errorf("policy %s: there are two of that name", app.Name))
		}
		if other, ok := targets[app.Target]; ok {
			errs = append(errs, fmt.Errorf("policy %s: %s is scaled by policy %s already", app.Name, app.Target, other))
		}
		if app.Interval <= 0 {
			errs = append(errs, fmt.Errorf("policy %s: interval %v is not above 0", app.Name, app.Interval))
		}
		if _, err := s.guard.grip(app); err != nil {
			errs = append(errs, err)
		}
		names[app.Name], targets[app.Target] = true, app.Name
	}
	return errors.Join(errs...)
}

// Status is a policy and what became of it at its last tick.
type Status struct {
	Policy policy.App     `json:"policy"`
	Last   *journal.Entry `json:"last,omitempty"` // nil before the first tick
	Hand   Hand           `json:"hand,omitzero"`  // what people have said
	// Forecast is how the forecast stands; nil if the policy has none.
	Forecast *Foresight `json:"forecast,omitempty"`
}

// Policies returns the policies in force, in the order of their file.
func (s *Scaler) Policies() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, len(s.apps))
	for i, app := range s.apps {
		all[i].Policy, all[i].Hand, all[i].Forecast = app, s.hands.of(app.Name), s.ahead.foresee(app.Name)
		if e, ok := s.last[app.Name]; ok {
			all[i].Last = &e
		}
	}
	return all
}

// Decisions returns entries of the journal, the newest first, beginning with
// the last tick of each policy that is asked for.
func (s *Scaler) Decisions(q journal.Query) ([]journal.Entry, error) {
	s.mu.Lock()
	q = q.Named(s.apps)
	last := slices.Collect(maps.Values(s.last))
	s.mu.Unlock()
	if s.journal == nil {
		return q.Pick(last), nil
	}
	return s.journal.Read(q)
}
