package rollup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// Raw is the store that rollups are made of.
type Raw interface {
	storage.SampleAndChunkQueryable
	// BlockMetas tell from when on there are samples.
	BlockMetas() ([]tsdb.BlockMeta, error)
}

// Options say what is rolled up, where to, and for how long it is kept.
type Options struct {
	// Dir is made if it is not there. It must belong to nothing else; the owner
	// of Raw's directory keeps other processes away.
	Dir string
	Raw Raw
	// Retention is how long rollups are kept; 0 means 400 days.
	Retention time.Duration
	// RetentionBytes bounds the rollups on disk; 0 means 10 % of the file system.
	RetentionBytes int64
	// OutOfOrder is how late a sample may come to Raw; 0 means 24 hours. What is
	// younger is not rolled up.
	OutOfOrder time.Duration
	// Share is how much of one core rolling up may take on average, above 0 and
	// up to 1; 0 means 0.5. The slice that is under way may exceed it by 20 ms.
	Share float64
	// Hold says why nothing should be written for now, say because the disk is
	// filling or Raw is not complete; nil for never. It is asked often.
	Hold func() error
	// Types are the types of metrics by their names, as Prometheus spells them,
	// as far as they are known. It is asked once per slice; nil if nothing is.
	Types func() map[string]string
	Log   *slog.Logger
	// Registerer takes plimsoll_rollup_… .
	Registerer prometheus.Registerer
}

const (
	defaultRetention = 400 * 24 * time.Hour
	retentionPercent = 10
	defaultLate      = 24 * time.Hour
	// slack is what a sample may take to be stored at all.
	slack = time.Hour
	// Slice is what is rolled up at a time, and the shortest block.
	Slice        = 6 * time.Hour
	slice        = int64(Slice / time.Millisecond)
	longestBlock = 31 * 24 * time.Hour
	// reloadEvery is how soon a block that was written is seen by queries.
	reloadEvery = 10 * time.Second
	quarantine  = "quarantine"
)

// Store is an open directory of rollups. All methods may be called
// concurrently, except Close, which must come last.
type Store struct {
	opts    Options
	db      *tsdb.DB
	metrics *metrics
	lost    int         // blocks that could not be read
	whole   atomic.Bool // no slice lacks rollups that it can have

	mu sync.Mutex
	// empty are slices in which there is nothing, written those of this process
	// that the TSDB may not have seen yet; both by their begin in ms.
	empty, written map[int64]bool
}

// Open opens the directory. A block that cannot be read is moved into its
// subdirectory quarantine and, as far as the samples are still there, made anew.
func Open(opts Options) (*Store, error) {
	if opts.Dir == "" || opts.Raw == nil {
		return nil, errors.New("open rollups: a directory and a store to make them of are needed")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	or(&opts.Retention, defaultRetention)
	or(&opts.OutOfOrder, defaultLate)
	or(&opts.Share, 0.5)
	if opts.Share < 0 || opts.Share > 1 {
		return nil, fmt.Errorf("open rollups: a share of %v of a core is not between 0 and 1", opts.Share)
	}
	if opts.Retention < 2*Slice {
		return nil, fmt.Errorf("open rollups: a retention of %v is less than two slices of %v", opts.Retention, Slice)
	}
	s := &Store{opts: opts, empty: map[int64]bool{}, written: map[int64]bool{}}
	var err error
	if s.lost, err = setAsideDamaged(opts.Dir, opts.Log); err != nil {
		return nil, fmt.Errorf("open rollups: check %s: %w", opts.Dir, err)
	}
	o := tsdbOptions(opts)
	o.NewCompactorFunc = s.newCompactor
	s.db, err = tsdb.Open(opts.Dir, quiet(opts.Log), nil, o, nil)
	if err != nil {
		return nil, fmt.Errorf("open rollups: directory %s: %w; what is in it can be moved away: "+
			"the rollups of the time that the main store still has are made anew", opts.Dir, err)
	}
	if s.metrics, err = s.register(opts.Registerer); err != nil {
		return nil, errors.Join(fmt.Errorf("open rollups: %w", err), s.db.Close())
	}
	return s, nil
}

func or[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

// tsdbOptions make a TSDB that only compacts and forgets: blocks are written
// beside it, so that it needs neither a log nor anything in memory.
func tsdbOptions(opts Options) *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.WALSegmentSize = -1
	o.RetentionDuration = opts.Retention.Milliseconds()
	o.MaxBytes = opts.RetentionBytes
	if opts.RetentionBytes <= 0 {
		o.MaxBytes, o.MaxPercentage = 0, retentionPercent
	}
	o.MinBlockDuration = slice
	o.MaxBlockDuration = max(slice, min(opts.Retention/10, longestBlock).Milliseconds())
	o.BlockReloadInterval = reloadEvery
	o.NoLockfile = true
	return o
}

// quiet is the TSDB's log: what it calls info is of no interest here.
func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(warnings{log.With("component", "tsdb").Handler()})
}

// setAsideDamaged moves blocks away that cannot be opened, over which the TSDB
// would refuse to open at all.
func setAsideDamaged(dir string, log *slog.Logger) (lost int, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if _, err := ulid.ParseStrict(e.Name()); err != nil || !e.IsDir() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		b, err := tsdb.OpenBlock(nil, path, nil, nil)
		if err == nil {
			if err = b.Close(); err != nil {
				return lost, err
			}
			continue
		}
		kept := filepath.Join(dir, quarantine, e.Name())
		if err := os.MkdirAll(filepath.Dir(kept), 0o750); err != nil {
			return lost, err
		}
		if err := os.Rename(path, kept); err != nil {
			return lost, err
		}
		log.Warn("damaged rollups set aside, the rest is in use", "block", e.Name(), "err", err, "kept_in", kept)
		lost++
	}
	return lost, nil
}

// Close ends compaction. Run must have returned, and no query be under way.
func (s *Store) Close() error {
	s.metrics.unregister()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close rollups: %w", err)
	}
	return nil
}

// Snapshot links the blocks into a directory. withHead is of no meaning here.
func (s *Store) Snapshot(dir string, _ bool) error { return s.db.Snapshot(dir, false) }

// Delete hides the rollups between two times, in ms since the Unix epoch, of the
// series that all matchers match. It does not delete in Raw, and what is deleted
// there alone stays here.
func (s *Store) Delete(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) error {
	return s.db.Delete(ctx, mint, maxt, ms...)
}

// CleanTombstones gives the space back of what was deleted.
func (s *Store) CleanTombstones() error { return s.db.CleanTombstones() }

// warnings leaves out what is below a warning.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
