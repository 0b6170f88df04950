package forward

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/collector/forward/spool"
)

// endpoint sends to one target what its reader reads.
type endpoint struct {
	name   string
	config *config.RemoteWriteConfig
	client *client
	reader *spool.Reader
	ledger *ledger
	log    *slog.Logger
	maxAge time.Duration // on the way
	grace  time.Duration // for requests on their way when it ends

	gatherer  gatherer
	pacer     pacer
	encoders  []*encoder   // one for each shard
	dividing  atomic.Bool  // of refused batches is worth while
	complaint atomic.Int64 // when it was last told of refusals, in ms
	troubled  atomic.Bool  // a request of this round had to be sent again
	described time.Time    // metadata was sent
}

func newEndpoint(f *Forwarder, cfg Config, c *config.RemoteWriteConfig) (*endpoint, error) {
	name := endpointName(c)
	cl, err := newClient(name, f.opts.Version, c)
	if err != nil {
		return nil, err
	}
	q := c.QueueConfig
	e := &endpoint{
		name: name, config: c, client: cl, reader: f.spool.Reader(name), ledger: f.ledgers[name],
		log: f.opts.Log.With("endpoint", name), maxAge: f.opts.MaxAge, grace: f.opts.Grace,
		pacer: pacer{least: max(time.Millisecond, time.Duration(q.MinBackoff)), most: max(time.Millisecond, time.Duration(q.MaxBackoff))},
	}
	e.gatherer = gatherer{
		reader: e.reader, external: cfg.ExternalLabels, relabel: c.WriteRelabelConfigs, patience: time.Duration(q.BatchSendDeadline),
		builder: labels.NewBuilder(labels.EmptyLabels()), metrics: map[string]Metric{},
	}
	if c.MetadataConfig.Send {
		e.gatherer.metadata = f.opts.Metadata
	}
	e.dividing.Store(true)
	return e, nil
}

// run sends round after round until ctx ends. What is on its way then has its
// grace; what is not done by then is read again next time.
func (e *endpoint) run(ctx context.Context) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(e.grace, cancel) })
	defer stop()
	defer e.client.close()
	defer e.reader.Rewind()
	defer e.ledger.with(func(l *ledger) { l.waiting, l.shards = time.Time{}, 0 })

	q := e.config.QueueConfig
	shards := q.MinShards
	for {
		e.ledger.with(func(l *ledger) { l.shards = shards })
		r, err := e.gatherer.next(ctx, shards*q.MaxSamplesPerSend, func(arrived int64) {
			e.ledger.with(func(l *ledger) { l.waiting = time.UnixMilli(arrived) })
		})
		if ctx.Err() != nil || errors.Is(err, spool.ErrClosed) {
			return
		}
		if err != nil { // the disk does not let us read
			e.log.Error("the forward spool cannot be read; see to its disk", "err", err)
			e.pacer.failed(time.Second)
			e.pacer.wait(ctx)
			e.startOver()
			continue
		}
		e.troubled.Store(false)
		if !e.deal(ctx, hard, r, shards) {
			return
		}
		e.describe(ctx, hard)
		shards = e.next(shards)
	}
}

func (e *endpoint) startOver() {
	e.reader.Rewind()
	e.gatherer.record, e.gatherer.segment = nil, 0
}

// next is how many requests at a time the next round has: more while there is a
// backlog and nothing goes wrong, less after trouble.
func (e *endpoint) next(shards int) int {
	q := e.config.QueueConfig
	switch {
	case e.troubled.Load():
		return max(q.MinShards, shards/2)
	case e.reader.Pending() > uint64(shards*q.MaxSamplesPerSend):
		return min(q.MaxShards, shards*2)
	}
	return max(q.MinShards, shards-1)
}

// deal sends a round and notes that it is done with. It returns false if ctx
// ended before that.
func (e *endpoint) deal(ctx, hard context.Context, r *round, shards int) bool {
	var wait sync.WaitGroup
	var undone atomic.Bool
	for i, list := range divide(r.series, shards, e.config.QueueConfig.MaxSamplesPerSend, r.arrived) {
		if len(list) == 0 {
			continue
		}
		for len(e.encoders) <= i {
			e.encoders = append(e.encoders, newEncoder(version2(e.config)))
		}
		s := sender{endpoint: e, encoder: e.encoders[i], ctx: ctx, hard: hard}
		wait.Go(func() {
			for _, b := range list {
				if !s.deliver(b) {
					undone.Store(true)
					return
				}
			}
		})
	}
	wait.Wait()
	r.done()
	if undone.Load() {
		return false
	}
	e.ledger.drop(string(spool.Damaged), r.damaged)
	e.ledger.with(func(l *ledger) {
		l.filtered += uint64(r.filtered)
		l.waiting = time.Time{}
	})
	if r.damaged > 0 {
		e.log.Warn("samples were damaged in the forward spool; check the disk", "samples", r.damaged)
	}
	e.reader.Commit(r.end)
	return true
}

// describe sends what is known of metrics to a target of version 1, once in a
// while. It is not missed if it fails.
func (e *endpoint) describe(ctx, hard context.Context) {
	m := e.config.MetadataConfig
	if !m.Send || version2(e.config) || len(e.gatherer.metrics) == 0 ||
		time.Since(e.described) < time.Duration(m.SendInterval) || ctx.Err() != nil {
		return
	}
	e.described = time.Now()
	enc := newEncoder(version2(e.config))
	names := slices.Sorted(maps.Keys(e.gatherer.metrics))
	for chunk := range slices.Chunk(names, max(1, m.MaxSamplesPerSend)) {
		some := make(map[string]Metric, len(chunk))
		for _, name := range chunk {
			some[name] = e.gatherer.metrics[name]
		}
		body, err := enc.encodeMetadata(some)
		if err == nil {
			err = e.client.send(hard, body, 0).err
		}
		if err != nil {
			e.log.Debug("metadata not sent", "err", err)
			return
		}
	}
}
