package alerting

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"
)

const (
	// turn is how long the second waits for the first to tell a group.
	turn = 3 * time.Second
	// lag is by how much one may evaluate later than the other: when the other has
	// just told something, what is known here may be older than that.
	lag = time.Second
	// longestTurn is how long both may take.
	longestTurn = turn + 3*lag
	// mostTurns is how often it is waited for a group that changes meanwhile: what is
	// new is the first's to tell too.
	mostTurns = 3
	// mostTold bounds the groups that are remembered as told by the other.
	mostTold = 10_000
)

// inTurn is a pipeline in which the second of a pair tells only what the first
// has not, after a while, and in which alerts are as they are known to be.
//
// Alertmanager waits in the middle of its pipeline, with the alerts as they were
// before. What ends meanwhile, and the first tells so, it would tell to fire.
// Also, several workers of its dispatcher may put two updates of an alert in the
// wrong order. So all is looked at once more here.
type inTurn struct {
	notify.Stage
	am        *alertmanager
	receivers map[string][]notify.Integration
}

// patience is what a notification may take more because it waits for its turn.
func (am *alertmanager) patience() time.Duration {
	if am.gossip == nil {
		return 0
	}
	return mostTurns * longestTurn
}

// Exec implements notify.Stage.
func (s inTurn) Exec(ctx context.Context, log *slog.Logger, alerts ...*alert.Alert) (context.Context, []*alert.Alert, error) {
	g := s.am.gossip
	if g == nil {
		now := time.Now()
		return s.Stage.Exec(notify.WithNow(ctx, now), log, s.am.anew(alerts, now)...)
	}
	if err := g.WaitReady(ctx); err != nil { // before alerts are looked at: it takes a while
		return ctx, nil, err
	}
	now := time.Now()
	alerts = s.am.anew(alerts, now)
	group, _ := notify.GroupKey(ctx)
	own := g.own.note(group, alerts)
	if !own {
		var err error
		if alerts, now, err = s.await(ctx, group, alerts, now); err != nil {
			return ctx, nil, err
		}
		if alerts = s.unended(ctx, group, alerts, now); len(alerts) == 0 {
			return ctx, nil, nil
		}
	}
	next, rest, err := s.Stage.Exec(notify.WithNow(ctx, now), log, alerts...)
	if err == nil && own {
		g.own.told(group, alerts)
	}
	return next, rest, err
}

// unended leaves out what fires as far as is known here, where the log has newer
// word: it was told of the group without it since it began. Here is the older
// word while this process is new, as even what its rules see then is of before
// the start, and while an alert is held because its data are lost here alone.
func (s inTurn) unended(ctx context.Context, group string, alerts []*alert.Alert, now time.Time) []*alert.Alert {
	g := s.am.gossip
	receiver, _ := notify.ReceiverName(ctx)
	var entries []*nflogpb.Entry
	for i := range s.receivers[receiver] {
		if e, err := s.am.logged(group, receiver, &s.receivers[receiver][i]); err == nil && e != nil {
			entries = append(entries, e)
		}
	}
	if len(entries) == 0 {
		return alerts
	}
	young := now.Sub(g.started) < settle && g.connected() > 0
	return slices.DeleteFunc(alerts, func(a *alert.Alert) bool {
		if a.ResolvedAt(now) {
			return false
		}
		hash, ended := loggedAs(a.Labels), false
		for _, e := range entries {
			if slices.Contains(e.FiringAlerts, hash) || !e.Timestamp.AsTime().After(a.StartsAt) {
				return false // what some know to fire must not vanish for them
			}
			ended = ended || slices.Contains(e.ResolvedAlerts, hash)
		}
		return young && a.StartsAt.Before(g.started) || ended && g.held != nil && g.held(a.Fingerprint())
	})
}

// await returns alerts as they are once it is this one's turn to tell them.
func (s inTurn) await(ctx context.Context, group string, alerts []*alert.Alert, now time.Time) ([]*alert.Alert, time.Time, error) {
	for range mostTurns {
		if !s.am.gossip.waits() {
			break
		}
		if err := s.am.gossip.await(ctx, group); err != nil {
			return nil, now, err
		}
		now = time.Now()
		before := alerts
		alerts = s.am.anew(alerts, now)
		if slices.EqualFunc(before, alerts, func(a, b *alert.Alert) bool { return a.ResolvedAt(now) == b.ResolvedAt(now) }) {
			break
		}
	}
	return alerts, now, nil
}

// await returns when the first had its turn, or is gone.
func (g *gossip) await(ctx context.Context, group string) error {
	tick := time.NewTicker(beat / 2)
	defer tick.Stop()
	began := time.Now()
	for {
		waited := time.Since(began)
		if waited >= longestTurn || !g.waits() {
			return nil
		}
		if waited >= turn && g.told.ago(group) >= lag {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// anew are alerts as they are now. As in the dispatcher, what fires has no end,
// so that it does not resolve while it is told.
func (am *alertmanager) anew(alerts []*alert.Alert, now time.Time) []*alert.Alert {
	list := make([]*alert.Alert, len(alerts))
	for i, a := range alerts {
		next := *a
		if known, err := am.alerts.Get(a.Fingerprint()); err == nil {
			next = *known
		}
		if !next.ResolvedAt(now) {
			next.EndsAt = time.Time{}
		}
		list[i] = &next
	}
	return list
}

// holds tells whether an alert is held.
func (h *holder) holds(fp model.Fingerprint) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.held[fp]
	return ok
}

// told remembers when the other last told something of a group.
type told struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (t *told) note(group string) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.at) >= mostTold {
		clear(t.at) // nothing is waited for longer than a moment
	}
	if t.at == nil {
		t.at = map[string]time.Time{}
	}
	t.at[group] = now
}

// ago is how long ago that was, or very long.
func (t *told) ago(group string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.at[group])
}
