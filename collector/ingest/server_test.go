package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/plimsoll-io/plimsoll/collector/gate"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestAFrameIsStoredThenAcknowledged(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		a := w.connect(hello())
		if a.welcome.GetResumeFrom() != 1 {
			t.Errorf("resume from %d, want 1", a.welcome.GetResumeFrom())
		}
		start := time.Now()
		a.send(definition(1, start, 1, 2))
		if ack := a.ack(1); ack.GetSamplesStored() != 2 {
			t.Errorf("ack %v, want two samples stored", ack)
		}
		if d := time.Since(start); d > 250*time.Millisecond {
			t.Errorf("acknowledged after %v", d)
		}
		got := w.read(is("__name__", "m"))
		if show(got[seriesA], start) != "0s=1" || show(got[seriesB], start) != "0s=2" {
			t.Errorf("stored %v", got)
		}
		if up := w.read(is("__name__", "up")); show(up[`{__name__="up", instance="n1:9100", job="plimsoll-agent", node="n1"}`], start) != "0s=1" {
			t.Errorf("up is %v", up)
		}
		if m := w.server.Metadata(); len(m) != 1 || m[0] != (Metric{"m", "gauge", "what it means", ""}) {
			t.Errorf("metadata %v", m)
		}
	})
}

func TestNothingIsAcknowledgedBeforeItIsDurable(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		a := w.connect(hello())
		w.db.mu.Lock()
		w.db.syncErr = errors.New("input/output error")
		w.db.mu.Unlock()
		a.send(definition(1, time.Now(), 1, 2))
		err := a.err()
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "input/output error") {
			t.Errorf("the stream ended with %v, want Unavailable and the reason", err)
		}
		if !strings.Contains(w.log.String(), "restart the collector") {
			t.Errorf("said %s", w.log)
		}
	})
}

func TestAfterAFailedCommitNothingIsTakenInUntilTheStoreIsOpenedAnew(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		var healed time.Time
		w.server.opts.Reopen = func(context.Context) error {
			if time.Now().Before(healed) {
				return errors.New("still full")
			}
			w.db.breakWith(nil)
			return nil
		}
		healed = time.Now().Add(time.Minute)
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		w.db.breakWith(errors.New("no space left on device"))
		a.send(values(2, start.Add(time.Second), 3, 4))
		if err := a.err(); status.Code(err) != codes.Unavailable {
			t.Errorf("the stream ended with %v, want Unavailable", err)
		}
		if err := w.say(greeting(hello())).err(); status.Code(err) != codes.Unavailable {
			t.Errorf("another stream got %v, want Unavailable", err)
		}
		<-time.After(time.Minute + 2*reopenEvery)
		b := w.connect(hello())
		if from := b.welcome.GetResumeFrom(); from != 1 {
			t.Errorf("resume from %d, want 1: the last frame may not be whole", from)
		}
		b.send(definition(1, start, 1, 2))
		b.send(values(2, start.Add(time.Second), 3, 4))
		b.ack(2)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "0s=1 1s=3" {
			t.Errorf("stored %s", got)
		}
	})
}

// Its references are another's by then, and what was stored may be gone.
func TestAStoreThatSomebodyElseOpenedAnewIsNotTrusted(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		var life atomic.Uint64
		w.server.opts.Lives = life.Load
		reopened := 0
		w.server.opts.Reopen = func(context.Context) error { reopened++; return nil }
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		life.Add(1)
		a.send(values(2, start.Add(time.Second), 3, 4))
		if err := a.err(); status.Code(err) != codes.Unavailable {
			t.Errorf("the stream ended with %v, want Unavailable", err)
		}
		<-time.After(2 * reopenEvery)
		if reopened != 1 {
			t.Errorf("opened anew %d times, want once", reopened)
		}
		b := w.connect(hello())
		b.send(definition(1, start, 1, 2))
		b.send(values(2, start.Add(time.Second), 3, 4))
		b.ack(2)
	})
}

func TestAFrameThatComesAgainIsRecognised(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.send(values(2, start.Add(time.Second), 3, 4))
		a.ack(2)
		a.cancel()
		synctest.Wait()

		b := w.connect(hello())
		if b.welcome.GetResumeFrom() != 3 {
			t.Errorf("resume from %d, want 3", b.welcome.GetResumeFrom())
		}
		b.send(definition(2, start.Add(time.Second), 3, 4)) // an agent that repeats nonetheless
		b.send(values(3, start.Add(2*time.Second), 5, 6))
		if ack := b.ack(3); ack.GetSamplesRepeated() != 2 || ack.GetSamplesStored() != 2 {
			t.Errorf("ack %v, want 2 repeated and 2 stored", ack)
		}
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "0s=1 1s=3 2s=5" {
			t.Errorf("stored %s", got)
		}
	})
}

func TestANewerStreamOfASpoolReplacesTheOlder(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		synctest.Wait()
		b := w.connect(hello()) // the agent has lost its connection, the collector does not know yet
		if err := a.err(); status.Code(err) != codes.Aborted {
			t.Errorf("the older stream ended with %v, want Aborted", err)
		}
		if from := b.welcome.GetResumeFrom(); from != 2 {
			t.Errorf("resume from %d, want 2", from)
		}
		b.send(definition(2, start.Add(time.Second), 3, 4))
		b.ack(2)
	})
}

func TestTwoAgentsOfOneNodeAreBothStoredAndComplainedOf(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		clone := hello()
		clone.SpoolId = "0190b2a4-0000-4d0a-a3bd-6a1f2f0c9f11"
		b := w.connect(clone)
		a.send(definition(1, start, 1, 2))
		b.send(definition(1, start.Add(time.Millisecond), 3, 4))
		a.ack(1)
		b.ack(1)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "0s=1 1ms=3" {
			t.Errorf("stored %s", got)
		}
		if !strings.Contains(w.log.String(), "give one of them another name") || testutil.ToFloat64(w.server.metrics.conflicts) != 1 {
			t.Errorf("said %s", w.log)
		}
	})
}

// Of frames of two under one number, the store would take the first for both.
func TestACopyOfASpoolIsGivenAnotherIdentityAtOnce(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		original, clone := hello(), hello()
		original.BootId, clone.BootId, clone.NextSeq = "boot-1", "boot-2", 9
		a := w.connect(original)
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		b := w.connect(clone)
		if from := b.welcome.GetResumeFrom(); from != 10 {
			t.Errorf("resume from %d, want 10, which the copy cannot", from)
		}
		if err := b.err(); status.Code(err) != codes.Aborted {
			t.Errorf("the stream of the copy ended with %v, want Aborted", err)
		}
		a.send(values(2, start.Add(time.Second), 3, 4))
		a.ack(2)
		if !strings.Contains(w.log.String(), "copies of one spool directory") {
			t.Errorf("said %s", w.log)
		}
		// A machine that has rebooted is itself.
		if err := a.push.CloseSend(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if from := w.connect(clone).welcome.GetResumeFrom(); from != 3 {
			t.Errorf("resume from %d, want 3", from)
		}
	})
}

func TestAHoleIsCounted(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		drained := hello() // of a spool that has been drained elsewhere: no hole
		drained.OldestSeq = 7
		a := w.connect(drained)
		a.send(definition(7, time.Now(), 1, 2))
		a.send(values(8, time.Now().Add(time.Second), 3, 4))
		a.send(values(12, time.Now().Add(5*time.Second), 3, 4))
		a.ack(12)
		if n := testutil.ToFloat64(w.server.metrics.missing); n != 3 {
			t.Errorf("%v frames missing, want 3", n)
		}
	})
}

func TestSamplesOfAnotherTimeAreRefusedAndHarmNobody(t *testing.T) {
	for name, tt := range map[string]struct {
		off    time.Duration
		reason string
	}{
		"a minute ahead is taken for a clock that runs fast": {off: 59 * time.Second},
		"a year ahead":          {off: 365 * 24 * time.Hour, reason: gate.Future},
		"the end of time":       {off: math.MaxInt64, reason: gate.Future},
		"a day behind":          {off: -25 * time.Hour, reason: gate.TooOld},
		"the beginning of time": {off: math.MinInt64, reason: gate.TooOld},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				start := time.Now()
				a := w.connect(hello())
				f := definition(1, start.Add(tt.off), 1, 2)
				switch tt.off {
				case math.MaxInt64, math.MinInt64:
					f.TimestampMs = int64(tt.off)
				}
				a.send(f)
				a.send(values(2, start.Add(time.Second), 3, 4))
				ack := a.ack(2)
				want := map[string]uint64{}
				if tt.reason != "" {
					want[tt.reason] = 2
				}
				for _, r := range ack.GetRefused() {
					if want[r.GetReason()] != r.GetSamples() || r.GetExample() != seriesA {
						t.Errorf("refused %v, want %v", r, want)
					}
					delete(want, r.GetReason())
				}
				if len(want) > 0 {
					t.Errorf("not refused: %v", want)
				}
				if n := len(w.read(is("__name__", "m"))[seriesA]); n != int(ack.GetSamplesStored()/2) {
					t.Errorf("%d samples stored, %d reported", n, ack.GetSamplesStored()/2)
				}
			})
		})
	}
}

func TestAClockThatIsSetBackConfusesNoNumbers(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.send(values(2, start.Add(-time.Hour), 3, 4))
		a.send(values(3, start.Add(-time.Hour), 5, 6)) // and stands still: one time, two values
		a.ack(3)
		w.restart(false)
		if from := w.connect(hello()).welcome.GetResumeFrom(); from != 4 {
			t.Errorf("resume from %d, want 4", from)
		}
	})
}

func TestARestartGoesOnWhereItWas(t *testing.T) {
	tests := map[string]struct {
		killed bool
		resume uint64
	}{
		"after a clean end":                        {resume: 4},
		"killed, from the last frame that is safe": {killed: true, resume: 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				start := time.Now()
				a := w.connect(hello())
				a.send(definition(1, start, 1, 2))
				a.send(values(2, start.Add(time.Second), 3, 4))
				a.ack(2)
				a.send(values(3, start.Add(2*time.Second), 5, 6))
				if !tt.killed {
					a.ack(3)
				}
				synctest.Wait()
				w.restart(tt.killed)
				b := w.connect(hello())
				if from := b.welcome.GetResumeFrom(); from != tt.resume {
					t.Errorf("resume from %d, want %d", from, tt.resume)
				}
				next := tt.resume
				b.send(definition(next, start.Add(time.Duration(next-1)*time.Second), float64(2*next-1), float64(2*next)))
				for ; next < 5; next++ {
					b.send(values(next+1, start.Add(time.Duration(next)*time.Second), float64(2*next+1), float64(2*next+2)))
				}
				ack := b.ack(5)
				if repeated := 2 * (4 - tt.resume); ack.GetSamplesRepeated() != repeated {
					t.Errorf("ack %v, want %d repeated", ack, repeated)
				}
				got := w.read(is("__name__", "m"))
				if a, b := show(got[seriesA], start), show(got[seriesB], start); a != "0s=1 1s=3 2s=5 3s=7 4s=9" || b != "0s=2 1s=4 2s=6 3s=8 4s=10" {
					t.Errorf("stored %s and %s", a, b)
				}
				if n := testutil.CollectAndCount(w.server.metrics.missing); n != 0 {
					t.Error("frames were counted as missing")
				}
			})
		})
	}
}

func TestLabelsThatAreNotWantedCostTheirSeriesAlone(t *testing.T) {
	long := strings.Repeat("x", 5000)
	tests := map[string]struct {
		labels []string // name, then pairs
		reason string
	}{
		"no name":                      {[]string{""}, gate.NoName},
		"a label twice":                {[]string{"x", "a", "1", "a", "2"}, gate.Twice},
		"a label without a name":       {[]string{"x", "", "1"}, gate.NoName},
		"a label of the name":          {[]string{"x", "__name__", "y"}, gate.Reserved},
		"a long label name":            {[]string{"x", long, "1"}, gate.LabelName},
		"a long label value":           {[]string{"x", "a", long}, gate.LabelValue},
		"a long name":                  {[]string{long}, gate.LabelValue},
		"more labels than allowed":     {append([]string{"x"}, many(65)...), gate.Labels},
		"the collector's own name":     {[]string{seqName, "agent", spoolID, "lane", "live"}, gate.Reserved},
		"the collector's own up":       {[]string{"up", "job", "plimsoll-agent"}, gate.Reserved},
		"an empty value is no label":   {[]string{"x", "a", ""}, ""},
		"node and instance are forced": {[]string{"x", "node", "n2", "node", "n3", "instance", "y"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := NewDecoder("n1", Limits{})
			f := definition(1, time.Now(), 1, 2)
			f.Series[1].Symbols = nil
			for _, s := range tt.labels {
				f.Series[1].Symbols = append(f.Series[1].Symbols, uint32(len(f.Symbols)))
				f.Symbols = append(f.Symbols, s)
			}
			if err := d.Decode(f); err != nil {
				t.Fatal(err)
			}
			if d.series[0].refused != "" || d.series[1].refused != tt.reason {
				t.Errorf("refused for %q and %q, want %q for the second alone", d.series[0].refused, d.series[1].refused, tt.reason)
			}
			if got := d.series[1].labels.String(); tt.reason == "" && got != `{__name__="x", instance="n1:9100", node="n1"}` {
				t.Errorf("labels %s", got)
			}
		})
	}
}

func many(n int) (pairs []string) {
	for i := range n {
		pairs = append(pairs, fmt.Sprint("l", i), "v")
	}
	return pairs
}

func TestSeriesOverTheLimitAreRefusedAndTheOthersGoOn(t *testing.T) {
	inBubble(t, Options{Limits: Limits{Series: 1}}, func(w *world) {
		a := w.connect(hello())
		a.send(definition(1, time.Now(), 1, 2))
		ack := a.ack(1)
		if ack.GetSamplesStored() != 1 || len(ack.GetRefused()) != 1 || ack.GetRefused()[0].GetReason() != gate.Series || ack.GetRefused()[0].GetExample() != seriesB {
			t.Errorf("ack %v", ack)
		}
	})
}

func TestABreachOfTheProtocolEndsItsStreamAlone(t *testing.T) {
	frame := func(f *plimsollv1.Frame) *plimsollv1.PushRequest {
		return &plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Frame{Frame: f}}
	}
	packed := func(b []byte) *plimsollv1.PushRequest {
		return &plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_FrameZstd{FrameZstd: b}}
	}
	at := time.Now()
	other, old, nameless, badSpool := hello(), hello(), hello(), hello()
	other.SpoolId = "0190b2a4-0000-4d0a-a3bd-6a1f2f0c9f11"
	other.Node = "n2"
	old.Protocol = 2
	nameless.Node = "a b"
	badSpool.SpoolId = "1"
	tests := map[string]struct {
		first *plimsollv1.PushRequest // instead of hello
		then  []*plimsollv1.PushRequest
		code  codes.Code
	}{
		"no hello":            {first: frame(definition(1, at, 1, 2)), code: codes.InvalidArgument},
		"another protocol":    {first: greeting(old), code: codes.FailedPrecondition},
		"a bad node name":     {first: greeting(nameless), code: codes.InvalidArgument},
		"a bad spool id":      {first: greeting(badSpool), code: codes.InvalidArgument},
		"hello twice":         {then: []*plimsollv1.PushRequest{greeting(hello())}, code: codes.InvalidArgument},
		"nothing":             {then: []*plimsollv1.PushRequest{{}}, code: codes.InvalidArgument},
		"frame zero":          {then: []*plimsollv1.PushRequest{frame(definition(0, at, 1, 2))}, code: codes.InvalidArgument},
		"a number going back": {then: []*plimsollv1.PushRequest{frame(definition(2, at, 1, 2)), frame(values(1, at, 1, 2))}, code: codes.InvalidArgument},
		"an unknown layout":   {then: []*plimsollv1.PushRequest{frame(values(1, at, 1, 2))}, code: codes.InvalidArgument},
		"not zstd":            {then: []*plimsollv1.PushRequest{packed([]byte("hello"))}, code: codes.InvalidArgument},
		"a bomb":              {then: []*plimsollv1.PushRequest{packed(bomb(t))}, code: codes.InvalidArgument},
		"more after goodbye":  {then: []*plimsollv1.PushRequest{goodbye(), goodbye()}, code: codes.InvalidArgument},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				innocent := w.connect(other)
				if tt.first == nil {
					tt.first = greeting(hello())
				}
				a := w.say(tt.first)
				for _, req := range tt.then {
					if err := a.push.Send(req); err != nil {
						break
					}
				}
				if err := a.err(); status.Code(err) != tt.code {
					t.Errorf("ended with %v, want %v", err, tt.code)
				}
				innocent.send(definition(1, time.Now(), 1, 2))
				innocent.ack(1)
			})
		})
	}
}

func TestAgentsMayFinishWhenTheCollectorEnds(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		a := w.connect(hello())
		a.send(definition(1, time.Now(), 1, 2))
		synctest.Wait()
		w.cancel()
		a.ack(1)
		start := time.Now()
		if err := a.err(); status.Code(err) != codes.Unavailable || time.Since(start) > 2*time.Second {
			t.Errorf("ended with %v after %v, want Unavailable soon", err, time.Since(start))
		}
	})
}
