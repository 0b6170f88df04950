package alerting

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
)

// ear is an integration that takes its time.
type ear struct {
	takes time.Duration
	mu    sync.Mutex
	told  []int // alerts, by notification
	err   error
}

func (l *ear) Notify(ctx context.Context, alerts ...*alert.Alert) (bool, error) {
	select {
	case <-time.After(l.takes):
	case <-ctx.Done():
		return false, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, len(alerts))
	return false, l.err
}

func (*ear) SendResolved() bool { return true }

func (l *ear) heard() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.told)
}

// beside is a receiver with two integrations, flushed each interval.
func beside(t *testing.T, interval time.Duration, first, second *ear) (flush func(n int) error, all *apart) {
	t.Helper()
	gap := model.Duration(interval)
	tree := dispatch.NewRoute(&config.Route{Receiver: "team", GroupInterval: &gap}, nil)
	receivers := map[string][]notify.Integration{"team": {
		notify.NewIntegration(first, first, "webhook", 0, "team"),
		notify.NewIntegration(second, second, "wecom", 0, "team"),
	}}
	slow := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "slow"}, []string{"integration"})
	fan := notify.FanoutStage{}
	for _, l := range []*ear{first, second} {
		fan = append(fan, notify.StageFunc(func(ctx context.Context, _ *slog.Logger, alerts ...*alert.Alert) (context.Context, []*alert.Alert, error) {
			_, err := l.Notify(ctx, alerts...)
			return ctx, alerts, err
		}))
	}
	a := newApart(t.Context(), notify.RoutingStage{"team": notify.MultiStage{fan}}, receivers, tree, slow)
	if len(a.all) != 2 {
		t.Fatalf("%d branches, want 2", len(a.all))
	}
	ctx := notify.WithRouteID(notify.WithReceiverName(notify.WithGroupKey(t.Context(), "g"), "team"), tree.ID())
	return func(n int) error {
		own, cancel := context.WithTimeout(ctx, max(interval, notify.MinTimeout))
		defer cancel()
		alerts := make([]*alert.Alert, n)
		for i := range alerts {
			alerts[i] = &alert.Alert{}
		}
		if n > 1 { // the last has ended
			alerts[n-1].EndsAt = time.Now()
		}
		_, _, err := a.Exec(own, slog.New(slog.DiscardHandler), alerts...)
		return err
	}, a
}

func TestAFlushWaitsForASlowIntegrationOnlyUntilTheNextIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick, slow := &ear{}, &ear{takes: 50 * time.Second}
		flush, all := beside(t, 15*time.Second, quick, slow)
		began := time.Now()
		for i := range 4 {
			err := flush(i + 1)
			if at := time.Since(began); i < 3 && at != time.Duration(i+1)*15*time.Second {
				t.Errorf("flush %d ended at %v, want when the next is due", i, at)
			}
			// It counts as failed, or Alertmanager would forget what has ended.
			ended := i > 0
			if (err != nil) != ended || ended && !strings.Contains(err.Error(), "team/wecom[0] is slow and still being told") {
				t.Errorf("flush %d: error %v", i, err)
			}
		}
		if len(quick.heard()) != 4 || len(slow.heard()) != 1 {
			t.Errorf("told %v and %v, want 4 and 1", quick.heard(), slow.heard())
		}
		<-time.After(50 * time.Second)
		if got := slow.heard(); len(got) != 2 || got[1] != 4 {
			t.Errorf("told %v, want what it missed", got)
		}
		all.close(time.Second)
	})
}

func TestOneThatIsQuickAgainIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick, slow := &ear{}, &ear{takes: 20 * time.Second}
		flush, all := beside(t, 30*time.Second, quick, slow)
		if err := flush(1); err != nil {
			t.Errorf("error %v, want none: it ended in time", err)
		}
		slow.err = errors.New("no")
		if err := flush(2); err == nil {
			t.Error("its error is lost")
		}
		all.close(time.Second)
	})
}

func TestTheEndWaitsForWhatIsBeingToldAndThenBreaksItOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick, slow := &ear{takes: 3 * time.Second}, &ear{takes: time.Minute}
		flush, all := beside(t, time.Second, quick, slow)
		_ = flush(1) // gives up after two seconds
		began := time.Now()
		all.close(2 * time.Second)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("closed after %v, want 2s", took)
		}
		if len(quick.heard()) != 1 || len(slow.heard()) != 0 {
			t.Errorf("told %v and %v, want the first alone", quick.heard(), slow.heard())
		}
		if err := flush(1); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v after the end", err)
		}
	})
}
