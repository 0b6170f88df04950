package ingest

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAFaultCostsOneFrameAndNobodyElse(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		start := time.Now()
		innocent := w.modern(another(2, 1), 0)
		innocent.send(definition(1, start.Add(time.Millisecond), 1, 2))
		w.db.mu.Lock()
		w.db.faulty = start.Add(2 * time.Second).UnixMilli()
		w.db.mu.Unlock()
		a := w.connect(hello())
		a.send(definition(1, start.Add(time.Second), 1, 2))
		a.send(values(2, start.Add(2*time.Second), 3, 4))
		if err := a.err(); status.Code(err) != codes.Internal {
			t.Errorf("ended with %v, want Internal", err)
		}
		b := w.connect(hello())
		if from := b.welcome.GetResumeFrom(); from != 2 {
			t.Errorf("resume from %d, want 2: once more", from)
		}
		b.send(definition(2, start.Add(2*time.Second), 3, 4))
		if err := b.err(); status.Code(err) != codes.Internal {
			t.Errorf("ended with %v, want Internal", err)
		}
		c := w.connect(hello())
		if from := c.welcome.GetResumeFrom(); from != 3 {
			t.Errorf("resume from %d, want 3: the frame is left out", from)
		}
		c.send(definition(3, start.Add(3*time.Second), 5, 6))
		c.ack(3)
		innocent.send(values(2, start.Add(4*time.Second), 3, 4))
		innocent.ack(2)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "1s=1 3s=5" {
			t.Errorf("stored %s", got)
		}
		m := w.server.metrics
		if testutil.ToFloat64(m.faults) != 2 || testutil.ToFloat64(m.skipped) != 1 || testutil.ToFloat64(m.refused.WithLabelValues(reasonFault)) != 2 {
			t.Error("metrics do not say so")
		}
	})
}
