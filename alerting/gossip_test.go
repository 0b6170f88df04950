package alerting

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
)

func TestWhoLeadsComesFirstAndElseTheFirstByName(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b bool // lead
		want bool // a is first
	}{
		"neither leads": {false, false, true},
		"a leads":       {true, false, true},
		"b leads":       {false, true, false},
		"both say so":   {true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := first("a", tt.a, "b", tt.b); got != tt.want {
				t.Errorf("a is first: %v", got)
			}
			if got := first("b", tt.b, "a", tt.a); got == tt.want {
				t.Errorf("b is first: %v", got)
			}
		})
	}
}

func TestChangesThatFindNoRoomAreCountedAndAllIsSentAgain(t *testing.T) {
	m, err := newGossipMetrics(prometheus.NewRegistry(), &gossip{})
	if err != nil {
		t.Fatal(err)
	}
	l := &link{queue: make(chan change, 2), behind: make(chan struct{}, 1)}
	g := &gossip{metrics: m, own: newOwnGroups("x"), links: map[*link]struct{}{l: {}}}
	for range 5 {
		g.changed(kindSilences, []byte("change"))
	}
	if n := testutil.ToFloat64(m.dropped); n != 3 {
		t.Errorf("%v changes are said to be dropped, want 3", n)
	}
	select {
	case <-l.behind:
	default:
		t.Error("the other is not sent all there is")
	}
	<-l.queue
	g.changed(kindSilences, make([]byte, largestChange+1))
	if n := testutil.ToFloat64(m.dropped); n != 4 || len(l.queue) != 1 {
		t.Errorf("one that is too large: %v dropped, %d wait", n, len(l.queue))
	}
}

// broken is a tube whose other end says one thing.
type broken struct {
	said   []byte
	served chan struct{}
}

func (b *broken) Send([]byte) error { return nil }

func (b *broken) Recv() ([]byte, error) {
	select {
	case <-b.served:
		return nil, io.EOF
	default:
		close(b.served)
		return b.said, nil
	}
}

func TestAFrameThatMakesNoSenseEndsItsTubeAlone(t *testing.T) {
	for name, said := range map[string]string{
		"no JSON":      "{",
		"another kind": `{"changes":[{"kind":"alerts","data":"eA=="}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			g := &gossip{links: map[*link]struct{}{}}
			err := g.hear(&link{}, &broken{[]byte(said), make(chan struct{})})
			if err == nil || errors.Is(err, io.EOF) {
				t.Errorf("it ends by %v", err)
			}
		})
	}
}

func TestAGroupIsThisOnesOwnUntilItsOwnAlertsHaveEnded(t *testing.T) {
	now := time.Now()
	about := func(instance string, ends time.Time) *alert.Alert {
		a := fires("Down", now.Add(-time.Hour), now, ends)
		a.Labels["instance"] = model.LabelValue(instance)
		return a
	}
	o := newOwnGroups("a")
	mine, ended := about("a", now.Add(time.Hour)), about("a", now.Add(-time.Minute))
	other := about("b", now.Add(time.Hour))
	for _, step := range []struct {
		alerts     []*alert.Alert
		own, after bool
	}{
		{[]*alert.Alert{other}, false, false},
		{[]*alert.Alert{mine, other}, true, true},
		{[]*alert.Alert{ended, other}, true, false},
		{[]*alert.Alert{other}, false, false},
	} {
		own := o.note("g", step.alerts)
		if own {
			o.told("g", step.alerts)
		}
		if own != step.own || o.is("g") != step.after {
			t.Errorf("%v: own %v, afterwards %v", step.alerts, own, o.is("g"))
		}
	}
}

func TestATubeThatEndsWhileNothingRunsYetIsNoHarm(t *testing.T) {
	g := &gossip{open: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := g.talk(ctx, "b", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte(`{"leads":true,"changes":[{"kind":"nflog","data":"eA=="},{"kind":"silences","data":""}],"whole":true}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := parseFrame(payload)
		if err != nil {
			return
		}
		for _, c := range got.Changes {
			groupOf(c.Data) // whatever it is
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseFrame(again)
		if err != nil || len(back.Changes) != len(got.Changes) {
			t.Fatalf("%s comes back as %+v: %v", again, back, err)
		}
		for i, c := range got.Changes {
			if !bytes.Equal(back.Changes[i].Data, c.Data) {
				t.Errorf("change %d comes back as %q, was %q", i, back.Changes[i].Data, c.Data)
			}
		}
	})
}
