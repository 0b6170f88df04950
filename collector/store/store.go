// Package store keeps the samples of all nodes: it owns the embedded Prometheus
// TSDB from open to close.
//
// Its promise: what was committed before a successful Sync survives kill -9,
// power loss and a disk that fills or fails; damage costs the damaged part and
// nothing else, and is said once, with its place, its time range and where it
// lies now. A full disk ends nothing: ingest is refused before it comes to that,
// and queries are answered throughout.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// Options say where samples are kept, and for how long.
type Options struct {
	// Dir is made if it is not there. One process at a time may have it open.
	Dir string
	// RetentionTime is how long samples are kept; 0 means 15 days.
	RetentionTime time.Duration
	// RetentionBytes bounds the blocks on disk and the logs together, by
	// deleting the oldest blocks; 0 means 80 % of the file system.
	RetentionBytes int64
	// MinFree stays free on the file system: below it Refuse says so. By
	// default a tenth of it, 1 GiB at most. With many series more may be kept
	// free, so that what is in memory can be written out.
	MinFree Space
	// Ballast is the size of a file that is given back when the disk is full,
	// so that what is under way can end. By default a hundredth of the file
	// system, 64 MiB at most.
	Ballast Space
	// HoldBack tells whether a block must not be merged with others yet because
	// it is still to be copied elsewhere; nil for never. It is asked for each
	// block before blocks are merged, and delays no deletion.
	HoldBack func(*tsdb.BlockMeta) bool
	Log      *slog.Logger
	// Registerer takes the metrics of the TSDB (prometheus_tsdb_…) and of the
	// store (plimsoll_store_…).
	Registerer prometheus.Registerer
}

// Store is an open data directory. All methods may be called concurrently,
// except Close, which must come last.
type Store struct {
	dir     string
	log     *slog.Logger
	owner   *owner
	guard   *guard
	metrics *metrics
	renewal chan struct{}   // full while the store is opened anew
	sound   map[string]bool // blocks that have been checked, for whoever opens it
	found   time.Time       // when the newest sample is from that Open found

	stop     context.CancelFunc // of the goroutine that guards
	watching sync.WaitGroup

	mu     sync.Mutex
	opts   Options
	life   *life         // nil while nothing is open
	why    error         // why that is so, or why it is only a shadow
	lives  uint64        // so far
	last   ending        // of the life before this one
	gate   chan struct{} // closed once the next life has begun; nil while none is awaited
	losses []Loss
	bad    map[badChunk]struct{}
}

// Open checks the directory, puts what is damaged into its subdirectory
// quarantine, and opens the rest. Compaction and retention start with it, in
// goroutines that Close waits for. It takes seconds where there is much data;
// ctx ends the check, not what is opened.
//
// Where the disk has no room for that, what is there is opened from memory:
// queries are answered, Refuse says why nothing is taken, and once there is room
// the store opens itself anew.
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
	s := &Store{
		dir: dir, log: opts.Log, opts: opts, bad: map[badChunk]struct{}{}, sound: map[string]bool{}, why: errRenewed,
		renewal: make(chan struct{}, 1), metrics: newMetrics(),
	}
	if s.owner, err = claim(dir); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.owner.abandon())
		}
	}()
	if s.owner.unclean {
		s.last = byKill
	}
	if s.guard, err = newGuard(dir, opts.MinFree, opts.Ballast, s.need, s.log); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.begins(ctx); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.register(opts.Registerer); err != nil {
		return nil, errors.Join(err, s.end())
	}
	s.found = s.newest()
	guarding, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.watching.Go(func() { s.guard.run(guarding, s.mend) })
	return s, nil
}

// Close stops the background work, writes everything out and marks the
// directory as cleanly left. No querier or appender may be open any more.
func (s *Store) Close() error {
	s.stop()
	s.watching.Wait()
	s.unregister()
	l, _ := s.current()
	clean := l != nil && !l.shadow && l.lost() == nil
	if err := s.end(); err != nil || !clean {
		return errors.Join(err, s.owner.abandon())
	}
	return s.owner.release()
}

// end ends this life for good.
func (s *Store) end() error {
	s.mu.Lock()
	l := s.life
	s.life, s.why = nil, errors.New("the store is closed")
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	if err := s.guard.has(l.need().chunks); err != nil { // this gives back the ballast
		s.log.Warn("the disk is full; what is in memory is read from the log at the next start", "err", err)
	}
	if err := l.close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Refuse says why no more samples should be taken from agents for now, for the
// operator to read, or nil: the disk is filling, does not answer, or the store is
// not open for writing. It is cheap, and changes within a second. The collector's
// own few series are still stored until the disk is all but full.
//
// That a write has failed is not among the reasons, for it does not pass: whoever
// appends sees it, and is to call Reopen.
func (s *Store) Refuse() error {
	if _, err := s.refusal(); err != nil {
		return err
	}
	return s.guard.refuse()
}

// Ready is nil while the store answers queries and takes samples, else what is
// wrong. Queries are mostly answered even so.
func (s *Store) Ready() error {
	l, err := s.refusal()
	if err == nil {
		err = l.failure()
	}
	if err != nil {
		return err
	}
	return s.guard.refuse()
}

// UncleanStop tells whether the process that had the directory before ended
// without Close, or whether that cannot be known.
func (s *Store) UncleanStop() bool { return s.owner.unclean }

// Found is when the newest sample is from that was there at Open: from then on
// nobody has stored anything until now. It is zero if there was none, or if the
// disk had no room to open it.
func (s *Store) Found() time.Time { return s.found }

func (s *Store) newest() time.Time {
	l, err := s.current()
	if err != nil || l == nil || l.shadow {
		return time.Time{}
	}
	newest := int64(math.MinInt64)
	if head := l.db.Head(); head.NumSeries() > 0 {
		newest = head.MaxTime()
	}
	for _, b := range l.db.Blocks() {
		newest = max(newest, b.MaxTime()-1)
	}
	if newest == math.MinInt64 {
		return time.Time{}
	}
	return time.UnixMilli(newest)
}

// Losses are what had to be set aside so far, since Open.
func (s *Store) Losses() []Loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.losses[:len(s.losses):len(s.losses)]
	if s.life != nil && s.life.shadow {
		all = append(all, s.life.losses...) // the next life finds them again, and keeps them
	}
	return all
}

// Dir is the data directory, absolute.
func (s *Store) Dir() string { return s.dir }

// Sync returns once everything committed before the call is on stable storage.
// Callers share the work: many at a time cost one flush. After a failure, of a
// flush or of a write, every later Sync fails too, until the store is opened
// anew: the kernel may have dropped what it could not write, and the TSDB throws
// away what follows a write that failed.
func (s *Store) Sync(ctx context.Context) error {
	l, err := s.current()
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return l.sync.wait(ctx)
}

// HeadSeries is the number of series in memory. It is cheap.
func (s *Store) HeadSeries() uint64 {
	l, err := s.current()
	if err != nil {
		return 0
	}
	return l.db.Head().NumSeries()
}

// ExemplarQuerier finds nothing: exemplars are not kept.
func (s *Store) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	l, err := s.current()
	if err != nil {
		return nil, err
	}
	return l.db.ExemplarQuerier(ctx)
}

// BlockMetas describe the blocks on disk.
func (s *Store) BlockMetas() ([]tsdb.BlockMeta, error) {
	l, err := s.current()
	if err != nil {
		return nil, err
	}
	return l.db.BlockMetas(), nil
}

// Stats describe the series in memory, the limit largest of each kind, counted
// by the given label. It walks all of them.
func (s *Store) Stats(label string, limit int) (*tsdb.Stats, error) {
	l, err := s.current()
	if err != nil {
		return nil, err
	}
	return l.db.Head().Stats(label, limit), nil
}

// WALReplayStatus tells how far the log had been read when the store opened.
func (s *Store) WALReplayStatus() (tsdb.WALReplayStatus, error) {
	l, err := s.current()
	if err != nil {
		return tsdb.WALReplayStatus{}, err
	}
	return l.replay.Head.WALReplayStatus.GetWALReplayStatus(), nil
}

// Lives counts how often the store was opened, which grows when it is opened
// anew. What was committed in one life may be missing in the next, however a Sync
// ends that was called later.
func (s *Store) Lives() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lives
}

// Snapshot makes a copy in a directory that is not there yet or empty: of blocks
// by hard links, so it must be on the same file system, and with the head also of
// what is in memory, as blocks. For that, late samples become a block of the
// store itself.
func (s *Store) Snapshot(dir string, withHead bool) error {
	l, err := s.writable()
	if err != nil {
		return err
	}
	defer l.leave()
	if withHead {
		if err := l.packLate(); err != nil {
			return err
		}
	}
	return l.careful("snapshot", func() error { return l.db.Snapshot(dir, withHead) })
}

// Delete hides the samples between two times, in ms since the Unix epoch, of the
// series that all matchers match. CleanTombstones gives their space back.
func (s *Store) Delete(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) error {
	l, err := s.writable()
	if err != nil {
		return err
	}
	defer l.leave()
	return l.db.Delete(ctx, mint, maxt, ms...)
}

// CleanTombstones writes each block anew of which something has been deleted.
func (s *Store) CleanTombstones() error {
	l, err := s.writable()
	if err != nil {
		return err
	}
	defer l.leave()
	return l.db.CleanTombstones()
}

var (
	_ storage.SampleAndChunkQueryable = (*Store)(nil)
	_ storage.Appendable              = (*Store)(nil)
	_ storage.AppendableV2            = (*Store)(nil)
	_ storage.ExemplarQueryable       = (*Store)(nil)
)
