package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	guardInterval = time.Second
	// A reading that is not older than this is good enough for a transaction.
	guardFresh = 50 * time.Millisecond

	// Unless told, a tenth of the file system stays free, 1 GiB at most, and a
	// hundredth of it is ballast, 64 MiB at most.
	autoMinFreeMost = 1 << 30
	autoBallastMost = 64 << 20

	// Of these there are always enough, so that a small file system can be used.
	leastInodes, mostInodes = 16, 4096
)

// need is what the TSDB may write by itself before it can be held again.
type need struct {
	chunks int64 // when it packs what is in memory, each minute and before it closes
	block  int64 // when it makes a block of it
}

// guard watches the file system of the data directory. The TSDB panics where it
// cannot write, in goroutines of its own, so it must never get there: below one
// mark ingest is refused, below a second one all writing is, and the ballast is
// given back so that what is under way can end.
type guard struct {
	dir     string
	minFree Space
	log     *slog.Logger
	need    func() need

	mu      sync.Mutex
	ballast ballast
	at      time.Time // of the last look
	seen    volume
	blind   error // why the last look saw nothing
	low     bool  // ingest is refused
	full    bool  // so is everything else
	trend   trend
}

// newGuard takes the first look.
func newGuard(dir string, minFree, ballast Space, need func() need, log *slog.Logger) (*guard, error) {
	v, err := statfs(dir)
	if err != nil {
		return nil, err
	}
	g := &guard{dir: dir, minFree: minFree, log: log, need: need}
	if g.ballast, err = newBallast(dir, ballast.of(v.total, min(v.total/100, autoBallastMost))); err != nil && !lacksRoom(err) {
		return nil, err
	}
	g.look(time.Now())
	return g, nil
}

// run keeps looking until ctx ends, and does each time what each is.
func (g *guard) run(ctx context.Context, each func(context.Context)) {
	ticker := time.NewTicker(guardInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			g.tick(now)
			each(ctx)
		}
	}
}

// tick looks, notes what it sees for the forecast, and makes the ballast anew
// once there is room for it.
func (g *guard) tick(now time.Time) {
	g.look(now)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.blind != nil {
		return
	}
	g.trend.add(now, g.seen.free-g.ballast.missing())
	if g.ballast.missing() > 0 && !g.low && !g.full {
		if err := g.ballast.make(); err != nil && !lacksRoom(err) {
			g.log.Warn("no ballast for when the disk is full", "err", err)
			g.ballast.size = 0 // once is enough
		}
	}
}

// look sees how much room there is and what follows from that.
func (g *guard) look(now time.Time) {
	needs := g.need()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = now
	if g.seen, g.blind = statfs(g.dir); g.blind != nil {
		return
	}
	if g.short(needs.chunks) && g.ballast.held > 0 {
		held := g.ballast.held
		if err := g.ballast.release(); err != nil {
			g.log.Warn("the disk is full, and its ballast stays", "err", err)
		} else {
			g.log.Warn("the disk is full, its ballast has been given back", "bytes", held)
			g.seen, g.blind = statfs(g.dir)
		}
	}
	g.full = g.blind == nil && g.short(needs.chunks)
	was := g.low
	g.low = g.full || g.isLow(needs)
	switch {
	case g.low && !was:
		g.log.Warn("ingest is refused, queries go on: "+g.say(needs), "free", g.seen.free, "free_inodes", g.seen.freeInodes)
	case was && !g.low:
		g.log.Info("there is room again, ingest goes on", "free", g.seen.free, "free_inodes", g.seen.freeInodes)
	}
}

// short tells whether there is less than what the TSDB may write at any moment.
func (g *guard) short(bytes int64) bool {
	return g.seen.free < bytes || g.seen.inodes > 0 && g.seen.freeInodes < g.inodeMark()/2
}

// isLow tells whether ingest is to be refused. What has been refused begins
// again an eighth above the mark. The room for the ballast does not count.
func (g *guard) isLow(needs need) bool {
	mark, inodes := g.mark(needs), g.inodeMark()
	if g.low {
		mark, inodes = mark+mark/8, inodes+inodes/8
	}
	return g.seen.free-g.ballast.missing() < mark || g.seen.inodes > 0 && g.seen.freeInodes < inodes
}

// mark is how much must stay free: what was asked for, and room to write out
// what is in memory, but for that no more than a quarter of the file system.
func (g *guard) mark(needs need) int64 {
	asked := g.minFree.of(g.seen.total, min(g.seen.total/10, autoMinFreeMost))
	return max(asked, min(needs.chunks+needs.block, g.seen.total/4))
}

func (g *guard) inodeMark() int64 {
	return min(max(g.seen.inodes/100, leastInodes), mostInodes, g.seen.inodes/4)
}

// fresh looks unless that was done a moment ago.
func (g *guard) fresh() {
	g.mu.Lock()
	at := g.at
	g.mu.Unlock()
	if now := time.Now(); now.Sub(at) > guardFresh {
		g.look(now)
	}
}

// refuse says why ingest must wait, or nil.
func (g *guard) refuse() error {
	needs := g.need()
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.blind != nil:
		return fmt.Errorf("the file system of the data directory does not answer: %w", g.blind)
	case g.low:
		return errors.New(g.say(needs))
	}
	return nil
}

// stop says why nothing at all may be written, or nil.
func (g *guard) stop() error {
	g.fresh()
	needs := g.need()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.full {
		return nil
	}
	return errors.New("nothing more can be written: " + g.say(needs))
}

// has tells whether there is room for so many bytes, gives back the ballast if
// they are short, and says what is lacking.
func (g *guard) has(bytes int64) error {
	g.look(time.Now())
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.blind != nil {
		return g.blind
	}
	if g.short(bytes) && g.ballast.held > 0 {
		if err := g.ballast.release(); err != nil {
			return err
		}
		if g.seen, g.blind = statfs(g.dir); g.blind != nil {
			return g.blind
		}
	}
	if g.short(bytes) {
		return fmt.Errorf("%s and %d inodes are free on the file system of %s, and %s and %d are needed: %w",
			inBytes(g.seen.free), g.seen.freeInodes, g.dir, inBytes(bytes), g.inodeMark()/2, unix.ENOSPC)
	}
	return nil
}

// say names what is short, by how much, and what to do. Where neither is, it
// was a moment ago.
func (g *guard) say(needs need) string {
	const remedy = "; delete something or add space, then ingest goes on by itself; queries are answered meanwhile"
	if inodes := g.inodeMark(); g.seen.inodes > 0 && g.seen.freeInodes < inodes+inodes/8 {
		return fmt.Sprintf("%d of %d inodes are free on the file system of %s, and %d must stay so%s",
			g.seen.freeInodes, g.seen.inodes, g.dir, inodes, remedy)
	}
	ballast := ""
	if missing := g.ballast.missing(); missing > 0 {
		ballast = fmt.Sprintf(", and %s for the ballast", inBytes(missing))
	}
	return fmt.Sprintf("%s of %s are free on the file system of %s, and %s must stay so%s%s",
		inBytes(g.seen.free), inBytes(g.seen.total), g.dir, inBytes(g.mark(needs)), ballast, remedy)
}

// guardState is what the metrics show.
type guardState struct {
	volume
	blind   bool
	ballast int64
	left    time.Duration // until ingest is refused
	falls   bool          // whether left is known
}

func (g *guard) state() guardState {
	needs := g.need()
	g.mu.Lock()
	defer g.mu.Unlock()
	s := guardState{volume: g.seen, blind: g.blind != nil, ballast: g.ballast.held}
	s.left, s.falls = g.trend.until(g.seen.free-g.ballast.missing(), g.mark(needs))
	if g.low {
		s.left, s.falls = 0, true
	}
	return s
}
