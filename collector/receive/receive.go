// Package receive takes in what others send: Prometheus remote write 1.0 and
// 2.0, and OTLP metrics over HTTP.
//
// Its promise: what is answered with success is on stable storage; of a batch
// the good samples are stored and the rest is refused one by one, with its
// reason counted and said; a batch that comes again changes nothing; and no
// request, whatever is in it, costs more than itself.
package receive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/gate"
)

// Store is where samples go.
type Store interface {
	// AppenderV2 starts a transaction, whose appender knows by storage.GetRef
	// which series there are.
	AppenderV2(context.Context) storage.AppenderV2
	// Sync returns once everything committed is on stable storage.
	Sync(context.Context) error
}

// Options say what is taken in. A zero stands for its default.
type Options struct {
	Store  Store
	Limits gate.Limits // of each series and sample

	// RequestBytes bounds a request after decompression; default 16 MiB.
	RequestBytes int
	// MemoryBytes bounds what a request may become in memory, about; default
	// 64 MiB. Two bytes on the wire are enough for a sample of nothing.
	MemoryBytes int
	// Concurrent is how many requests are worked on at a time; default 8.
	// Others wait for Patience, default 10 s, and are then told to come again.
	Concurrent int
	Patience   time.Duration
	// ReadTimeout is how long a sender may take over its request; default 30 s.
	ReadTimeout time.Duration

	// Refuse tells why nothing can be taken in now, as when the disk is nearly
	// full; nil, or a nil error, if it can.
	Refuse func() error
	// Lives counts how often the store was opened anew: what was committed in one
	// life is not safe by a Sync in the next. nil if it never is.
	Lives func() uint64
	// Failed hears of each failure to write or sync; nil if nobody cares.
	Failed func(deed string, err error)
	// HeadSeries is how many series the store has in memory. From MaxSeries on
	// new ones are refused, and those it has go on; 0 is no limit.
	HeadSeries func() uint64
	MaxSeries  uint64

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

func (opts Options) withDefaults() Options {
	opts.Limits = opts.Limits.WithDefaults()
	opts.RequestBytes = cmp.Or(opts.RequestBytes, 16<<20)
	opts.MemoryBytes = cmp.Or(opts.MemoryBytes, 64<<20)
	opts.Concurrent = cmp.Or(opts.Concurrent, 8)
	opts.Patience = cmp.Or(opts.Patience, 10*time.Second)
	opts.ReadTimeout = cmp.Or(opts.ReadTimeout, 30*time.Second)
	if opts.Refuse == nil {
		opts.Refuse = func() error { return nil }
	}
	if opts.Lives == nil {
		opts.Lives = func() uint64 { return 0 }
	}
	if opts.Failed == nil {
		opts.Failed = func(string, error) {}
	}
	if opts.HeadSeries == nil || opts.MaxSeries == 0 {
		opts.HeadSeries, opts.MaxSeries = func() uint64 { return 0 }, 1
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return opts
}

// Receiver serves the protocols. It is safe for concurrent use.
type Receiver struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics
	shapes  shapes
	known   described

	slots chan struct{} // a place for each request worked on
	// writer is held by the one who appends. Two transactions that meet in a
	// series lose a sample without a word, and a lock for each series would cost
	// more than the wait: a request's share of it is a fraction of its decoding.
	writer chan struct{}

	mu   sync.Mutex
	said map[gate.Reason]time.Time // when the log last had it
}

// New makes a Receiver.
func New(opts Options) (*Receiver, error) {
	if opts.Store == nil {
		return nil, errors.New("receiving needs a store")
	}
	opts = opts.withDefaults()
	r := &Receiver{
		opts: opts, log: opts.Log, shapes: newShapes(),
		slots: make(chan struct{}, opts.Concurrent), writer: make(chan struct{}, 1),
		said: map[gate.Reason]time.Time{},
	}
	var err error
	r.metrics, err = newMetrics(opts.Registerer)
	return r, err
}

// retryAfter is what senders are told to wait, in seconds.
const retryAfter = "5"

// mistake is an error with the HTTP status that it is answered with.
type mistake struct {
	code int
	err  error
}

func (m *mistake) Error() string { return m.err.Error() }
func (m *mistake) Unwrap() error { return m.err }

func mistaken(code int, format string, args ...any) error {
	return &mistake{code, fmt.Errorf(format, args...)}
}

// status is how an error is answered. What is nobody's fault is to be tried
// again, with 503: Prometheus gives up on 429.
func status(err error) int {
	if m := new(mistake); errors.As(err, &m) {
		return m.code
	}
	return http.StatusServiceUnavailable
}

// admit waits for a place. The caller gives it back by calling leave.
func (r *Receiver) admit(ctx context.Context) (leave func(), err error) {
	if err := r.opts.Refuse(); err != nil {
		r.metrics.turnedAway.WithLabelValues("store").Inc()
		return nil, fmt.Errorf("nothing is taken in now: %w; what is sent again later is not lost", err)
	}
	r.metrics.waiting.Inc()
	defer r.metrics.waiting.Dec()
	if !enter(ctx, r.slots, r.opts.Patience) {
		r.metrics.turnedAway.WithLabelValues("busy").Inc()
		return nil, fmt.Errorf("%d requests are being worked on, and none ended within %v; send larger batches, or over fewer connections",
			r.opts.Concurrent, r.opts.Patience)
	}
	return func() { <-r.slots }, nil
}

// enter takes a place, if one becomes free in time.
func enter(ctx context.Context, places chan struct{}, patience time.Duration) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
	}
	patient := time.NewTimer(patience)
	defer patient.Stop()
	select {
	case places <- struct{}{}:
		return true
	case <-patient.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// survive makes of a panic an error of this request alone. It is not worth
// trying again: the same bytes would do the same.
func (r *Receiver) survive(err *error) {
	if p := recover(); p != nil {
		r.metrics.panics.Inc()
		r.log.Error("a request was given up in a panic; please report this", "err", p, "stack", string(debug.Stack()))
		*err = mistaken(http.StatusBadRequest, "this request could not be understood; the collector's log has more")
	}
}

// take stores a request: read makes a batch of it, which is on stable storage
// when take returns.
func (r *Receiver) take(ctx context.Context, protocol string, read func() (*batch, error)) (*batch, error) {
	b, life, err := r.work(ctx, protocol, read)
	if err != nil {
		return nil, err
	}
	if err := r.opts.Store.Sync(ctx); err != nil {
		if ctx.Err() == nil {
			r.opts.Failed("sync", err)
		}
		return nil, fmt.Errorf("the batch is not safe on disk: %w", err)
	}
	if r.opts.Lives() != life {
		return nil, errors.New("the store was opened anew meanwhile, and may have lost the batch")
	}
	return b, nil
}

// work is the part of take that needs a place: as long as it lasts, the request
// is in memory. It also returns the life of the store that has the batch.
func (r *Receiver) work(ctx context.Context, protocol string, read func() (*batch, error)) (b *batch, life uint64, err error) {
	defer r.survive(&err)
	leave, err := r.admit(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	if b, err = read(); err != nil {
		return nil, 0, err
	}
	life = r.opts.Lives()
	if err := r.commit(ctx, b); err != nil {
		return nil, 0, err
	}
	r.count(protocol, b)
	b.rows, b.points = nil, nil
	return b, life, nil
}

// commit runs one transaction, after those of others.
func (r *Receiver) commit(ctx context.Context, b *batch) error {
	select {
	case r.writer <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.writer }()

	// Once begun it is finished, whether or not the sender still listens.
	app := r.opts.Store.AppenderV2(context.WithoutCancel(ctx))
	done := false
	defer func() {
		if !done { // a panic
			_ = app.Rollback()
		}
	}()
	full := func() bool { return r.opts.HeadSeries() >= r.opts.MaxSeries }
	err := b.flush(app, full)
	done = true
	if err != nil {
		return errors.Join(err, app.Rollback())
	}
	if err := app.Commit(); err != nil {
		r.opts.Failed("commit", err)
		return fmt.Errorf("the batch could not be written: %w", err)
	}
	return nil
}

// quietly is how long the log keeps still about a reason that it has had.
const quietly = 10 * time.Minute

// count brings a batch into the metrics, and what is new of it into the log.
func (r *Receiver) count(protocol string, b *batch) {
	r.metrics.samples.WithLabelValues(protocol).Add(float64(b.samples + b.histograms))
	r.metrics.exemplars.Add(float64(b.exemplars))
	for reason, of := range b.refused {
		r.metrics.refused.WithLabelValues(protocol, reason).Add(float64(of.count))
		r.mu.Lock()
		now := time.Now()
		tell := now.Sub(r.said[reason]) > quietly
		if tell {
			r.said[reason] = now
		}
		r.mu.Unlock()
		if tell {
			r.log.Warn("refusing samples of a sender", "protocol", protocol, "reason", reason, "samples", of.count, "example", of.example)
		}
	}
}
