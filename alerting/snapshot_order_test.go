package alerting

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/prometheus/model/labels"
	promrules "github.com/prometheus/prometheus/rules"
)

const oneGroup = `
route: {receiver: ops, group_by: [node], group_wait: 0s, group_interval: 5m, repeat_interval: 1h}
receivers:
- name: ops
  slack_configs: [{api_url: 'http://127.0.0.1:1/', send_resolved: true}]
`

// slow is a store of alerts whose dispatcher is slow to sort one into its group,
// as one of its goroutines is while it waits for a processor.
type slow struct {
	*mem.Alerts
	out chan *provider.Alert

	mu    sync.Mutex
	hold  bool // the next one
	held  *provider.Alert
	ended chan struct{}
}

// SlurpAndSubscribe implements provider.Alerts.
func (s *slow) SlurpAndSubscribe(name string) ([]*alert.Alert, provider.AlertIterator) {
	all, in := s.Alerts.SlurpAndSubscribe(name)
	go func() {
		defer in.Close()
		for {
			select {
			case a := <-in.Next():
				s.mu.Lock()
				held := s.hold
				if held {
					s.hold, s.held = false, a
				}
				s.mu.Unlock()
				if !held {
					s.out <- a
				}
			case <-s.ended:
				return
			}
		}
	}()
	return all, provider.NewAlertIterator(s.out, s.ended, nil)
}

// slowly is our stage behind a dispatcher with a slow store.
func slowly(t *testing.T, file string, begin time.Time) (stock, *slow) {
	t.Helper()
	store := &slow{out: make(chan *provider.Alert), ended: make(chan struct{})}
	return run(t, file, begin, func(s stock, stage notify.Stage) (provider.Alerts, notify.Stage) {
		store.Alerts = s.alerts
		return store, telling{roll: s.roll, alerts: s.alerts, routes: s.settings.routes, Stage: stage}
	}), store
}

// A worker of the dispatcher may be slow with what was said of an alert: put says
// it, and late is the number of the one that comes into its group only at the end.
func TestWhatComesLateIntoAGroupRepeatsNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "am.yml")
	if err := os.WriteFile(file, []byte(oneGroup), 0o666); err != nil {
		t.Fatal(err)
	}
	const m = time.Minute
	type word struct {
		at       time.Duration
		name     string
		from, to time.Duration // it fires if to is 0
	}
	for name, tt := range map[string]struct {
		said []word
		late int
		want []string
	}{
		// If the group forgot it as it is told to fire, the log would soon not know
		// that it does, and it would be told again.
		"an alert that fires again": {
			[]word{{m, "A", m, 0}, {2 * m, "B", 2 * m, 0}, {8 * m, "A", m, 8 * m}, {8*m + time.Second, "A", 8*m + time.Second, 0}, {18 * m, "C", 18 * m, 0}},
			3,
			[]string{"A firing", "A firing, B firing", "A firing, B firing, C firing"},
		},
		// Else its end would be told with whatever fires next.
		"that an alert fired which has ended": {
			[]word{{m, "A", m, 0}, {2 * m, "A", m, 0}, {8 * m, "A", m, 8 * m}, {18 * m, "B", 18 * m, 0}},
			1,
			[]string{"A firing", "A resolved", "B firing"},
		},
		// A sender of its own may not say since when.
		"nothing, of an alert that fires again as if it had all the time": {
			[]word{{m, "A", m, 0}, {8 * m, "A", m, 8 * m}, {18 * m, "A", m, 0}},
			-1,
			[]string{"A firing", "A resolved", "A firing"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				am, store := slowly(t, file, begin)
				for i, w := range tt.said {
					store.hold = i == tt.late
					a := &promrules.Alert{Labels: labels.FromStrings("alertname", w.name, "node", "n1"), FiredAt: begin.Add(w.from), ValidUntil: begin.Add(2 * time.Hour)}
					if w.to > 0 {
						a.ResolvedAt = begin.Add(w.to)
					}
					am.put(t, begin.Add(w.at), a)
				}
				am.until(begin.Add(40 * m))
				if store.held != nil {
					store.out <- store.held
				}
				var got []string
				for _, sent := range am.until(begin.Add(55 * m)) {
					var said []string
					for _, a := range inOrder([]Message{sent})[0].Alerts {
						said = append(said, a.Labels["alertname"]+" "+a.Status)
					}
					got = append(got, strings.Join(said, ", "))
				}
				if diff := gocmp.Diff(tt.want, got); diff != "" {
					t.Errorf("want -, told +:\n%s", diff)
				}
			})
		})
	}
}
