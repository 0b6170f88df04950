package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

const (
	// DefaultTTL is how long a lease lasts that is not renewed.
	DefaultTTL = 4 * time.Second
	// maxTTL is what voters grant at most.
	maxTTL = 10 * time.Second
	// rounds is how many there are in a TTL: two may be lost on the way.
	rounds = 4
	// Forget is how long a node that is gone still counts as one whose word is
	// missing. Those of a partition's other side do so longer than it is likely
	// to last, and those that were taken away do not for ever.
	Forget = 10 * time.Minute
	// maxAhead is how far an epoch may be above the Unix time in seconds; a voter
	// that says more is not believed. Voters grant twice as much, so that what
	// follows the highest that is believed is granted.
	maxAhead = 5 * 365 * 24 * 60 * 60
)

// Options are what a lease works with.
type Options struct {
	// Name is the collector's, for people. It need not be the only one.
	Name string
	// TTL is how long a lease lasts that is not renewed; DefaultTTL if 0, 10 s
	// at most. Another collector leads so long after this one is lost, and a
	// quarter to a half of it more.
	TTL time.Duration
	// Known are the nodes that have been here within Forget, also before this
	// process began; their majority is what counts. It may be nil. An error
	// means that this cannot be said: then nothing is asked for.
	Known func(context.Context) ([]string, error)
	// Identify is as in ingest: whose stream this is, by its certificate.
	Identify func(context.Context) (node string, err error)

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// State is who leads, as far as this collector knows.
type State struct {
	Name    string `json:"name"`             // this process, as voters know it
	Held    bool   `json:"held"`             // it leads
	Epoch   uint64 `json:"epoch,omitempty"`  // of the lease that it holds
	Leader  string `json:"leader,omitempty"` // who a majority is lent to; empty if nobody or unknown
	Known   int    `json:"known"`            // nodes that count
	Voters  int    `json:"voters"`           // of them, those that can be asked
	Granted int    `json:"granted"`          // of them, those that are lent to this one
}

// Lease is one candidate. Its methods may be called concurrently.
type Lease struct {
	plimsollv1.UnimplementedLeaseServiceServer

	opts    Options
	id      string
	log     *slog.Logger
	metrics *metrics
	done    chan struct{} // closed once Run has given the lease back

	mu      sync.Mutex
	voters  map[string]*voter // by node
	known   map[string]struct{}
	certain bool                 // known has been told
	epoch   uint64               // what this one asks for; 0 if it asks for nothing
	highest uint64               // epoch that any voter has told, or that was given back
	round   uint64               // of the last questions
	asked   map[uint64]time.Time // rounds that can still be answered
	rest    int                  // rounds to let pass before the next attempt
	// notBefore is when agents that can reach this collector will have done so; to
	// count only the first would be to count a majority of one.
	notBefore time.Time
	tries     int  // rounds since it first asked for epoch
	led       bool // at the last look, for the log
}

// voter is an agent that can be asked, or was.
type voter struct {
	ask    chan *plimsollv1.VoteResponse // the next question; nil if it is away
	gone   time.Time                     // when it went, if it is away
	until  time.Time                     // lent to this candidate
	holder string                        // lent to whom, as it said last,
	lent   time.Time                     // and until when
}

// New complains of what cannot work. It starts nothing.
func New(opts Options) (*Lease, error) {
	opts.TTL = cmp.Or(opts.TTL, DefaultTTL)
	switch {
	case opts.Name == "" || len(opts.Name) > 80:
		return nil, fmt.Errorf("a collector's name of %d bytes, want 1 to 80", len(opts.Name))
	case opts.TTL < time.Second || opts.TTL > maxTTL:
		return nil, fmt.Errorf("a lease of %v, want 1s to %v", opts.TTL, maxTTL)
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	l := &Lease{
		opts: opts, log: opts.Log,
		// A process that was replaced may still run somewhere.
		id:     opts.Name + "/" + uuid.NewString(),
		done:   make(chan struct{}),
		voters: map[string]*voter{}, known: map[string]struct{}{}, asked: map[uint64]time.Time{},
	}
	var err error
	l.metrics, err = newMetrics(opts.Registerer, l.State)
	return l, err
}

// Register offers the service to agents.
func (l *Lease) Register(s grpc.ServiceRegistrar) { plimsollv1.RegisterLeaseServiceServer(s, l) }

// Held tells whether this collector may act now, and under which epoch. Ask
// before each act, and hand the epoch on to what can refuse an older one.
func (l *Lease) Held() (epoch uint64, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch, l.held(time.Now())
}

// held tells whether more than half of those that count are lent to this one.
func (l *Lease) held(now time.Time) bool {
	if l.epoch == 0 || !l.certain {
		return false
	}
	granted, electorate := l.count(func(v *voter) bool { return now.Before(v.until) })
	return 2*granted > electorate
}

// count returns how many of those that count are so.
func (l *Lease) count(so func(*voter) bool) (are, electorate int) {
	electorate = len(l.known)
	for node, v := range l.voters {
		if _, known := l.known[node]; !known {
			electorate++
		}
		if so(v) {
			are++
		}
	}
	return are, electorate
}

// State tells who leads.
func (l *Lease) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	s := State{Name: l.id, Held: l.held(now)}
	if s.Held {
		s.Epoch, s.Leader = l.epoch, l.id
	} else {
		s.Leader = l.other(now)
	}
	s.Granted, s.Known = l.count(func(v *voter) bool { return l.epoch != 0 && now.Before(v.until) })
	s.Voters, _ = l.count(func(v *voter) bool { return v.ask != nil })
	return s
}

// other is another that a majority says it is lent to.
func (l *Lease) other(now time.Time) string {
	lent := map[string]int{}
	for _, v := range l.voters {
		if v.holder != "" && v.holder != l.id && now.Before(v.lent) {
			lent[v.holder]++
		}
	}
	_, electorate := l.count(func(*voter) bool { return false })
	for holder, n := range lent {
		if 2*n > electorate {
			return holder
		}
	}
	return ""
}

// Run seeks the lease until ctx ends, gives it back then, and ends all streams.
// It runs once.
func (l *Lease) Run(ctx context.Context) error {
	defer close(l.done)
	l.mu.Lock()
	l.notBefore = time.Now().Add(maxTTL)
	l.mu.Unlock()
	tick := time.NewTicker(l.opts.TTL / rounds)
	defer tick.Stop()
	for {
		known, err := l.nodes(ctx)
		l.turn(known, err)
		select {
		case <-ctx.Done():
			l.giveBack()
			return nil
		case <-tick.C:
		}
	}
}

func (l *Lease) nodes(ctx context.Context) ([]string, error) {
	if l.opts.Known == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.TTL/rounds)
	defer cancel()
	return l.opts.Known(ctx)
}

// turn is one round: what the last brought is looked at, and the next is asked.
func (l *Lease) turn(known []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if err == nil {
		l.certain = true
		clear(l.known)
		for _, node := range known {
			l.known[node] = struct{}{}
		}
	} else if !errors.Is(err, context.Canceled) && !now.Before(l.notBefore) {
		// The nodes of the last round are as good as any for one more.
		l.log.Warn("cannot tell which nodes there are", "err", err)
	}
	for node, v := range l.voters {
		if v.ask == nil && now.Sub(v.gone) > Forget {
			delete(l.voters, node)
		}
	}

	held := l.held(now)
	if held != l.led {
		l.led = held
		if held {
			l.metrics.changes.Inc()
			l.log.Info("this collector leads", "epoch", l.epoch)
		} else {
			l.log.Warn("this collector leads no longer: too few agents answered in time", "epoch", l.epoch)
		}
	}
	leader := l.other(now)
	switch {
	case held:
		l.tries = 0
	case l.epoch != 0 && leader == "" && l.tries < 2:
		l.tries++ // answers may be on their way
	case l.epoch != 0:
		l.ask(l.epoch, 0)
		l.withdraw()
		return
	case l.rest > 0:
		l.rest--
	case l.certain && leader == "" && !now.Before(l.notBefore) && l.silent(now):
		l.epoch, l.tries = max(l.highest+1, uint64(max(1, now.Unix()))), 0
	}
	l.ask(l.epoch, l.opts.TTL)
}

// silent tells whether enough voters say that they are lent to nobody.
func (l *Lease) silent(now time.Time) bool {
	free, electorate := l.count(func(v *voter) bool { return v.ask != nil && (v.holder == "" || !now.Before(v.lent)) })
	return 2*free > electorate
}

// withdraw ends an attempt, or a lease that was lost. The others' attempts come
// at other times, and the next of this one has another epoch: grants of this one
// that are still on their way were given back.
func (l *Lease) withdraw() {
	l.highest = max(l.highest, l.epoch)
	l.epoch, l.rest = 0, 1+rand.IntN(rounds)
	for _, v := range l.voters {
		v.until = time.Time{}
	}
}

// ask puts a question to all voters. One that has not yet sent on the last gets
// this one instead.
func (l *Lease) ask(epoch uint64, ttl time.Duration) {
	l.round++
	now := time.Now()
	for round, at := range l.asked {
		if now.Sub(at) > l.opts.TTL {
			delete(l.asked, round)
		}
	}
	if epoch != 0 && ttl != 0 {
		l.asked[l.round] = now
	}
	question := &plimsollv1.VoteResponse{Round: l.round, Candidate: l.id, Epoch: epoch, TtlMs: uint32(ttl.Milliseconds())}
	for _, v := range l.voters {
		if v.ask == nil {
			continue
		}
		select {
		case <-v.ask:
		default:
		}
		v.ask <- question // there is room for one, and nobody else puts any in
	}
}

// giveBack lets another lead at once instead of after the TTL.
func (l *Lease) giveBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch != 0 {
		l.ask(l.epoch, 0)
		l.withdraw()
		l.log.Info("this collector gives the lead back")
	}
}

// answered takes what a voter says.
func (l *Lease) answered(v *voter, answer *plimsollv1.VoteRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if answer.GetEpoch() <= uint64(max(0, now.Unix()))+maxAhead {
		l.highest = max(l.highest, answer.GetEpoch())
	}
	v.holder, v.lent = answer.GetHolder(), now.Add(min(maxTTL, time.Duration(answer.GetRemainingMs())*time.Millisecond))
	asked, current := l.asked[answer.GetRound()]
	switch {
	case !current || l.epoch == 0:
	case answer.GetGranted() && answer.GetEpoch() == l.epoch:
		v.until = asked.Add(l.opts.TTL - l.opts.TTL/10)
	default:
		v.until = time.Time{} // it is lent to another, or is too young
	}
}
