package ingest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestTheTimesOfAnAgentWhoseClockIsWrongAreCorrected(t *testing.T) {
	for name, tt := range map[string]struct {
		ahead  time.Duration
		stored time.Duration // ahead of now
	}{
		"a year ahead":         {365 * 24 * time.Hour, 0},
		"five minutes ahead":   {5 * time.Minute, 0},
		"three hours behind":   {-3 * time.Hour, 0},
		"ten years behind":     {-10 * 365 * 24 * time.Hour, 0},
		"less than a second":   {900 * time.Millisecond, 900 * time.Millisecond},
		"in step":              {0, 0},
		"a fraction of second": {-40 * time.Millisecond, -40 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				start := time.Now()
				a := w.modern(another(1, 1), tt.ahead)
				a.send(definition(1, start.Add(tt.ahead), 1, 2))
				if ack := a.ack(1); len(ack.GetRefused()) > 0 {
					t.Errorf("refused %v", ack.GetRefused())
				}
				innocent := w.modern(another(2, 1), 0)
				innocent.send(definition(1, time.Now(), 1, 2))
				if ack := innocent.ack(1); ack.GetSamplesStored() != 2 {
					t.Errorf("of another agent %v was stored", ack)
				}
				points := w.read(is("__name__", "m"))[seriesA]
				if len(points) != 1 || time.UnixMilli(points[0].t).Sub(start) != tt.stored {
					t.Errorf("stored %s, want %v", show(points, start), tt.stored)
				}
				if got := testutil.ToFloat64(w.server.metrics.skew.WithLabelValues("n1")); got != tt.ahead.Seconds() {
					t.Errorf("the clock is said to be %v s ahead", got)
				}
				if said := strings.Contains(w.log.String(), "set the node's clock"); said != (tt.stored == 0 && tt.ahead != 0) {
					t.Errorf("said %s", w.log)
				}
			})
		})
	}
}

// How long of the way each direction took is not known.
func TestAnAnswerThatTakesLongMakesNoClockWrong(t *testing.T) {
	for name, shown := range map[string]time.Duration{
		"welcome was slow": 4 * time.Second, "the answer was slow": 0,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				start := time.Now()
				a := w.connect(another(1, 1))
				<-time.After(4 * time.Second)
				a.request(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Clock{
					Clock: &plimsollv1.Clock{WallClockMs: start.Add(shown).UnixMilli()},
				}})
				a.send(definition(1, start.Add(4*time.Second), 1, 0))
				a.ack(1)
				if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "4s=1" {
					t.Errorf("stored %s", got)
				}
				if strings.Contains(w.log.String(), "set the node's clock") {
					t.Errorf("said %s", w.log)
				}
			})
		})
	}
}

// A frame that comes again has to have the time that it had, or it would be
// stored twice.
func TestAFrameThatComesAgainHasTheTimeItHad(t *testing.T) {
	const ahead = 5 * time.Minute
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.modern(another(1, 4), ahead)
		for seq := uint64(1); seq < 4; seq++ {
			f := values(seq, start.Add(ahead+time.Duration(seq)*time.Second), float64(seq), 0)
			if seq == 1 {
				f = definition(seq, start.Add(ahead+time.Second), 1, 0)
			}
			a.send(f)
			a.ack(seq)
		}
		w.restart(true)
		// It is measured a little differently each time.
		b := w.modern(another(1, 5), ahead+700*time.Millisecond)
		if from := b.welcome.GetResumeFrom(); from != 3 {
			t.Fatalf("resume from %d, want 3", from)
		}
		b.send(definition(3, start.Add(ahead+3*time.Second), 3, 0))
		b.send(values(4, start.Add(ahead+4*time.Second), 4, 0))
		b.ack(4)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "1s=1 2s=2 3s=3 4s=4" {
			t.Errorf("stored %s", got)
		}
		// Somebody sets the clock.
		b.cancel()
		synctest.Wait()
		c := w.modern(another(1, 6), 0)
		c.send(definition(5, start.Add(5*time.Second), 5, 0))
		c.ack(5)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); !strings.HasSuffix(got, " 4s=4 5s=5") {
			t.Errorf("stored %s", got)
		}
		if !strings.Contains(w.log.String(), "is right again") {
			t.Errorf("said %s", w.log)
		}
	})
}
