package ingest

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// guard wants series of one container, and remembers what it was shown and asked.
type guard struct {
	wanted string

	mu     sync.Mutex
	epoch  uint64
	asked  map[string]int
	points map[string][]point
	seen   func(at int64) // called while it is shown something
}

func newGuard(wanted string) *guard {
	return &guard{wanted: wanted, epoch: 1, asked: map[string]int{}, points: map[string][]point{}}
}

func (g *guard) Epoch() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.epoch
}

func (g *guard) Series(ls labels.Labels) any {
	g.mu.Lock()
	defer g.mu.Unlock()
	name := ls.String()
	if g.asked[name]++; ls.Get("c") == g.wanted {
		return name
	}
	return nil
}

func (g *guard) Stored(at int64, series []any, values []float64) {
	if g.seen != nil {
		g.seen(at)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, s := range series {
		g.points[s.(string)] = append(g.points[s.(string)], point{at, values[i]})
	}
}

func TestTheWatchIsShownWhatItWantsOnceItCanBeQueried(t *testing.T) {
	g := newGuard("a")
	inBubble(t, Options{Watch: g}, func(w *world) {
		start := time.Now().Truncate(time.Second)
		g.seen = func(at int64) {
			latest := int64(0)
			for _, p := range w.read(is("node", "n1"))[seriesA] {
				latest = max(latest, p.t)
			}
			if latest < at {
				t.Errorf("shown a sample of %d while queries see none after %d", at, latest)
			}
		}
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		a.send(values(2, start.Add(time.Second), 3, 4))
		a.ack(2)
		a.cancel()
		<-time.After(20 * time.Second) // the node is given up, and its series end
		synctest.Wait()
		stored := w.read(is("node", "n1"))
		if got, want := show(g.points[seriesA], start), show(stored[seriesA], start); got != want || !strings.Contains(want, "stale") {
			t.Errorf("shown %s, stored %s", got, want)
		}
		if len(g.points) != 1 {
			t.Errorf("shown %d series, want one", len(g.points))
		}
		for _, name := range []string{seriesA, seriesB} {
			if n := g.asked[name]; n != 2 {
				t.Errorf("asked %d times about %s, want once by the stream and once at the end of the node", n, name)
			}
		}
	})
}

func TestTheWatchIsAskedAgainInANewEpoch(t *testing.T) {
	g := newGuard("nothing")
	inBubble(t, Options{Watch: g}, func(w *world) {
		start := time.Now().Truncate(time.Second)
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		g.mu.Lock()
		g.epoch, g.wanted = 2, "b"
		g.mu.Unlock()
		a.send(values(2, start.Add(time.Second), 3, 4))
		a.ack(2)
		synctest.Wait()
		if len(g.points[seriesB]) != 1 || len(g.points) != 1 {
			t.Errorf("shown %v, want one sample of %s", g.points, seriesB)
		}
		if g.asked[seriesA] != 2 || g.asked[seriesB] != 2 {
			t.Errorf("asked %v, want twice about each", g.asked)
		}
	})
}
