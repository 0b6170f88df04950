package ingest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

const upSeries = `{__name__="up", instance="n1:9100", job="plimsoll-agent", node="n1"}`

func TestAnAbsentValueEndsItsSeriesOnce(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		for seq := uint64(2); seq < 5; seq++ {
			f := values(seq, start.Add(time.Duration(seq-1)*time.Second), 3, 4)
			f.Values = append([]byte{0<<2 | tokenAbsent}, raw(4)...)
			a.send(f)
		}
		a.send(values(5, start.Add(4*time.Second), 5, 6))
		a.ack(5)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "0s=1 1s=stale 4s=5" {
			t.Errorf("stored %s", got)
		}
	})
}

func TestAbsentFromTheStartLeavesNoTrace(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		f := definition(1, time.Now(), 1, 2)
		f.Values = []byte{1<<2 | tokenAbsent}
		a := w.connect(hello())
		a.send(f)
		a.ack(1)
		if got := w.read(is("__name__", "m")); len(got) != 0 {
			t.Errorf("stored %v", got)
		}
	})
}

func TestAnEndedLayoutEndsItsSeriesBehindTheirLastValues(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		f := values(2, start.Add(time.Second), 3, 4)
		f.Columns, f.Values, f.Ended = []int64{0}, raw(3), []uint32{0, 1} // a has a last value, b has none
		a.send(f)
		a.ack(2)
		got := w.read(is("__name__", "m"))
		if a, b := show(got[seriesA], start), show(got[seriesB], start); a != "0s=1 1s=3 1.001s=stale" || b != "0s=2 1s=stale" {
			t.Errorf("stored %s and %s", a, b)
		}
	})
}

// Another stream knows nothing of the one before, but the store does.
func TestWhatEndedWhileTheAgentWasAwayEndsWhenItIsBack(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		a.cancel()
		synctest.Wait()
		b := w.connect(hello())
		f := definition(2, start.Add(time.Second), 0, 0)
		f.Columns, f.Values, f.Ended = []int64{0}, []byte{0<<2 | tokenAbsent}, []uint32{1}
		b.send(f)
		b.ack(2)
		got := w.read(is("__name__", "m"))
		if a, b := show(got[seriesA], start), show(got[seriesB], start); a != "0s=1 1s=stale" || b != "0s=2 1s=stale" {
			t.Errorf("stored %s and %s", a, b)
		}
	})
}

func TestMemoryOfSeriesEndsWithThem(t *testing.T) {
	d := NewDecoder("n1", Limits{Series: 10})
	for seq := range uint64(1000) {
		f := &plimsollv1.Frame{
			Seq: seq + 1, Symbols: []string{"", "m"}, Series: []*plimsollv1.Series{{Symbols: []uint32{1}}},
			Layouts: []*plimsollv1.Layout{{Series: []int64{int64(seq)}}}, Columns: []int64{int64(seq)}, Values: raw(1), Ended: []uint32{uint32(seq)},
		}
		if seq > 0 {
			f.Symbols = nil
		}
		if err := d.Decode(f); err != nil {
			t.Fatal(err)
		}
	}
	d.release()
	for _, s := range d.series {
		if s != nil {
			t.Fatal("a series is remembered after its end")
		}
	}
	if d.alive != 0 {
		t.Errorf("%d series counted as alive", d.alive)
	}
}

func TestASilentAgentsSeriesEndAndItIsSaidToBeAway(t *testing.T) {
	tests := map[string]struct {
		leave func(w *world, a *agent)
		after time.Duration // until its series end
	}{
		"connected and silent": {func(*world, *agent) {}, 15 * time.Second},
		"disconnected":         {func(_ *world, a *agent) { a.cancel() }, 15 * time.Second},
		"goodbye": {func(_ *world, a *agent) {
			if err := a.push.Send(goodbye()); err != nil {
				panic(err)
			}
		}, 0},
		"away since before the collector was restarted": {func(w *world, a *agent) { a.cancel(); synctest.Wait(); w.restart(false) }, 15 * time.Second},
		"away since before the collector was killed":    {func(w *world, a *agent) { a.cancel(); synctest.Wait(); w.restart(true) }, 15 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				start := time.Now()
				a := w.connect(hello())
				a.send(definition(1, start, 1, 2))
				a.ack(1)
				tt.leave(w, a)
				<-time.After(tt.after + 12*time.Second)
				end := (tt.after + 1*time.Second).Truncate(time.Second)
				got := w.read(is("node", "n1"))
				ended := got[seriesA][len(got[seriesA])-1]
				if d := time.UnixMilli(ended.t).Sub(start); len(got[seriesA]) != 2 || !isStale(ended.v) || d > end+2*time.Second || d < tt.after {
					t.Errorf("stored %s, want an end within %v", show(got[seriesA], start), end)
				}
				if show(got[seriesA], start)[4:] != show(got[seriesB], start)[4:] {
					t.Errorf("stored %s, and %s", show(got[seriesA], start), show(got[seriesB], start))
				}
				up := show(got[upSeries], start)
				if !strings.HasPrefix(up, "0s=1 ") || strings.Count(up, "=0") != 3 {
					t.Errorf("up is %s, want 1 and then 0 each five seconds", up)
				}
			})
		})
	}
}

func TestAnAgentThatSaysGoodbyeHasLeftUntilItIsBack(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		expect := func(left bool, when string) {
			t.Helper()
			if away, _ := w.server.Away("n1"); w.server.Left("n1") != left || left && !away {
				t.Errorf("%s: left is %v, away %v", when, !left, away)
			}
		}
		expect(false, "before it was ever heard of")
		come := func() *agent {
			a := w.connect(hello())
			a.send(definition(1, time.Now(), 1, 2))
			a.ack(1)
			return a
		}
		a := come()
		expect(false, "connected")
		if err := a.push.Send(goodbye()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect(true, "after its goodbye")
		a.cancel()
		<-time.After(time.Minute)
		expect(true, "a minute later")
		b := w.connect(hello())
		synctest.Wait()
		expect(false, "back")
		b.cancel()
		<-time.After(time.Minute)
		expect(false, "silent")
	})
}

// awayTap asks, when it sees a series end, whether its node is away.
type awayTap struct {
	server **Server
	seen   []bool
}

func (t *awayTap) Stored(_ int64, _ []labels.Labels, values []float64) error {
	if slices.ContainsFunc(values, isStale) {
		away, _ := (*t.server).Away("n1")
		t.seen = append(t.seen, away)
	}
	return nil
}

func (*awayTap) Sync(context.Context) error { return nil }

// Rules that see the end of its series must find that the node is lost.
func TestANodeIsAwayBeforeAnyoneSeesItsSeriesEndAndUntilItIsBack(t *testing.T) {
	var server *Server
	tap := &awayTap{server: &server}
	inBubble(t, Options{Tap: tap}, func(w *world) {
		server = w.server
		look := func(want bool, when string) (back time.Time) {
			t.Helper()
			away, back := w.server.Away("n1")
			if away != want {
				t.Errorf("%s it is away: %v", when, away)
			}
			return back
		}
		look(false, "before it was ever heard of")
		a := w.connect(hello())
		a.send(definition(1, time.Now(), 1, 2))
		a.ack(1)
		if back := look(false, "connected"); !back.IsZero() {
			t.Errorf("it is back since %v and was never away", back)
		}
		a.cancel()
		<-time.After(20 * time.Second)
		look(true, "silent")
		if len(tap.seen) == 0 || slices.Contains(tap.seen, false) {
			t.Errorf("as its series ended it was away: %v", tap.seen)
		}
		<-time.After(time.Hour)
		look(true, "an hour later")
		w.connect(hello())
		if back := look(false, "back"); time.Since(back) > time.Minute {
			t.Errorf("it is back since %v", back)
		}
	})
}

func TestAnAgentWhoseClockWasSetIsSaidToBeAwayByTheClockItHasNow(t *testing.T) {
	for name, step := range map[string]time.Duration{"back": -time.Hour, "forward": 40 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				start := time.Now()
				a := w.connect(hello())
				a.send(definition(1, start, 1, 2))
				<-time.After(time.Second)
				a.send(values(2, start.Add(time.Second+step), 3, 4))
				a.ack(2)
				<-time.After(17 * time.Second)
				points := w.read(is("node", "n1"))[seriesA]
				i := slices.IndexFunc(points, func(p point) bool { return isStale(p.v) })
				if i < 0 {
					t.Fatalf("stored %s, want an end", show(points, start))
				}
				if at := time.UnixMilli(points[i].t).Sub(start.Add(step)); at < 15*time.Second || at > 18*time.Second {
					t.Errorf("stored %s, want an end 16 s after the clock was set", show(points, start))
				}
			})
		})
	}
}

// A process that was stopped, or whose machine was, has heard nobody meanwhile.
func TestACollectorThatStoodStillBlamesNoAgent(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		<-time.After(3500 * time.Millisecond)
		w.server.watch(t.Context(), time.Now().Add(time.Minute)) // the first look after a minute
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "0s=1" {
			t.Errorf("stored %s, want no end", got)
		}
	})
}

func TestABacklogFillsWhatWasSaidToHaveEnded(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now().Truncate(time.Second)
		a := w.connect(hello())
		a.send(definition(1, start, 0, 0))
		a.ack(1)
		a.cancel()
		<-time.After(40 * time.Second)
		b := w.connect(hello())
		b.send(definition(2, start.Add(time.Second), 1, 1))
		for seq := uint64(3); seq <= 50; seq++ {
			b.send(values(seq, start.Add(time.Duration(seq-1)*time.Second), float64(seq-1), 0))
		}
		if ack := b.ack(50); len(ack.GetRefused()) > 0 || ack.GetSamplesStored() != 98 {
			t.Errorf("ack %v, want 98 stored and none refused", ack)
		}
		got := w.read(is("node", "n1"))
		n := 0
		for _, p := range got[seriesA] {
			if isStale(p.v) {
				continue
			}
			if at := start.Add(time.Duration(n) * time.Second).UnixMilli(); p.t != at || p.v != float64(n) {
				t.Fatalf("sample %d is %v, want %d at %d", n, p, n, at)
			}
			n++
		}
		if n != 50 {
			t.Errorf("%d samples, want 50", n)
		}
		// Whether the agent was heard of is not rewritten.
		up := got[upSeries]
		for _, p := range up[1:] {
			if away := p.t < start.Add(37*time.Second).UnixMilli(); away == (p.v == 1) {
				t.Errorf("up was %v at %v", p.v, time.UnixMilli(p.t).Sub(start))
			}
		}
		if !strings.Contains(w.log.String(), "node is back") {
			t.Errorf("said %s", w.log)
		}
	})
}

func TestALostNodeIsMournedForADay(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		a.cancel()
		<-time.After(26 * time.Hour)
		up := w.read(is("node", "n1"))[upSeries]
		if last := time.UnixMilli(up[len(up)-1].t).Sub(start); last < mourning-time.Minute || last > mourning+time.Minute {
			t.Errorf("the last word of it is %v after it left", last)
		}
		if len(w.server.nodes) != 0 || len(w.server.spools) != 0 || testutil.CollectAndCount(w.server.metrics.lag) != 0 {
			t.Error("the node is remembered for ever")
		}
	})
}

func TestAnAgentThatTicksSlowlyIsGivenTime(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		slow := hello()
		slow.IntervalMs = 60_000
		start := time.Now()
		a := w.connect(slow)
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		<-time.After(2 * time.Minute)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "0s=1" {
			t.Errorf("stored %s: an agent that ticks each minute was given up too early", got)
		}
	})
}

// Its agent was killed at the same time, so that nobody says that it ended.
func TestWhatAnAgentComesBackWithoutEnds(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now().Truncate(time.Second)
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		a.cancel()
		synctest.Wait()
		rule := labels.FromStrings("__name__", "rule", "node", "n1", "instance", "n1:9100")
		b := w.connect(hello())
		for seq := uint64(2); seq < 40; seq++ {
			<-time.After(time.Second)
			at := start.Add(time.Duration(seq-1) * time.Second)
			f := &plimsollv1.Frame{Seq: seq, TimestampMs: at.UnixMilli(), Columns: []int64{0}, Values: raw(float64(seq))}
			if seq == 2 {
				def := definition(seq, start, 0, 0)
				f.Symbols, f.Series, f.Layouts = def.Symbols, def.Series[:1], def.Layouts[:1]
			}
			b.send(f)
			app := w.db.AppenderV2(t.Context())
			if _, err := app.Append(0, rule, 0, at.UnixMilli(), 1, nil, nil, storage.AOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := app.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		b.ack(39)
		got := w.read(is("node", "n1"))
		if s := show(got[seriesB], start); !strings.HasPrefix(s, "0s=2 2") || !strings.HasSuffix(s, "999s=stale") {
			t.Errorf("what did not come back is %s, want an end after some 20 s", s)
		}
		for _, name := range []string{seriesA, rule.String()} {
			if strings.Contains(show(got[name], start), "stale") {
				t.Errorf("%s was ended: %s", name, show(got[name], start))
			}
		}
	})
}
