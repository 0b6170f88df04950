package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// Options are what an agent is made of. Sources, Spool and Stream are needed.
type Options struct {
	Sources []Source
	Spool   Spooler
	Stream  func(context.Context) error // sends what is in the spool until ctx ends
	Observe func(*sample.Batch)         // called with each batch, which it must not keep; nil for nobody
	Loops   []lifecycle.Loop            // what else runs as long as the agent, such as discovery

	Interval   time.Duration         // between ticks; whole milliseconds, 10 at least; 1 s if 0
	Lanes      Lanes                 // the second is the agent's report on itself
	Clock      *Clock                // stamps samples; one of its own if nil
	Version    string                // of this program, for plimsoll_agent_build_info
	Backlog    func() Backlog        // of spool and stream; not reported if nil
	Discovery  func() discover.Stats // not reported if nil
	Settings   func() Settings       // asked at every tick; nobody wants anything if nil
	Registerer prometheus.Registerer // for the agent's own metrics; none if nil
	Log        *slog.Logger          // none if nil
}

// Backlog is how the way from the spool to the collector does.
type Backlog struct {
	SpoolBytes     uint64 // on disk
	SpoolLimit     uint64 // bytes that the spool may take
	Dropped        uint64 // batches ever dropped because the spool was full
	Damaged        uint64 // batches ever found damaged on disk
	Unacknowledged uint64 // batches on disk that no collector has confirmed
	WaitingBytes   uint64 // what these take
	Resent         uint64 // batches ever sent once more because a collector had lost them
}

// Settings are what the collector wants of this agent, as far as it is in force.
type Settings struct {
	Version  uint64 // 0 if there are none
	Slowdown uint64 // tick at every so many intervals; 0 stands for 1
	Refused  uint64 // parts of settings ever refused
}

// Agent samples its sources at every tick.
type Agent struct {
	opts    Options
	clock   *Clock
	sources []*watched
	metrics *metrics
	quiet   quiet

	batch sample.Batch
	ticks uint64    // done so far
	last  time.Time // when the last batch was stamped
}

// New completes opts and complains of what is missing. It starts nothing.
func New(opts Options) (*Agent, error) {
	if len(opts.Sources) == 0 || opts.Spool == nil || opts.Stream == nil {
		return nil, errors.New("an agent needs sources, a spool and a stream")
	}
	opts.Interval = cmp.Or(opts.Interval, time.Second)
	if opts.Interval < 10*time.Millisecond || opts.Interval%time.Millisecond != 0 {
		return nil, fmt.Errorf("interval %s: allowed are whole milliseconds from 10ms up", opts.Interval)
	}
	if err := opts.Lanes.Valid(); err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = NewClock()
	}
	if opts.Settings == nil {
		opts.Settings = func() Settings { return Settings{} }
	}
	a := &Agent{opts: opts, clock: opts.Clock, quiet: quiet{every: 10 * time.Minute}}
	for _, s := range opts.Sources {
		if s.Name() == selfName || slices.ContainsFunc(a.sources, func(w *watched) bool { return w.Name() == s.Name() }) {
			return nil, fmt.Errorf("two sources are called %q", s.Name())
		}
		a.sources = append(a.sources, &watched{Source: s})
	}
	a.metrics = newMetrics(opts, a.sources)
	self := &watched{Source: newSelfSource(a.metrics, opts.Lanes)}
	a.sources = append(a.sources, self)
	if opts.Registerer != nil {
		if err := opts.Registerer.Register(a.metrics); err != nil {
			return nil, fmt.Errorf("register the agent's metrics: %w", err)
		}
	}
	return a, nil
}

// Run samples and streams until ctx ends. The spool stands between the two, so
// that neither waits for the other.
func (a *Agent) Run(ctx context.Context) error {
	defer a.close()
	return lifecycle.Run(ctx, append([]lifecycle.Loop{
		{Name: "sample", Run: a.sample},
		{Name: "stream", Run: a.opts.Stream},
	}, a.opts.Loops...)...)
}

func (a *Agent) close() {
	for _, s := range a.sources {
		c, ok := s.Source.(io.Closer)
		if !ok {
			continue
		}
		if err := c.Close(); err != nil {
			a.opts.Log.Warn("source not closed", "source", s.Name(), "err", err)
		}
	}
}
