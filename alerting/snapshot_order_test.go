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
	"github.com/prometheus/client_golang/prometheus"
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

// An alert that ends and at once fires again may be in its group as ended while
// it is told to fire. If the group forgot it then, the log would soon not know
// that it fires, and it would be told again.
func TestAGroupDoesNotForgetWhatFiresAgainAsItIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "am.yml")
	if err := os.WriteFile(file, []byte(oneGroup), 0o666); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		store := &slow{out: make(chan *provider.Alert), ended: make(chan struct{})}
		am := run(t, file, begin, func(s stock, stage notify.Stage) (provider.Alerts, notify.Stage) {
			store.Alerts = s.alerts
			roll := newRoll(prometheus.NewCounter(prometheus.CounterOpts{}))
			return store, telling{roll: roll, alerts: s.alerts, routes: s.settings.routes, Stage: stage}
		})
		rule := func(name string, from, to time.Duration) *promrules.Alert {
			a := &promrules.Alert{Labels: labels.FromStrings("alertname", name, "node", "n1"), FiredAt: begin.Add(from), ValidUntil: begin.Add(time.Hour)}
			if to > 0 {
				a.ResolvedAt = begin.Add(to)
			}
			return a
		}
		at := func(d time.Duration) time.Time { return begin.Add(d) }
		am.put(t, at(time.Second), rule("A", time.Second, 0))
		am.put(t, at(2*time.Second), rule("B", 2*time.Second, 0))
		am.put(t, at(6*time.Minute), rule("A", time.Second, 6*time.Minute))
		store.hold = true
		am.put(t, at(6*time.Minute+time.Second), rule("A", 6*time.Minute+time.Second, 0))
		am.put(t, at(12*time.Minute), rule("C", 12*time.Minute, 0))
		am.until(at(18 * time.Minute))
		store.out <- store.held
		am.put(t, at(24*time.Minute), rule("A", 6*time.Minute+time.Second, 24*time.Minute))
		var got []string
		for _, m := range am.until(at(40 * time.Minute)) {
			var said []string
			for _, a := range inOrder([]Message{m})[0].Alerts {
				said = append(said, a.Labels["alertname"]+" "+a.Status)
			}
			got = append(got, strings.Join(said, ", "))
		}
		want := []string{"A firing", "A firing, B firing", "A firing, B firing, C firing", "A resolved, B firing, C firing"}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("want -, told +:\n%s", diff)
		}
	})
}
