package store

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

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
)

// life is one life of the TSDB, from open to close. A Store has several when it
// is opened anew.
type life struct {
	number uint64 // 0 for the first
	dir    string
	shadow bool // dir is a shadow of the data directory, in memory
	db     *tsdb.DB
	own    *prometheus.Registry // of the TSDB: some of its metrics outlive it and would be in the way of the next
	replay *tsdb.DBStats
	sync   *syncer
	losses []Loss // that were found when it began
	log    *slog.Logger
	room   func(bytes int64) error // what is lacking to write so much

	writesFailed []prometheus.Collector // of its logs
	wedged       atomic.Bool            // a panic has left its locks behind

	failed atomic.Pointer[failure]
	mu     sync.Mutex
	users  int
	idle   chan struct{} // closed once users is 0; nil if nobody waits for it

	upkeep    sync.WaitGroup
	endUpkeep context.CancelFunc
	look      atomic.Bool // for blocks that have come or are to go

	packed   atomic.Int64 // bytes of the packed chunks
	packedAt atomic.Int64 // when that was read, in ns since the Unix epoch
}

// failure is why what is stored from now on may be lost.
type failure struct {
	why error
	at  time.Time
}

// fail says that nothing may be stored any more. The first reason stays.
func (l *life) fail(err error) { l.failed.CompareAndSwap(nil, &failure{err, time.Now()}) }

// failure is why nothing may be stored any more, or nil.
func (l *life) failure() error {
	if f := l.failed.Load(); f != nil {
		return fmt.Errorf("the store has failed and takes nothing until it is opened anew: %w", f.why)
	}
	return nil
}

// neglected tells whether it has failed and those who append have had the time to
// notice, and to have it opened anew.
func (l *life) neglected() bool {
	f := l.failed.Load()
	return f != nil && time.Since(f.at) > patience
}

// lost is failure, but also sees what the TSDB tells nobody: that the log of
// late samples could not be written.
func (l *life) lost() error {
	for _, c := range l.writesFailed {
		if counted(c) > 0 {
			l.fail(errors.New("a log could not be written"))
		}
	}
	return l.failure()
}

func (l *life) enter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users++
}

func (l *life) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users--
	if l.users == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

func (l *life) inUse() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.users
}

// left returns once nobody uses it any more. Nobody may enter meanwhile.
func (l *life) left(ctx context.Context) error {
	l.mu.Lock()
	if l.users == 0 {
		l.mu.Unlock()
		return nil
	}
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle, users := l.idle, l.users
	l.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d queries or transactions have not ended: %w", users, ctx.Err())
	}
}

// patienceWithPanic is how long a TSDB may take to close that may never do so.
const patienceWithPanic = 10 * time.Second

// close ends it. The TSDB panics if it cannot write what is in memory, which
// does no harm: the log has it all. It is left as it is then, with its files
// open.
func (l *life) close() error {
	l.endUpkeep()
	l.upkeep.Wait()
	l.sync.stop()

	done := make(chan error, 1)
	go func() { done <- shielded(l.db.Close) }()
	var tooLong <-chan time.Time
	if l.wedged.Load() {
		tooLong = time.After(patienceWithPanic)
	}
	var err error
	select {
	case err = <-done:
	case <-tooLong:
		err = errors.New("it hangs after a panic")
	}
	if l.shadow {
		err = errors.Join(err, os.RemoveAll(filepath.Dir(l.dir)))
	}
	return err
}

// shielded turns a panic into an error.
func shielded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// What the TSDB writes by itself: each minute it packs the chunks that are full,
// of which a busy series has one half a minute, some 130 bytes; the first takes
// a file of 128 KiB, preallocated. A block holds what is packed, and about as
// much as this to find each series again.
const (
	needAtLeast        = 1 << 20
	needPerSeries      = 256
	needIndexPerSeries = 512
	packedEvery        = 10 * time.Second
)

// need is what the TSDB may write.
func (l *life) need() need {
	now := time.Now().UnixNano()
	if at := l.packedAt.Load(); now-at > int64(packedEvery) && l.packedAt.CompareAndSwap(at, now) {
		l.packed.Store(size(filepath.Join(l.dir, headChunksDir)))
	}
	series := int64(l.db.Head().NumSeries())
	return need{chunks: needAtLeast + needPerSeries*series, block: l.packed.Load() + needIndexPerSeries*series}
}

// mayWrite says why the TSDB must not write so many bytes, or nil.
func (l *life) mayWrite(bytes int64) error {
	if l.shadow {
		return errors.New("nothing is to be written")
	}
	if err := l.lost(); err != nil {
		return err
	}
	if err := l.room(bytes); err != nil {
		return err
	}
	if err := probe(filepath.Join(l.dir, headChunksDir)); err != nil {
		if !lacksRoom(err) {
			l.fail(err)
		}
		return err
	}
	return nil
}
