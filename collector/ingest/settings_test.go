package ingest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// settings waits for those that the collector sends in the middle of a stream.
func (a *agent) settings() *plimsollv1.Settings {
	a.w.t.Helper()
	for {
		resp, err := a.push.Recv()
		if err != nil {
			a.w.t.Fatal(err)
		}
		if w := resp.GetSettings(); w != nil {
			return w
		}
	}
}

// answer says that settings have been applied, and waits until that was heard.
func (a *agent) answer(version uint64, tick time.Duration, refused ...string) {
	a.w.t.Helper()
	req := &plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Applied{Applied: &plimsollv1.Applied{
		Version: version, IntervalMs: uint32(tick.Milliseconds()), Refused: refused,
	}}}
	if err := a.push.Send(req); err != nil {
		a.w.t.Fatal(err)
	}
	synctest.Wait()
}

// try fails the test if there is an error.
func (w *world) try(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestAnAgentIsToldWhatIsWantedOfIt(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		a := w.connect(hello())
		if a.welcome.GetSettings() != nil {
			t.Errorf("welcomed with %v", a.welcome.GetSettings())
		}
		w.try(w.server.Slow("n1", 4))
		slow := a.settings()
		if slow.GetSlowdown() != 4 || slow.GetVersion() == 0 || len(slow.GetBursts()) != 0 {
			t.Errorf("told %v", slow)
		}
		until := time.Now().Add(90 * time.Second)
		w.try(w.server.Burst("n1", Burst{Container: "web", Resolution: 200 * time.Millisecond, Until: until}))
		both := a.settings()
		if both.GetSlowdown() != 4 || both.GetVersion() <= slow.GetVersion() || len(both.GetBursts()) != 1 {
			t.Fatalf("told %v", both)
		}
		if b := both.GetBursts()[0]; b.GetContainer() != "web" || b.GetResolutionMs() != 200 || b.GetRemainingS() != 90 {
			t.Errorf("told %v", b)
		}
		a.answer(both.GetVersion(), 4*time.Second, "burst of web: no")
		want := Settings{
			Version: both.GetVersion(), Slowdown: 4, Bursts: []Burst{{Container: "web", Resolution: 200 * time.Millisecond, Until: until}},
			Applied: both.GetVersion(), Interval: 4 * time.Second, Refused: []string{"burst of web: no"},
		}
		if diff := cmp.Diff(want, w.server.Settings("n1")); diff != "" {
			t.Error(diff)
		}
		m := w.server.metrics
		if testutil.ToFloat64(m.interval.WithLabelValues("n1")) != 4 || testutil.ToFloat64(m.settingsRefused.WithLabelValues("n1")) != 1 {
			t.Error("metrics do not say so")
		}

		// Another stream hears it with the welcome, with the time that is left.
		a.cancel()
		<-time.After(30 * time.Second)
		b := w.connect(hello())
		if s := b.welcome.GetSettings(); s.GetVersion() != both.GetVersion() || s.GetSlowdown() != 4 || s.GetBursts()[0].GetRemainingS() != 60 {
			t.Errorf("welcomed with %v", s)
		}
		// What is taken back has to be said too.
		<-time.After(60 * time.Second)
		w.try(w.server.Slow("n1", 1))
		if s := b.settings(); s.GetSlowdown() != 1 || len(s.GetBursts()) != 0 {
			t.Errorf("told %v", s)
		}
		b.cancel()
		synctest.Wait()
		if c := w.connect(hello()); c.welcome.GetSettings() != nil {
			t.Errorf("welcomed with %v though nothing is wanted", c.welcome.GetSettings())
		}
	})
}

func TestWhatIsWantedOfANodeConcernsNoOther(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		other := hello()
		other.Node, other.SpoolId = "n2", strings.Replace(spoolID, "0190", "0191", 1)
		a := w.connect(other)
		w.try(w.server.Slow("n1", 4))
		a.send(definition(1, time.Now(), 1, 2))
		for {
			resp, err := a.push.Recv()
			if err != nil || resp.GetSettings() != nil {
				t.Fatalf("got %v, error %v", resp, err)
			}
			if resp.GetAck() != nil {
				break
			}
		}
		if got := w.server.Settings("n2"); got.Version != 0 || got.Slowdown != 1 || got.Interval != time.Second {
			t.Errorf("of the other node is wanted %+v", got)
		}
	})
}

func TestWantsThatMakeNoSenseAreRefused(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		soon := time.Now().Add(time.Minute)
		for what, err := range map[string]error{
			"no slowdown":           w.server.Slow("n1", 0),
			"a slowdown of 61":      w.server.Slow("n1", 61),
			"no node":               w.server.Slow("", 2),
			"a burst of nobody":     w.server.Burst("n1", Burst{Resolution: 100 * time.Millisecond, Until: soon}),
			"9 ms":                  w.server.Burst("n1", Burst{Container: "c", Resolution: 9 * time.Millisecond, Until: soon}),
			"1001 ms":               w.server.Burst("n1", Burst{Container: "c", Resolution: 1001 * time.Millisecond, Until: soon}),
			"a burst of two days":   w.server.Burst("n1", Burst{Container: "c", Resolution: time.Second, Until: soon.Add(48 * time.Hour)}),
			"a name without an end": w.server.Burst("n1", Burst{Container: strings.Repeat("c", 5000), Resolution: time.Second, Until: soon}),
		} {
			if err == nil {
				t.Errorf("%s is wanted", what)
			}
		}
		for i := range mostBursts {
			w.try(w.server.Burst("n1", Burst{Container: fmt.Sprint("c", i), Resolution: time.Second, Until: soon}))
		}
		one := Burst{Container: "one more", Resolution: time.Second, Until: soon.Add(time.Hour)}
		if err := w.server.Burst("n1", one); err == nil || len(w.server.Settings("n1").Bursts) != mostBursts {
			t.Error("more bursts than are allowed")
		}
		<-time.After(time.Minute)
		w.try(w.server.Burst("n1", one))
		if got := w.server.Settings("n1").Bursts; len(got) != 1 {
			t.Errorf("%d bursts are remembered after their time", len(got))
		}
	})
}

func TestNodesOfWhichNothingIsWantedAreForgottenWhenThereAreTooMany(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		w.connect(hello())
		w.try(w.server.Slow("n1", 1)) // and its agent has not been told
		for i := range mostWanted - 1 {
			w.try(w.server.Slow(fmt.Sprint("gone", i), uint32(1+i%2)))
		}
		w.try(w.server.Slow("new", 2))
		if n := len(w.server.wanted); n != mostWanted/2+1 {
			t.Errorf("%d nodes are remembered", n)
		}
		if w.server.Settings("n1").Version == 0 {
			t.Error("a connected node was forgotten")
		}
		for i := range mostWanted/2 - 1 {
			w.try(w.server.Slow(fmt.Sprint("slow", i), 2))
		}
		if err := w.server.Slow("too many", 2); err == nil {
			t.Error("no bound")
		}
	})
}

// It ticks once a minute from when it says so, without a hello between.
func TestAnAgentThatWasSlowedIsGivenTime(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		a.answer(1, time.Minute)
		<-time.After(2 * time.Minute)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "0s=1" {
			t.Errorf("stored %s: an agent that ticks each minute was given up too early", got)
		}
		a.answer(2, time.Second) // after two minutes of silence
		<-time.After(10 * time.Second)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "0s=1" {
			t.Errorf("stored %s: an agent was given up as soon as it was fast again", got)
		}
		<-time.After(10 * time.Second)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); !strings.HasSuffix(got, "stale") {
			t.Errorf("stored %s: a fast agent was not given up", got)
		}
	})
}

// What is read in each sixtieth tick has not been named after twenty.
func TestWhatIsReadSeldomIsNotTakenForWhatTheAgentCameBackWithout(t *testing.T) {
	for name, tt := range map[string]struct {
		round    uint32
		tick     time.Duration // from the 10th second on
		survives time.Duration // at least
	}{
		"an agent that says nothing":   {0, 0, 20 * time.Second},
		"a long round":                 {60, 0, 60 * time.Second},
		"slowed while it is waited":    {20, 5 * time.Second, 100 * time.Second},
		"a round without sense":        {1<<32 - 1, 0, 200 * time.Second},
		"slowed, and with a long lane": {60, 3 * time.Second, 180 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				start := time.Now().Truncate(time.Second)
				a := w.connect(hello())
				a.send(definition(1, start, 1, 2))
				a.ack(1)
				a.cancel()
				synctest.Wait()
				h := hello()
				h.RoundTicks = tt.round
				b := w.connect(h)
				for seq := uint64(2); seq < 240; seq++ {
					<-time.After(time.Second)
					if seq == 10 && tt.tick > 0 {
						b.answer(1, tt.tick)
					}
					at := start.Add(time.Duration(seq-1) * time.Second)
					f := &plimsollv1.Frame{Seq: seq, TimestampMs: at.UnixMilli(), Columns: []int64{0}, Values: raw(float64(seq))}
					if seq == 2 {
						def := definition(seq, start, 0, 0)
						f.Symbols, f.Series, f.Layouts = def.Symbols, def.Series[:1], def.Layouts[:1]
					}
					b.send(f)
				}
				b.ack(239)
				points := w.read(is("__name__", "m"))[seriesB]
				end := time.UnixMilli(points[len(points)-1].t).Sub(start)
				if lasting := tt.survives >= 200*time.Second; lasting != (len(points) == 1) {
					t.Fatalf("stored %s", show(points, start))
				} else if !lasting && (end < tt.survives || end > tt.survives+20*time.Second) {
					t.Errorf("ended after %s, want %s", end, tt.survives)
				}
			})
		})
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		a := w.connect(hello())
		var many []string
		for range 1000 {
			many = append(many, strings.Repeat("x", 2*maxEventBytes))
		}
		a.answer(1, 500*time.Hour, many[:400]...)
		a.answer(1, 500*time.Hour, many[:400]...)
		s := w.server.Settings("n1")
		if len(s.Refused) != mostRefused || len(s.Refused[0]) != maxEventBytes || s.Interval != longestTick {
			t.Errorf("%d refused of %d bytes, interval %s", len(s.Refused), len(s.Refused[0]), s.Interval)
		}
		if n := strings.Count(w.log.String(), "agent has applied settings"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}
