package ingest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
)

// pail remembers what it was shown.
type pail struct {
	mu     sync.Mutex
	points map[string][]point
	full   error         // of each Stored
	unsafe error         // of each Sync
	held   chan struct{} // which Sync waits for, if there is one
}

func (p *pail) Stored(at int64, series []labels.Labels, values []float64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.points == nil {
		p.points = map[string][]point{}
	}
	for i, ls := range series {
		p.points[ls.String()] = append(p.points[ls.String()], point{at, values[i]})
	}
	return p.full
}

func (p *pail) Sync(context.Context) error {
	if p.held != nil {
		<-p.held
	}
	return p.unsafe
}

func TestTheTapIsShownWhatIsStored(t *testing.T) {
	tap := &pail{}
	inBubble(t, Options{Tap: tap}, func(w *world) {
		start := time.Now().Truncate(time.Second)
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		f := values(2, start.Add(time.Second), 3, 4)
		f.Ended = []uint32{1}
		a.send(f)
		a.ack(2)
		a.cancel()
		<-time.After(20 * time.Second) // the rest ends, and the agent is said to be away
		synctest.Wait()
		stored := w.read(is("node", "n1"))
		for _, name := range []string{seriesA, seriesB, upSeries} {
			if got, want := show(tap.points[name], start), show(stored[name], start); got != want || !strings.Contains(want, "stale") && name != upSeries {
				t.Errorf("%s: shown %s, stored %s", name, got, want)
			}
		}
		for name := range tap.points {
			if strings.Contains(name, seqName) || strings.Contains(name, durableName) {
				t.Errorf("shown %s, which is the collector's own business", name)
			}
		}
	})
}

func TestNothingIsAcknowledgedBeforeTheTapHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := &pail{held: make(chan struct{})}
		w := &world{t: t, opts: Options{Tap: tap}, log: &strings.Builder{}, db: openDB(t, t.TempDir())}
		defer w.db.Close()
		w.start()
		defer func() { w.stop() }()
		a := w.connect(hello())
		start := time.Now()
		a.send(definition(1, start, 1, 2))
		released := time.AfterFunc(time.Minute, func() { close(tap.held) })
		defer released.Stop()
		a.ack(1)
		if took := time.Since(start); took < time.Minute {
			t.Errorf("acknowledged after %v", took)
		}
	})
}

func TestATapThatFailsStopsNothing(t *testing.T) {
	no := errors.New("no")
	inBubble(t, Options{Tap: &pail{full: no, unsafe: no}}, func(w *world) {
		a := w.connect(hello())
		a.send(definition(1, time.Now(), 1, 2))
		if ack := a.ack(1); ack.GetSamplesStored() != 2 {
			t.Errorf("ack %v", ack)
		}
		m := w.server.metrics.tapErrors
		if testutil.ToFloat64(m.WithLabelValues("stored")) == 0 || testutil.ToFloat64(m.WithLabelValues("sync")) == 0 {
			t.Error("the failures are not counted")
		}
		if n := strings.Count(w.log.String(), "it is stored all the same"); n != 2 {
			t.Errorf("said %d times, want once for each deed:\n%s", n, w.log)
		}
	})
}
