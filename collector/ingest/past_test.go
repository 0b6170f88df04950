package ingest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// another is the hello of an agent that speaks of lanes, on a node of its own, and
// holds the frames from 1 up to, but not including, next.
func another(n int, next uint64) *plimsollv1.Hello {
	h := hello()
	h.Node, h.SpoolId = fmt.Sprint("n", n), fmt.Sprintf("0190b2a4-7f7c-4d0a-a3bd-%012d", n)
	h.NextSeq, h.Revision = next, 1
	return h
}

// modern connects such an agent, whose clock is so far ahead.
func (w *world) modern(h *plimsollv1.Hello, ahead time.Duration) *agent {
	w.t.Helper()
	a := w.connect(h)
	a.request(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Clock{
		Clock: &plimsollv1.Clock{WallClockMs: time.Now().Add(ahead).UnixMilli()},
	}})
	return a
}

func (a *agent) request(req *plimsollv1.PushRequest) {
	a.w.t.Helper()
	if err := a.push.Send(req); err != nil {
		a.w.t.Fatal(err)
	}
}

// credit waits for what the agent may send of its past.
func (a *agent) credit() *plimsollv1.Credit {
	a.w.t.Helper()
	for {
		resp, err := a.push.Recv()
		if err != nil {
			a.w.t.Fatalf("waiting for credit: %v", err)
		}
		if c := resp.GetCredit(); c != nil {
			return c
		}
	}
}

func (a *agent) filled(until uint64) {
	a.w.t.Helper()
	a.request(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Filled{Filled: &plimsollv1.Filled{Until: until}}})
}

// history is what an agent has in its spool: the values of frame n are n and -n,
// and the last of so many is of now.
type history struct {
	*agent
	start   time.Time // of frame 0
	defined [2]bool
}

func (h *history) at(n uint64) time.Time { return h.start.Add(time.Duration(n) * time.Second) }

// frames sends those from one number up to, but not including, another.
func (h *history) frames(lane plimsollv1.Lane, from, until uint64) {
	h.w.t.Helper()
	for n := from; n < until; n++ {
		f := values(n, h.at(n), float64(n), -float64(n))
		if !h.defined[lane] {
			f, h.defined[lane] = definition(n, h.at(n), float64(n), -float64(n)), true
		}
		f.Lane = lane
		h.send(f)
	}
}

const (
	present = plimsollv1.Lane_LANE_UNSPECIFIED
	past    = plimsollv1.Lane_LANE_BACKFILL
)

// catchUp sends what is asked for of the past, until all up to frame n is
// acknowledged, and returns the first that was asked for.
func (h *history) catchUp(n uint64) (first uint64) {
	h.w.t.Helper()
	for {
		resp, err := h.push.Recv()
		if err != nil {
			h.w.t.Fatalf("waiting for frame %d: %v", n, err)
		}
		if c := resp.GetCredit(); c != nil {
			if first == 0 {
				first = c.GetFrom()
			}
			h.frames(past, c.GetFrom(), c.GetUntil())
			h.filled(c.GetUntil())
		}
		if resp.GetAck().GetSeq() >= n {
			return first
		}
	}
}

// whole checks that the frames from 1 to n are stored, each once.
func (h *history) whole(n uint64) {
	h.w.t.Helper()
	at := uint64(0)
	for _, p := range h.w.read(is("__name__", "m"))[seriesA] {
		if isStale(p.v) {
			continue
		}
		if at++; p.t != h.at(at).UnixMilli() || p.v != float64(at) {
			h.w.t.Fatalf("sample %d is %v at %v", at, p.v, time.UnixMilli(p.t).Sub(h.start))
		}
	}
	if at != n {
		h.w.t.Errorf("%d samples, want %d", at, n)
	}
}

func TestAfterALongOutageThePresentGoesFirst(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		h := &history{agent: w.modern(another(1, 201), 0), start: time.Now().Add(-200 * time.Second)}
		if from := h.welcome.GetResumeFrom(); from != 196 || h.welcome.GetRevision() != 1 {
			t.Fatalf("resume from %d, revision %d; want 196 and 1", from, h.welcome.GetRevision())
		}
		h.frames(present, 196, 201)
		for {
			resp, err := h.push.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if ack := resp.GetAck(); ack.GetLiveSeq() == 200 {
				if ack.GetSeq() != 0 {
					t.Errorf("all up to frame %d acknowledged while the past is missing", ack.GetSeq())
				}
				break
			}
			if c := resp.GetCredit(); c != nil && (c.GetFrom() != 1 || c.GetUntil() != 5) {
				t.Errorf("asked for %v, want 1 to 5", c)
			}
		}
		h.frames(past, 1, 5)
		h.filled(5)
		if c := h.credit(); c.GetFrom() != 5 || c.GetUntil() != 196 {
			t.Errorf("asked for %v, want 5 to 196", c)
		}
		if n := testutil.ToFloat64(w.server.metrics.pastLeft.WithLabelValues("n1")); n != 191 {
			t.Errorf("%v frames of the past are said to be missing, want 191", n)
		}
		if n := w.server.Behind(); n != 1 {
			t.Errorf("%d streams are behind, want 1", n)
		}
		h.frames(past, 5, 100)
		h.frames(present, 201, 202) // between them
		h.frames(past, 100, 196)
		h.filled(196)
		if ack := h.ack(201); ack.GetSamplesStored() != 402 {
			t.Errorf("ack %v, want 402 samples", ack)
		}
		h.whole(201)
		if n := testutil.CollectAndCount(w.server.metrics.pastLeft); n != 0 {
			t.Error("the past is still said to be missing")
		}
		if n := w.server.Behind(); n != 0 {
			t.Errorf("%d streams are behind, want none", n)
		}
		if !strings.Contains(w.log.String(), "the past of an agent is in") {
			t.Errorf("said %s", w.log)
		}
	})
}

func TestAShortOutageIsMadeUpForInOrder(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		if from := w.modern(another(1, 31), 0).welcome.GetResumeFrom(); from != 1 {
			t.Errorf("resume from %d, want 1", from)
		}
		if from := w.connect(hello()).welcome.GetResumeFrom(); from != 1 {
			t.Errorf("an agent that knows no lanes is to resume from %d, want 1", from)
		}
	})
}

func TestTheRestOfThePastIsAskedForAfterARestart(t *testing.T) {
	for name, killed := range map[string]bool{"clean": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				h := &history{agent: w.modern(another(1, 201), 0), start: time.Now().Add(-200 * time.Second)}
				h.frames(present, 196, 201)
				h.credit()
				h.frames(past, 1, 5)
				h.filled(5)
				h.credit()
				<-time.After(time.Second)
				h.frames(past, 5, 50)
				<-time.After(time.Second)
				w.restart(killed)
				g := &history{agent: w.modern(another(1, 203), 0), start: h.start}
				from := g.welcome.GetResumeFrom()
				g.frames(present, from, 203)
				first := g.catchUp(202)
				// What is not known to be durable is asked for again after a kill.
				if exact := from == 201 && first == 50; exact == killed || from < 196 || first < 5 || first > 50 {
					t.Errorf("resumed from %d and asked for the past from %d on", from, first)
				}
				g.whole(202)
			})
		})
	}
}

func TestWhatAnAgentHasNoMoreOfItsPastIsCountedAndNotAskedForAgain(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		h := &history{agent: w.modern(another(1, 101), 0), start: time.Now().Add(-100 * time.Second)}
		h.frames(present, 96, 101)
		h.credit()
		h.frames(past, 3, 5)
		h.filled(5)
		c := h.credit()
		if c.GetFrom() != 5 {
			t.Errorf("asked for %v, want from 5", c)
		}
		h.filled(c.GetUntil())
		h.ack(100)
		if n := testutil.ToFloat64(w.server.metrics.missing); n != 2+91 {
			t.Errorf("%v frames missing, want 93", n)
		}
	})
}

func TestWhatWasNotAskedForIsABreach(t *testing.T) {
	for name, send := range map[string]func(h *history){
		"before there is credit":   func(h *history) { h.frames(past, 1, 2) },
		"beyond it":                func(h *history) { h.credit(); h.frames(past, 5, 6) },
		"twice":                    func(h *history) { h.credit(); h.frames(past, 1, 2); h.frames(past, 1, 2) },
		"behind the end of it":     func(h *history) { h.credit(); h.filled(5); h.frames(past, 4, 5) },
		"an end that is another's": func(h *history) { h.credit(); h.filled(7) },
		"an end twice":             func(h *history) { h.credit(); h.filled(5); h.filled(5) },
		"the clock a second time": func(h *history) {
			h.request(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Clock{Clock: &plimsollv1.Clock{}}})
		},
		"an end without any credit":   func(h *history) { h.filled(5) },
		"a present frame out of turn": func(h *history) { h.frames(present, 97, 98); h.frames(present, 96, 97) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				next := uint64(101)
				if strings.Contains(name, "without") || strings.Contains(name, "before") {
					next = 10 // there is no past
				}
				h := &history{agent: w.modern(another(1, next), 0), start: time.Now().Add(-100 * time.Second)}
				send(h)
				if err := h.err(); status.Code(err) != codes.InvalidArgument {
					t.Errorf("ended with %v, want InvalidArgument", err)
				}
				synctest.Wait()
				if n := testutil.ToFloat64(w.server.metrics.ends.WithLabelValues("InvalidArgument")); n != 1 {
					t.Errorf("%v streams counted", n)
				}
			})
		})
	}
}

// Each frame takes 100 ms, and there are many of the past before it.
func TestWhatIsPresentDoesNotWaitForThePastOfAll(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		w.db.mu.Lock()
		w.db.slow = 100 * time.Millisecond
		w.db.mu.Unlock()
		start := time.Now().Add(-100 * time.Second)
		var all []*history
		for n := range 10 * cap(w.server.turns) {
			h := &history{agent: w.modern(another(n, 101), 0), start: start}
			h.credit()
			h.frames(past, 1, 5)
			all = append(all, h)
		}
		arrived := make(chan time.Duration, 1)
		sent := time.Now()
		w.server.opts.Arrived = func(string, time.Time) { arrived <- time.Since(sent) }
		all[len(all)-1].frames(present, 96, 97)
		if took := <-arrived; took > 400*time.Millisecond {
			t.Errorf("stored after %v, want no more than a few frames' time", took)
		}
	})
}

func TestThePastOfAllAgentsKeepsToOnePace(t *testing.T) {
	inBubble(t, Options{Limits: Limits{BackfillRate: 100}}, func(w *world) {
		began := time.Now()
		h := &history{agent: w.modern(another(1, 1001), 0), start: time.Now().Add(-1000 * time.Second)}
		h.frames(present, 996, 1001)
		h.catchUp(1000)
		h.whole(1000)
		// 995 frames of two samples; what came at once before anything was known
		// of them, and the last, are not waited for.
		if took := time.Since(began); took < 15*time.Second || took > 30*time.Second {
			t.Errorf("2000 samples at 100 a second took %v", took)
		}
		if testutil.ToFloat64(w.server.metrics.pastHeld) == 0 {
			t.Error("the wait is not counted")
		}
	})
}
