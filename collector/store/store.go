// Package store keeps the samples of all nodes: it owns the embedded Prometheus
// TSDB from open to close.
//
// Its promise: what was committed before a successful Sync survives kill -9 and
// power loss; damage found at opening costs the damaged part and nothing else,
// and is said once, with its place, its time range and where it lies now.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
)

// Options say where samples are kept, and for how long.
type Options struct {
	// Dir is made if it is not there. One process at a time may have it open.
	Dir string
	// RetentionTime is how long samples are kept; 0 means 15 days.
	RetentionTime time.Duration
	// RetentionBytes bounds the blocks on disk, the write-ahead log not
	// counted; 0 means 80 % of the file system.
	RetentionBytes int64
	Log            *slog.Logger
	// Registerer takes the metrics of the TSDB (prometheus_tsdb_…) and of the
	// store (plimsoll_store_…).
	Registerer prometheus.Registerer
}

const (
	defaultRetention = 15 * 24 * time.Hour
	// outOfOrder is how far behind the newest sample of its series a sample may
	// come: what an agent had to keep during an outage.
	outOfOrder       = 24 * time.Hour
	retentionPercent = 80
	// Once this share of the series in memory has ended, they are written out
	// early; otherwise containers that are long gone would fill the memory for
	// up to three hours.
	staleShare = 0.3
)

// Store is an open data directory. All methods may be called concurrently,
// except Close, which must come last.
type Store struct {
	dir    string
	log    *slog.Logger
	db     *tsdb.DB
	replay *tsdb.DBStats
	owner  *owner
	sync   *syncer
	losses []Loss

	registerer prometheus.Registerer // nil, or where registered went
	registered []prometheus.Collector
}

// Open checks the directory, puts what is damaged into its subdirectory
// quarantine, and opens the rest. Compaction and retention start with it, in
// goroutines that Close waits for. It takes seconds where there is much data;
// ctx ends the check, not what is opened.
func Open(ctx context.Context, opts Options) (_ *Store, err error) {
	if opts.Dir == "" {
		return nil, errors.New("open store: no data directory given")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("open store: data directory: %w", err)
	}
	s := &Store{dir: dir, log: opts.Log}
	if s.owner, err = claim(dir); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.owner.abandon())
		}
	}()
	if s.losses, err = check(ctx, dir); err != nil {
		return nil, fmt.Errorf("open store: check %s: %w", dir, err)
	}
	own, err := s.openRepaired(opts)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.sync = newSyncer(dir)
	s.tell()
	if err := s.register(opts.Registerer, own); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// openRepaired opens the TSDB. Where its log is corrupt, the TSDB cuts it off
// there and then leaves the out-of-order log unread until the next start;
// so it is opened once more.
func (s *Store) openRepaired(opts Options) (*prometheus.Registry, error) {
	for try := 1; ; try++ {
		before, err := remember(s.dir)
		if err != nil {
			return nil, err
		}
		own := prometheus.NewRegistry()
		s.replay = tsdb.NewDBStats()
		log := newQuiet(s.log)
		s.db, err = tsdb.Open(s.dir, slog.New(log), own, tsdbOptions(opts), s.replay)
		if err != nil {
			return nil, fmt.Errorf("data directory %s: %w; "+
				"if another program such as Prometheus has it open, stop that one; otherwise move the part it names away and start again", s.dir, err)
		}
		log.opened()
		cut, err := before.compare()
		if err != nil {
			return nil, errors.Join(err, s.db.Close())
		}
		s.losses = append(s.losses, cut...)
		if len(cut) == 0 || try == 3 {
			return own, nil
		}
		if err := errors.Join(s.db.Close(), dropHeadChunks(s.dir)); err != nil {
			return nil, fmt.Errorf("close after repair: %w", err)
		}
	}
}

// tsdbOptions spells out what differs from the library's defaults, which suit
// its tests better than a server.
func tsdbOptions(opts Options) *tsdb.Options {
	o := tsdb.DefaultOptions()
	retention := opts.RetentionTime
	if retention <= 0 {
		retention = defaultRetention
	}
	o.RetentionDuration = retention.Milliseconds()
	o.MaxBytes = opts.RetentionBytes
	if opts.RetentionBytes <= 0 {
		o.MaxBytes, o.MaxPercentage = 0, retentionPercent
	}
	// A tenth of the retention per block, as Prometheus does: large enough for
	// queries, small enough that deleting the oldest does not come in jumps.
	o.MaxBlockDuration = max(o.MinBlockDuration, min(retention/10, 31*24*time.Hour).Milliseconds())
	o.OutOfOrderTimeWindow = outOfOrder.Milliseconds()
	o.WALCompression = compression.Snappy
	o.StaleSeriesCompactionThreshold = staleShare
	return o
}

// tell logs each loss once.
func (s *Store) tell() {
	for _, l := range s.losses {
		log := s.log
		if !l.From.IsZero() {
			log = log.With("from", l.From.UTC(), "to", l.To.UTC())
		}
		log.Warn("damaged data set aside, the rest is in use", "what", l.What, "err", l.Why, "bytes", l.Bytes, "kept_in", l.Kept)
	}
}

// Close stops the background work, writes everything out and marks the
// directory as cleanly left. No querier or appender may be open any more.
func (s *Store) Close() error {
	s.sync.stop()
	s.unregister()
	if err := s.db.Close(); err != nil {
		return errors.Join(fmt.Errorf("close store: %w", err), s.owner.abandon())
	}
	return s.owner.release()
}

// UncleanStop tells whether the process that had the directory before ended
// without Close, or whether that cannot be known.
func (s *Store) UncleanStop() bool { return s.owner.unclean }

// Losses are what Open had to set aside.
func (s *Store) Losses() []Loss { return s.losses }

// Dir is the data directory, absolute.
func (s *Store) Dir() string { return s.dir }

// Sync returns once everything committed before the call is on stable storage.
// Callers share the work: many at a time cost one flush. After a failure the
// kernel may have dropped what it could not write, so every later Sync fails
// too, until the store is opened anew.
func (s *Store) Sync(ctx context.Context) error { return s.sync.wait(ctx) }

// AppenderV2 starts a transaction. At most one goroutine may append to a
// series: of two samples at a time, Commit drops one without a word.
func (s *Store) AppenderV2(ctx context.Context) storage.AppenderV2 { return s.db.AppenderV2(ctx) }

// Appender starts a transaction for those who still speak the first version of
// the interface, as the rule manager does.
func (s *Store) Appender(ctx context.Context) storage.Appender { return s.db.Appender(ctx) }

// Querier reads samples between two times, in ms since the Unix epoch.
func (s *Store) Querier(mint, maxt int64) (storage.Querier, error) { return s.db.Querier(mint, maxt) }

// ChunkQuerier is Querier for those who want whole chunks.
func (s *Store) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	return s.db.ChunkQuerier(mint, maxt)
}

// ExemplarQuerier finds nothing: exemplars are not kept.
func (s *Store) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	return s.db.ExemplarQuerier(ctx)
}

// BlockMetas describe the blocks on disk.
func (s *Store) BlockMetas() ([]tsdb.BlockMeta, error) { return s.db.BlockMetas(), nil }

// Stats describe the series in memory, the limit largest of each kind, counted
// by the given label. It walks all of them.
func (s *Store) Stats(label string, limit int) (*tsdb.Stats, error) {
	return s.db.Head().Stats(label, limit), nil
}

// WALReplayStatus tells how far the log had been read when the store opened.
func (s *Store) WALReplayStatus() (tsdb.WALReplayStatus, error) {
	return s.replay.Head.WALReplayStatus.GetWALReplayStatus(), nil
}

var (
	_ storage.SampleAndChunkQueryable = (*Store)(nil)
	_ storage.Appendable              = (*Store)(nil)
	_ storage.AppendableV2            = (*Store)(nil)
	_ storage.ExemplarQueryable       = (*Store)(nil)
)
