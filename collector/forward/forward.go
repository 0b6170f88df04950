package forward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/collector/forward/spool"
)

// Options are what a Forwarder works with.
type Options struct {
	Dir      string        // of the spool
	MaxBytes int64         // of the spool; default 2 GiB
	MaxAge   time.Duration // of what waits in it or is on its way; default 24 h
	Keep     bool          // however old: somebody relies on Replicated
	Grace    time.Duration // for requests on their way when it ends; default 5 s

	Metadata func(metric string) Metric // what is known of a metric; may be nil
	Version  string                     // of the collector, for targets

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Forwarder hands on what is stored. Stored and Sync may be called
// concurrently, and before Run.
type Forwarder struct {
	opts    Options
	spool   *spool.Spool
	handed  atomic.Uint64 // samples
	changed chan struct{}

	mu      sync.Mutex
	config  Config
	ledgers map[string]*ledger // by name of the endpoint
}

// Open opens the spool and prepares to send as cfg says. It starts nothing.
func Open(opts Options, cfg Config) (_ *Forwarder, err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.MaxAge = cmp.Or(opts.MaxAge, 24*time.Hour)
	if opts.Keep {
		opts.MaxAge = math.MaxInt64
	}
	opts.Grace = cmp.Or(opts.Grace, 5*time.Second)
	opts.Version = cmp.Or(opts.Version, "unknown")
	f := &Forwarder{opts: opts, ledgers: map[string]*ledger{}, changed: make(chan struct{}, 1)}
	f.spool, err = spool.Open(spool.Options{Dir: opts.Dir, MaxBytes: opts.MaxBytes, MaxAge: opts.MaxAge, Log: opts.Log})
	if err != nil {
		return nil, err
	}
	if err := f.Reload(cfg); err != nil {
		return nil, errors.Join(err, f.spool.Close())
	}
	if opts.Registerer != nil {
		if err := opts.Registerer.Register(collector{f}); err != nil {
			return nil, errors.Join(fmt.Errorf("register metrics of forward: %w", err), f.spool.Close())
		}
	}
	return f, nil
}

// Stored takes samples of one time, in ms, that are being stored: a value for
// each series. It keeps the label sets, which must not change. What it has
// taken survives the death of the process, and that of the machine once Sync
// has returned.
//
// The error is for the caller's log alone: what could not be taken is counted
// as dropped, and there is nothing to be done about it there. Of a row of
// errors, the first is returned.
func (f *Forwarder) Stored(atMs int64, series []labels.Labels, values []float64) error {
	f.handed.Add(uint64(len(values)))
	return f.spool.Append(atMs, series, values)
}

// Sync returns once all that was handed over before is on stable storage, or
// counted as lost to a disk that fails: the error then is for the caller's log,
// and no reason to stop. ctx is not looked at: a sync cannot be called off.
func (f *Forwarder) Sync(context.Context) error { return f.spool.Sync() }

// Reload takes another configuration, or leaves things as they were if it
// cannot be used. Endpoints that keep their name keep their place in the spool;
// a new one begins with the oldest samples held.
func (f *Forwarder) Reload(cfg Config) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range cfg.Endpoints { // a client that cannot be made spoils it all
		cl, err := newClient(endpointName(c), f.opts.Version, c)
		if err != nil {
			return err
		}
		cl.close()
	}
	f.config = cfg
	names := make([]string, 0, len(cfg.Endpoints))
	for _, c := range cfg.Endpoints {
		name := endpointName(c)
		names = append(names, name)
		if f.ledgers[name] == nil {
			f.ledgers[name] = newLedger()
		}
		if c.SendExemplars || c.SendNativeHistograms {
			f.opts.Log.Warn("exemplars and native histograms are not forwarded; only samples are", "endpoint", name)
		}
	}
	maps.DeleteFunc(f.ledgers, func(name string, _ *ledger) bool { return !slices.Contains(names, name) })
	f.spool.SetReaders(names)
	select {
	case f.changed <- struct{}{}:
	default:
	}
	return nil
}

// Run sends until ctx ends. What has not been sent by then stays in the spool.
func (f *Forwarder) Run(ctx context.Context) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() { f.keep(ctx) })
	for {
		select {
		case <-f.changed: // it is taken now
		default:
		}
		epoch, cancel := context.WithCancel(ctx)
		endpoints, err := f.prepare()
		if err != nil {
			cancel()
			return err
		}
		var senders sync.WaitGroup
		for _, e := range endpoints {
			senders.Go(func() { e.run(epoch) })
		}
		select {
		case <-ctx.Done():
		case <-f.changed:
		}
		cancel()
		senders.Wait()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (f *Forwarder) prepare() ([]*endpoint, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*endpoint
	for _, c := range f.config.Endpoints {
		e, err := newEndpoint(f, f.config, c)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// keep notes once a second how far the endpoints have come, and gives up what
// is too old.
func (f *Forwarder) keep(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.spool.Expire()
		err := f.spool.Save()
		if err != nil && !failing {
			f.opts.Log.Warn("what was sent is not noted, and would be sent again after a restart", "err", err)
		}
		failing = err != nil
	}
}

// Status tells of each endpoint, in the order of the configuration.
func (f *Forwarder) Status() []Endpoint {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var all []Endpoint
	for _, c := range f.config.Endpoints {
		name := endpointName(c)
		e := Endpoint{Name: name, URL: shownURL(c), Protocol: "1.0"}
		if version2(c) {
			e.Protocol = "2.0"
		}
		all = append(all, f.ledgers[name].status(e, f.spool.Reader(name), now))
	}
	return all
}

// Close brings all to the disk. It is called after Run has returned.
func (f *Forwarder) Close() error {
	if f.opts.Registerer != nil {
		f.opts.Registerer.Unregister(collector{f})
	}
	return f.spool.Close()
}
