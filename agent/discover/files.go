package discover

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// maxLookups is how many containers are looked up before others get their turn.
const maxLookups = 64

// retries are how long after a container was seen its files are looked for, and
// after each look in vain again. Docker notes that one runs a moment after it
// does; a file system may be mounted late.
var retries = []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, 5 * time.Minute}

// files reads what runtimes keep on disk about their containers. That needs no
// socket, and works while an engine hangs or restarts. Each container is read
// once, when it appears.
type files struct {
	root    fs.FS
	docker  string // Docker's data root, below root
	out     *registry
	arrived <-chan struct{}
	log     *slog.Logger

	stores map[string]store // by path; belongs to the goroutine that looks

	refused atomic.Uint64 // files that are there and could not be made sense of
}

// lookup is a container to be looked up, or what was found of it.
type lookup struct {
	id, runtime string
	found       bool
	about       about
}

// attempt is when a container is looked up next.
type attempt struct {
	runtime string
	tries   int
	due     time.Time
}

func newFiles(root, docker string, out *registry, log *slog.Logger) *files {
	return &files{
		root: os.DirFS(root), docker: filepath.Clean("/" + docker)[1:], out: out, arrived: out.arrivals(), log: log,
		stores: map[string]store{},
	}
}

// run reads until ctx ends. A file system that hangs stops this one goroutine
// of all, which is left behind if it still hangs then.
func (f *files) run(ctx context.Context) error {
	ask, answers := make(chan []lookup), make(chan []lookup, 1)
	go func() {
		defer close(answers)
		for due := range ask {
			for i := range due {
				f.look(&due[i])
			}
			answers <- due
		}
	}()
	f.keepAsking(ctx, ask, answers)
	close(ask)
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	for {
		select {
		case _, more := <-answers:
			if !more {
				return nil
			}
		case <-patience.C:
			f.log.Warn("a file of a container runtime cannot be read to its end", "timeout", time.Second)
			return nil
		}
	}
}

// keepAsking has containers looked up when they are due, until ctx ends.
func (f *files) keepAsking(ctx context.Context, ask chan<- []lookup, answers <-chan []lookup) {
	schedule := map[string]attempt{}
	f.plan(schedule)
	wake := time.NewTimer(0)
	defer wake.Stop()
	out := false
	for {
		if !out {
			due, next := dueNow(schedule)
			wake.Reset(next)
			if len(due) > 0 {
				ask <- due // its goroutine waits for it
				out = true
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-f.arrived:
			f.plan(schedule)
		case <-wake.C:
			f.plan(schedule)
		case found := <-answers:
			out = false
			f.take(schedule, found)
		}
	}
}

// plan adds to the schedule the containers that are new, and drops those that
// the engine has told of or that are gone.
func (f *files) plan(schedule map[string]attempt) {
	unread := f.out.unread()
	for id := range schedule {
		if _, ok := unread[id]; !ok {
			delete(schedule, id)
		}
	}
	for id, runtime := range unread {
		if _, ok := schedule[id]; ok || !isHash(id) {
			continue
		}
		a := attempt{runtime: runtime, due: time.Now()}
		if runtime == "docker" {
			a.retry() // it has not written that it runs yet, and mostly the engine tells first
		}
		schedule[id] = a
	}
}

func (a *attempt) retry() {
	a.tries = min(a.tries+1, len(retries)-1)
	a.due = time.Now().Add(retries[a.tries])
}

// dueNow are the containers to look up now, not too many, and how long until
// others are.
func dueNow(schedule map[string]attempt) (due []lookup, next time.Duration) {
	next = retries[len(retries)-1]
	now := time.Now()
	for id, a := range schedule {
		wait := a.due.Sub(now)
		if wait <= 0 && len(due) < maxLookups {
			due = append(due, lookup{id: id, runtime: a.runtime})
		} else {
			next = min(next, max(wait, 0))
		}
	}
	return due, next
}

// take hands on what was found, and has the rest looked up again later.
func (f *files) take(schedule map[string]attempt, found []lookup) {
	for _, l := range found {
		if l.found {
			f.out.read(l.id, l.about)
			delete(schedule, l.id)
		} else if a, ok := schedule[l.id]; ok {
			a.retry()
			schedule[l.id] = a
		}
	}
}
