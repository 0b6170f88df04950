package stream

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

const (
	live = plimsollv1.Lane_LANE_UNSPECIFIED
	past = plimsollv1.Lane_LANE_BACKFILL
)

// span are the numbers from one up to, but not including, another.
func span(from, until uint64) (list []uint64) {
	for n := from; n < until; n++ {
		list = append(list, n)
	}
	return list
}

// backlog is a world with a hundred batches, whose collector wants the last five
// live.
func backlog(t *testing.T, test func(w *world)) {
	inBubble(t, Options{}, func(w *world) {
		g := newGroup(2)
		for range 100 {
			w.put(g)
		}
		w.collector.welcome = &plimsollv1.Welcome{ResumeFrom: 96, Revision: 1}
		// Of what is sent live, all is durable; of the rest nothing yet.
		w.collector.ack = func(seq uint64) *plimsollv1.Ack { return &plimsollv1.Ack{LiveSeq: seq} }
		defer w.collector.start()()
		<-time.After(time.Second)
		test(w)
	})
}

func (w *world) try(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestThePastIsSentAsFarAsItIsAskedFor(t *testing.T) {
	backlog(t, func(w *world) {
		c := w.collector
		if got := c.inLane(live); !slices.Equal(got, span(96, 101)) || len(c.inLane(past)) > 0 {
			t.Fatalf("sent %v live and %v of the past, before anybody asked for it", got, c.inLane(past))
		}
		if len(c.clocks) != 1 || c.early || c.clocks[0].GetWallClockMs() == 0 {
			t.Errorf("said its clock %d times, before any frame: %v", len(c.clocks), !c.early)
		}
		w.try(c.credit(1, 5))
		synctest.Wait()
		if got := c.inLane(past); !slices.Equal(got, span(1, 5)) || !slices.Equal(c.filled, []uint64{5}) {
			t.Errorf("sent %v of the past, filled %v", got, c.filled)
		}
		first := c.frames[slices.IndexFunc(c.frames, func(f *plimsollv1.Frame) bool { return f.GetLane() == past })]
		if len(first.GetSymbols()) == 0 || len(first.GetSeries()) == 0 {
			t.Error("the first frame of the past refers to what was said in the other lane")
		}
		w.put(newGroup(1))
		w.try(c.credit(5, 96))
		synctest.Wait()
		if got := c.inLane(past); !slices.Equal(got, span(1, 96)) {
			t.Errorf("sent %v of the past", got)
		}
		if got := c.inLane(live); !slices.Equal(got, span(96, 102)) {
			t.Errorf("sent %v live", got)
		}
		if st := w.spool.Stats(); st.Acked != 0 || st.Oldest != 1 {
			t.Errorf("spool %+v: want all kept, since the past is not acknowledged", st)
		}
		if n := testutil.ToFloat64(w.stream.metrics.backfilled); n != 95 {
			t.Errorf("%v frames of the past counted, want 95", n)
		}
		w.try(c.tell(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Ack{Ack: &plimsollv1.Ack{Seq: 101, LiveSeq: 101}}}))
		synctest.Wait()
		if st := w.spool.Stats(); st.Acked != 101 {
			t.Errorf("spool %+v: want all acknowledged", st)
		}
	})
}

func TestFramesThatWereAcknowledgedAreSentOnceMoreToACollectorThatLostThem(t *testing.T) {
	backlog(t, func(w *world) {
		w.try(w.collector.tell(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Ack{Ack: &plimsollv1.Ack{Seq: 100, LiveSeq: 100}}}))
		w.put(newGroup(1)) // the segment before is whole now, and goes
		w.try(w.collector.tell(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Ack{Ack: &plimsollv1.Ack{Seq: 101, LiveSeq: 101}}}))
		synctest.Wait()
		oldest := w.spool.Oldest()
		w.try(w.collector.credit(1, 102))
		synctest.Wait()
		if got := w.collector.inLane(past); !slices.Equal(got, span(oldest, 102)) || !slices.Equal(w.collector.filled, []uint64{102}) {
			t.Errorf("sent %v of the past, filled %v; want from %d on, which is the oldest that is held", got, w.collector.filled, oldest)
		}
	})
}

func TestAnOlderCollectorIsSpokenToAsItUnderstands(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		defer w.collector.start()()
		w.put(newGroup(1))
		<-time.After(time.Second)
		if len(w.collector.clocks) > 0 || len(w.collector.seqs()) != 1 {
			t.Errorf("said its clock to a collector that has not asked; sent %v", w.collector.seqs())
		}
	})
}
