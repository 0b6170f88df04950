package alerting

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promrules "github.com/prometheus/prometheus/rules"
)

// evaluated is an evaluation that notes when it was asked for, and that it was
// alone.
type evaluated struct {
	t      *testing.T
	inside atomic.Int32
	mu     sync.Mutex
	at     []time.Time
}

func (v *evaluated) evaluate(_ context.Context, _ *promrules.Group, at time.Time) {
	if v.inside.Add(1) > 1 {
		v.t.Error("a group is evaluated twice at a time")
	}
	<-time.After(20 * time.Millisecond)
	v.inside.Add(-1)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = append(v.at, at)
}

func TestTicksAndEarlyEvaluationsComeOneByOneAndTheirTimesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := newEarlyMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		v := &evaluated{t: t}
		ctx, cancel := context.WithCancel(t.Context())
		e := newEarly(ctx, nil, m, v.evaluate)
		g := promrules.NewGroup(promrules.GroupOptions{Name: "g", File: "f", Interval: time.Minute, Opts: &promrules.ManagerOptions{}})
		if err := e.reload(func() error { return nil }, func() []*promrules.Group { return []*promrules.Group{g} }); err != nil {
			t.Fatal(err)
		}
		slot := time.Now() // a tick that is late: its time is before that of what was evaluated early
		for range 20 {
			e.of(g).pace.cross(time.Now())
			<-time.After(6 * time.Millisecond)
			e.tick(ctx, g, slot)
			<-time.After(30 * time.Millisecond)
		}
		for i := 1; i < len(v.at); i++ {
			if !v.at[i].After(v.at[i-1]) {
				t.Errorf("evaluated as of %v after %v", v.at[i], v.at[i-1])
			}
		}
		if len(v.at) < 30 {
			t.Errorf("%d evaluations, want those of 20 ticks and about as many early ones", len(v.at))
		}

		back := time.Now().Add(-time.Hour) // the clock was set back
		e.tick(ctx, g, back)
		if last := v.at[len(v.at)-1]; !last.Equal(back) {
			t.Errorf("evaluated as of %v, want %v as the clock says", last, back)
		}

		if err := e.reload(func() error { return nil }, func() []*promrules.Group { return nil }); err != nil {
			t.Fatal(err)
		}
		e.loops.Wait() // that of the group that is gone has ended
		cancel()
	})
}

// A time with more to it than what the clock says would hide that it was set back
// since. Such are there only where time is real.
func TestRulesAreEvaluatedAsOfWhatTheClockSays(t *testing.T) {
	m, err := newEarlyMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	g := promrules.NewGroup(promrules.GroupOptions{Name: "g", File: "f", Interval: time.Minute, Opts: &promrules.ManagerOptions{}})
	now := time.Now()
	var got time.Time
	newEarly(t.Context(), nil, m, func(_ context.Context, _ *promrules.Group, at time.Time) { got = at }).tick(t.Context(), g, now)
	if want := now.Round(0); got.String() != want.String() || got.String() == now.String() {
		t.Errorf("evaluated as of %v, want %v", got, want)
	}
}
