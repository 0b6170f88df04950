package stream

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestWhatIsSpooledIsSentAndForgottenWhenAcknowledged(t *testing.T) {
	inBubble(t, Options{Version: "1.2", BootID: "boot", Interval: 2 * time.Second}, func(w *world) {
		defer w.collector.start()()
		g := newGroup(2)
		for range 100 {
			w.put(g)
		}
		<-time.After(6 * time.Second)
		if got := w.collector.seqs(); len(got) != 100 || got[0] != 1 || got[99] != 100 {
			t.Errorf("sent %v", got)
		}
		st := w.spool.Stats()
		if st.Acked != 100 || st.Segments != 1 {
			t.Errorf("spool %+v: want all acknowledged and deleted", st)
		}
		h := w.collector.hellos[0]
		if h.GetProtocol() != 1 || h.GetNode() != "n1" || h.GetSpoolId() != w.spool.ID() || h.GetBootId() != "boot" ||
			h.GetAgentVersion() != "1.2" || h.GetIntervalMs() != 2000 || h.GetWallClockMs() == 0 {
			t.Errorf("hello %v", h)
		}
		if testutil.ToFloat64(w.stream.metrics.connected) != 1 || testutil.ToFloat64(w.stream.metrics.frames) != 100 {
			t.Error("metrics do not say so")
		}
	})
}

func TestWhatACollectorHasLostIsSentOnceMoreAndCounted(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		g := newGroup(1)
		for range 10 {
			w.put(g)
		}
		stop := w.collector.start()
		<-time.After(6 * time.Second)
		if n := (Streams{w.stream}).Resent(); n != 0 {
			t.Errorf("%d sent once more to a collector that has lost nothing", n)
		}
		stop()
		w.collector.with(func() { w.collector.welcome.ResumeFrom = 4 })
		defer w.collector.start()()
		w.put(g)
		<-time.After(time.Minute)
		if n := (Streams{w.stream}).Resent(); n != 7 || len(w.collector.seqs()) != 18 {
			t.Errorf("%d sent once more, want those from 4 to 10; in all %v", n, w.collector.seqs())
		}
	})
}

func TestSendingBeginsWhereTheCollectorWants(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		g := newGroup(1)
		for range 10 {
			w.put(g)
		}
		w.collector.welcome.ResumeFrom = 8
		defer w.collector.start()()
		<-time.After(6 * time.Second)
		if got := w.collector.seqs(); !slices.Equal(got, []uint64{8, 9, 10}) {
			t.Errorf("sent %v", got)
		}
		if f := w.collector.frames[0]; len(f.GetSymbols()) == 0 {
			t.Error("the first frame of the stream defines nothing")
		}
	})
}

func TestAnOutageIsSaidOnceAndEndsWithinSeconds(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		stop := w.collector.start()
		g := newGroup(1)
		w.put(g)
		<-time.After(time.Second)
		stop()
		for range 600 {
			w.put(g)
			<-time.After(time.Second)
		}
		if n := strings.Count(w.log.String(), "collector unreachable, spooling"); n != 1 {
			t.Errorf("said %d times in ten minutes that the collector is away:\n%s", n, &w.log)
		}
		if n := testutil.ToFloat64(w.stream.metrics.reconnects); n < 200 || n > 400 {
			t.Errorf("%v attempts in ten minutes", n)
		}
		defer w.collector.start()()
		<-time.After(maxDelay)
		synctest.Wait()
		if got := w.collector.seqs(); len(got) != 601 {
			t.Errorf("%d frames sent %v after the collector was back, want 601", len(got), maxDelay)
		}
		if n := strings.Count(w.log.String(), "connected to collector"); n != 2 {
			t.Errorf("said %d times that it is connected:\n%s", n, &w.log)
		}
	})
}

// Nobody says that packets are lost.
func TestAPartitionIsNoticed(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		defer w.collector.start()()
		g := newGroup(1)
		w.put(g)
		<-time.After(time.Second)
		w.collector.with(func() { w.collector.cut = true })
		for range 16 {
			w.put(g)
			<-time.After(time.Second)
		}
		if !strings.Contains(w.log.String(), "collector unreachable") {
			t.Fatalf("not noticed within 16 s:\n%s", &w.log)
		}
		w.collector.with(func() { w.collector.cut = false })
		<-time.After(maxDelay + time.Second)
		if got := w.collector.seqs(); got[len(got)-1] != 17 {
			t.Errorf("sent %v after the network had healed", got)
		}
	})
}

func TestARefusalIsSaidWithARemedyAndNotRetriedBusily(t *testing.T) {
	for code, remedy := range map[codes.Code]string{
		codes.PermissionDenied:   "certificate",
		codes.FailedPrecondition: "versions",
		codes.InvalidArgument:    "update both",
		codes.Unauthenticated:    "certificate",
		codes.Unimplemented:      "gRPC port",
	} {
		t.Run(code.String(), func(t *testing.T) {
			inBubble(t, Options{}, func(w *world) {
				w.collector.refuse = status.Error(code, "no")
				defer w.collector.start()()
				<-time.After(10 * time.Minute)
				if n := w.collector.streams(); n > 45 || n < 15 {
					t.Errorf("%d attempts in ten minutes, want one in about half a minute", n)
				}
				if said := w.log.String(); strings.Count(said, "level=ERROR") != 1 || !strings.Contains(said, remedy) || !strings.Contains(said, "no") {
					t.Errorf("said %s", said)
				}
			})
		})
	}
}

// A disk that is full may have room soon.
func TestACollectorWithoutRoomIsTriedAgainWithinSeconds(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		w.collector.refuse = status.Error(codes.ResourceExhausted, "the disk is nearly full")
		defer w.collector.start()()
		w.put(newGroup(1))
		<-time.After(10 * time.Minute)
		if n := w.collector.streams(); n < 600/5 || n > 600/2 {
			t.Errorf("%d attempts in ten minutes, want one in some seconds", n)
		}
		if said := w.log.String(); strings.Count(said, "level=ERROR") != 1 || !strings.Contains(said, "nearly full") {
			t.Errorf("said %s", said)
		}
		w.collector.with(func() { w.collector.refuse = nil })
		<-time.After(busyDelay + time.Second)
		if len(w.collector.seqs()) != 1 {
			t.Error("not sent once there was room")
		}
	})
}

func TestACollectorThatDoesNotAnswerIsGivenUp(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		w.collector.mute = true
		defer w.collector.start()()
		<-time.After(handshakeTimeout + time.Second)
		if !strings.Contains(w.log.String(), "no answer to hello") {
			t.Errorf("said %s", &w.log)
		}
		w.collector.with(func() { w.collector.mute = false })
		w.put(newGroup(1))
		<-time.After(handshakeTimeout + maxDelay)
		if len(w.collector.seqs()) != 1 {
			t.Error("not sent once the collector answered")
		}
	})
}

func TestWhatIsNotAcknowledgedIsBounded(t *testing.T) {
	inBubble(t, Options{MaxFrames: 10}, func(w *world) {
		w.collector.deaf = true
		defer w.collector.start()()
		for g := newGroup(1); w.spool.NextSeq() < 50; {
			w.put(g)
		}
		<-time.After(time.Minute)
		if got := w.collector.seqs(); len(got) != 10 {
			t.Errorf("%d frames sent, want 10", len(got))
		}
	})
}

func TestAtTheEndTheSpoolIsFlushedAndTheAgentSaysGoodbye(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		defer w.collector.start()()
		g := newGroup(1)
		w.put(g)
		<-time.After(time.Second)
		for range 20 {
			w.put(g) // not sent yet when the end comes
		}
		start := time.Now()
		w.end()
		if len(w.collector.seqs()) != 21 || w.collector.goodbyes != 1 {
			t.Errorf("%d frames and %d goodbyes, want 21 and 1", len(w.collector.seqs()), w.collector.goodbyes)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestTheEndDoesNotWaitForACollectorThatIsDeaf(t *testing.T) {
	inBubble(t, Options{Drain: 3 * time.Second}, func(w *world) {
		w.collector.deaf = true
		defer w.collector.start()()
		w.put(newGroup(1))
		<-time.After(time.Second)
		start := time.Now()
		w.end()
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// A crash of the machine, or a copy put back, makes a spool give numbers again
// that the collector has.
func TestNumbersThatWereGivenTwiceMakeANewIdentity(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		w.put(newGroup(1))
		id := w.spool.ID()
		w.collector.welcome.ResumeFrom = 100
		stop := w.collector.start()
		for w.collector.streams() == 0 {
			<-time.After(10 * time.Millisecond)
		}
		w.collector.with(func() { w.collector.welcome.ResumeFrom = 1 }) // of the new identity it knows nothing
		<-time.After(6 * time.Second)
		if w.spool.ID() == id || !slices.Equal(w.collector.seqs(), []uint64{1}) {
			t.Errorf("sent %v under identity %s, before %s", w.collector.seqs(), w.spool.ID(), id)
		}
		stop()
	})
}

func TestAnAcknowledgementFromNowhereDeletesNothing(t *testing.T) {
	inBubble(t, Options{MaxFrames: 3}, func(w *world) {
		w.collector.ack = func(uint64) *plimsollv1.Ack { return &plimsollv1.Ack{Seq: 30} }
		g := newGroup(8)
		for range 40 {
			w.put(g)
		}
		stop := w.collector.start()
		for len(w.collector.seqs()) < 5 {
			<-time.After(10 * time.Millisecond)
		}
		stop()
		<-time.After(time.Second)
		if st := w.spool.Stats(); st.Acked > uint64(len(w.collector.seqs())) {
			t.Errorf("%d acknowledged, %d sent", st.Acked, len(w.collector.seqs()))
		}
	})
}

func TestABatchThatIsTooLargeIsLeftOutAndTheRestGoesOn(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		w.collector.welcome.Limits = &plimsollv1.Limits{FrameBytes: 1000}
		small := newGroup(1)
		w.put(small)
		w.put(newGroup(200))
		w.put(small)
		defer w.collector.start()()
		<-time.After(6 * time.Second)
		if got := w.collector.seqs(); !slices.Equal(got, []uint64{1, 2, 3}) || len(w.collector.frames[1].GetValues()) != 0 {
			t.Errorf("sent %v", got)
		}
		if n := testutil.ToFloat64(w.stream.metrics.refused.WithLabelValues("frame_too_large")); n != 200 {
			t.Errorf("%v samples counted, want 200", n)
		}
	})
}

func TestWhatTheCollectorDoesNotWantIsCountedAndSaidOnce(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		w.collector.ack = func(seq uint64) *plimsollv1.Ack {
			return &plimsollv1.Ack{Seq: seq, Refused: []*plimsollv1.Refusal{{Reason: "future", Samples: 2 * seq, Example: "m"}}}
		}
		defer w.collector.start()()
		g := newGroup(1)
		for range 5 {
			w.put(g)
			<-time.After(2 * time.Second)
		}
		if n := testutil.ToFloat64(w.stream.metrics.refused.WithLabelValues("future")); n != 10 {
			t.Errorf("%v samples counted, want 10", n)
		}
		if n := strings.Count(w.log.String(), "collector refuses samples"); n != 1 {
			t.Errorf("said %d times:\n%s", n, &w.log)
		}
	})
}

func TestAStreamThatIsWornIsFollowedByAFreshOne(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		defer w.collector.start()()
		g := newGroup(10)
		for range 100 {
			w.put(g)
		}
		big := newGroup(600)
		for range 100 {
			w.put(big)
			// It ends, and another like it begins.
			w.finish(big)
			big = newGroup(600)
		}
		w.put(g)
		<-time.After(10 * time.Second)
		if n := w.collector.streams(); n != 2 {
			t.Errorf("%d streams, want a second after most series had ended", n)
		}
		if got := w.collector.seqs(); !slices.IsSorted(got) || len(got) != 301 {
			t.Errorf("%d frames sent, want each once in order", len(got))
		}
		if strings.Contains(w.log.String(), "level=WARN") {
			t.Errorf("said %s", &w.log)
		}
	})
}
