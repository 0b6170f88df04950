// Package exit tells what containers had used when they ended, however short
// they lived. What a container has used is gone with its cgroup some
// milliseconds after its last process, so there is one chance to read it:
//
//	discovery ─ Appeared ┐
//	pidfd of a member ───┼─ reader ─ endings ─ clerk ─ Records
//	inotify of the group ┘    └─ Final, Kills    └─ names, exit codes: Containers, Told
//
// The reader is a thread of its own, with priority where that is allowed, that
// waits for the last process of each container. The clerk waits for what the
// engine has to say, five seconds at most.
//
// It promises two things. A number that could not be read is absent, never 0,
// and a record of which the last reading came too late says so. And it stays
// within bounds: so many containers, records and requests, and what finds no
// room is counted.
package exit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// Options say where to look and whom to ask. Containers is needed.
type Options struct {
	CgroupRoot string // where cgroups are mounted; "/sys/fs/cgroup" if empty
	Sysfs      string // for the names of devices; "/sys" if empty

	// Containers are those there are now, and a number that grows when they
	// change.
	Containers func() (version uint64, list []discover.Container)
	// Told takes what the engine told of ends since it was last called; nil if
	// there is no engine.
	Told func() []Told
	// OOMs takes the ids of containers in which the kernel killed for want of
	// memory, as the engine told since it was last called, once or more often
	// each. Nil if there is no engine.
	OOMs func() []string

	Priority Priority // the highest to ask for
	Log      *slog.Logger
}

// Told is what an engine tells of the end of a container. A container that
// lives for a moment may be forgotten as soon as it is known, so that the best
// time to say what it was is with its end.
type Told = discover.Exit

// Record is one life of a container, from start to end. A restart begins
// another.
type Record struct {
	Life      uint64 // tells lives apart; the later a life was noticed, the greater
	Container discover.Container
	Seen      time.Time // when it was noticed
	Ended     time.Time // when its end was

	CPU       cgroup.CPU
	PeakBytes cgroup.Opt[uint64] // of memory
	OOMKills  cgroup.Opt[uint64] // processes killed for want of memory
	// KilledBefore is how many of OOMKills were before it was noticed, where the
	// watcher came later than the container.
	KilledBefore uint64
	UsedBefore   cgroup.Nanoseconds // of the CPU time, likewise
	IO           []cgroup.DeviceIO  // by device, none where there is no account; not to be changed
	Code         cgroup.Opt[int]    // as of the shell: 128 and more is a signal

	// Complete tells that the group was read when its last process had ended.
	// Otherwise the numbers are those of the last reading before.
	Complete bool
}

// Kills is how many processes of a container that lives were killed for want of
// memory since it was noticed.
type Kills struct {
	Life   uint64
	Cgroup string
	N      uint64
}

// Stats are counts since the start, unless they say now.
type Stats struct {
	Followed   int    // now: containers whose end is waited for
	Unheard    int    // now: of those, without a process that could be watched
	Unfollowed uint64 // times that a container was one too many to be followed
	Missed     uint64 // containers that were gone before they could be read once, or never had a process
	Ends       uint64 // containers that were followed to their end
	Incomplete uint64 // of those, such as were read too late
	Nameless   uint64 // of those, such as never got the name that was waited for
	Dropped    uint64 // requests and ends for which there was no room

	Priority Priority      // now: of the thread that reads
	CPU      time.Duration // that the thread has used
}

// Bounds. A container that is followed costs a descriptor and two inotify watches
// at most.
const (
	maxFollowed = 4096
	maxRequests = 2 * maxFollowed
	maxEndings  = 1024 // between reader and clerk
	maxRecords  = 1024 // that can be asked for
	recordsFor  = 5 * time.Minute
	finalFor    = 30 * time.Second
)

// Watcher follows the containers of this node to their end while it runs. Its
// methods may be called at any time, from any goroutine, and do not wait.
type Watcher struct {
	opts     Options
	log      *slog.Logger
	requests requests     // to the reader
	endings  chan *Record // from the reader to the clerk

	mu      sync.Mutex
	finals  map[string]Record // by cgroup, as read
	order   []final           // of finals, oldest first
	kills   []Kills
	records []Record // the last of them, in the order of numbers
	last    uint64   // number of the last record
	stats   Stats
}

// final says when a final reading was made, so that it can be forgotten.
type final struct {
	cgroup string
	life   uint64
	at     time.Time
}

// New completes opts and complains of what is missing. It starts nothing.
func New(opts Options) (*Watcher, error) {
	if opts.Containers == nil {
		return nil, errors.New("a watcher of exits needs to be told of containers")
	}
	if opts.CgroupRoot == "" {
		opts.CgroupRoot = "/sys/fs/cgroup"
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{
		opts: opts, log: opts.Log,
		requests: requests{fd: -1},
		endings:  make(chan *Record, maxEndings),
		finals:   make(map[string]Record),
	}, nil
}

// Run follows containers until ctx ends. What was read and waits for its name
// then is lost.
func (w *Watcher) Run(ctx context.Context) error {
	r, err := openReader(w)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- r.run()
	}()
	newClerk(w).run(ctx)
	cancel()
	w.requests.stop()
	return <-ended
}

// Appeared says that a container may be there. It is the quick way: without it
// a container is noticed within a second.
func (w *Watcher) Appeared(c discover.Container) { w.ask(request{c, appeared}) }

func (w *Watcher) ask(r request) {
	if !w.requests.put(r) {
		w.count(func(s *Stats) { s.Dropped++ })
	}
}

// Records returns what ended after record number n, in the order in which their
// names became known, and the number to ask with the next time; the first is 1.
// Only the last 1024 are kept, and for five minutes: last-n more than there are
// in the list means that some were missed.
func (w *Watcher) Records(n uint64) (list []Record, last uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n >= w.last {
		return nil, w.last
	}
	missing := min(int(w.last-n), len(w.records))
	return slices.Clone(w.records[len(w.records)-missing:]), w.last
}

// Final returns the last life of a container that ended within the last 30 s,
// as soon as it was read. Its name and exit code may not be known yet.
func (w *Watcher) Final(cgroup string) (Record, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.finals[cgroup]
	return r, ok && time.Since(r.Ended) < finalFor
}

// Kills returns those of the containers that live that have had any, appended
// to dst. They are read every 15 s, and within a second or two when the engine
// tells of one.
func (w *Watcher) Kills(dst []Kills) []Kills {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(dst, w.kills...)
}

// Stats tells how it fares.
func (w *Watcher) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// count changes the stats.
func (w *Watcher) count(change func(*Stats)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.stats)
}

// ended takes a record over from the reader. It does not wait.
func (w *Watcher) ended(r Record) {
	w.mu.Lock()
	w.stats.Ends++
	if !r.Complete {
		w.stats.Incomplete++
	}
	w.finals[r.Container.Cgroup] = r
	w.kills = slices.DeleteFunc(w.kills, func(k Kills) bool { return k.Life == r.Life }) // its record has them
	w.order = append(w.order, final{r.Container.Cgroup, r.Life, r.Ended})
	w.forget(r.Ended)
	w.mu.Unlock()
	select {
	case w.endings <- &r:
	default:
		w.count(func(s *Stats) { s.Dropped++ })
	}
}

// forget lets go of final readings that are old or too many.
func (w *Watcher) forget(now time.Time) {
	old := 0
	for old < len(w.order) && (now.Sub(w.order[old].at) >= finalFor || len(w.order)-old > maxRecords) {
		if f := w.order[old]; w.finals[f.cgroup].Life == f.life {
			delete(w.finals, f.cgroup)
		}
		old++
	}
	w.order = slices.Delete(w.order, 0, old)
}

// publish takes a record over from the clerk.
func (w *Watcher) publish(r Record, nameless bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := 0
	for old < len(w.records) && (r.Ended.Sub(w.records[old].Ended) >= recordsFor || len(w.records)-old >= maxRecords) {
		old++
	}
	w.records = slices.Delete(w.records, 0, old)
	w.records = append(w.records, r)
	w.last++
	if nameless {
		w.stats.Nameless++
	}
}
