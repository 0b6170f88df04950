package alerting

import (
	"cmp"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	promrules "github.com/prometheus/prometheus/rules"
)

const rehearsedConfig = `
route:
  receiver: ops
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 41m
  routes:
  - matchers: [node = n1]
    receiver: both
    continue: true
    group_by: [node]
    group_wait: 10s
    group_interval: 90s
  - matchers: [alertname = B]
    receiver: quiet
    group_by: ['...']
    mute_time_intervals: [now and then]
inhibit_rules:
- source_matchers: [severity = critical]
  target_matchers: [severity = warning]
  equal: [node]
time_intervals:
- name: now and then
  time_intervals: [{times: [{start_time: '00:30', end_time: '01:00'}, {start_time: '02:00', end_time: '02:10'}]}]
receivers:
- name: ops
  webhook_configs: [{url: 'http://127.0.0.1:1/'}]
- name: both
  slack_configs: [{api_url: 'http://127.0.0.1:1/', send_resolved: true, title: '{{ .Status }} {{ len .Alerts }} {{ .NotificationReason }}'}]
  webhook_configs: [{url: 'http://127.0.0.1:1/', send_resolved: false}]
- name: quiet
  slack_configs: [{api_url: 'http://127.0.0.1:1/', title: '{{ range .Alerts }}{{ .Status }} {{ .Labels.alertname }}, {{ end }}'}]
`

// put is what rules say at a time.
type put struct {
	at     time.Duration
	alerts []*promrules.Alert
}

// scripted makes up four hours of some alerts, as a rule tells them each minute.
// Nothing is told when a group is due: which comes first is left to chance.
func scripted(random *rand.Rand, begin time.Time) (all []put) {
	type one struct {
		lset  labels.Labels
		since time.Time // zero: it does not fire
	}
	var some []*one
	for _, name := range []string{"A", "B"} {
		for _, node := range []string{"n1", "n2"} {
			for _, severity := range []string{"warning", "critical"} {
				some = append(some, &one{lset: labels.FromStrings("alertname", name, "node", node, "severity", severity)})
			}
		}
	}
	for at := 7 * time.Second; at < 4*time.Hour; at += time.Minute {
		p := put{at: at}
		now := begin.Add(at)
		for _, o := range some {
			turn := random.IntN(25) == 0
			switch {
			case o.since.IsZero() && turn:
				o.since = now
			case turn:
				p.alerts = append(p.alerts, &promrules.Alert{Labels: o.lset, FiredAt: o.since, ResolvedAt: now, ValidUntil: now.Add(4 * time.Minute)})
				o.since = time.Time{}
			}
			if !o.since.IsZero() {
				p.alerts = append(p.alerts, &promrules.Alert{Labels: o.lset, FiredAt: o.since, ValidUntil: now.Add(4 * time.Minute)})
			}
		}
		all = append(all, p)
	}
	return all
}

// The dispatcher is the one part of Alertmanager that a rehearsal replaces, so
// over hours of alerts that come and go it must say the same at the same times.
func TestARehearsalTellsWhatAlertmanagerTells(t *testing.T) {
	file := filepath.Join(t.TempDir(), "am.yml")
	if err := os.WriteFile(file, []byte(rehearsedConfig), 0o666); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				script := scripted(rand.New(rand.NewPCG(seed, 1)), begin)
				alertmanager := run(t, file, begin, asIs)
				for _, p := range script {
					alertmanager.put(t, begin.Add(p.at), p.alerts...)
				}
				want := alertmanager.until(begin.Add(5 * time.Hour))

				r, problems := Rehearse(file, &url.URL{})
				if len(problems) > 0 {
					t.Fatal(problems)
				}
				defer r.Close()
				var got []Message
				until := func(at time.Time) {
					more, err := r.Until(at)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, more...)
				}
				for _, p := range script {
					until(begin.Add(p.at - 1))
					if err := r.Put(begin.Add(p.at), p.alerts...); err != nil {
						t.Fatal(err)
					}
				}
				until(begin.Add(5 * time.Hour))
				if diff := gocmp.Diff(inOrder(want), inOrder(got)); diff != "" {
					t.Errorf("Alertmanager tells -, the rehearsal +:\n%s", diff)
				}
				if len(got) < 20 {
					t.Errorf("only %d messages, which proves little", len(got))
				}
			})
		})
	}
}

// stock is Alertmanager's own dispatcher, and what its receivers would send.
type stock struct {
	*Rehearsal
	alerts *mem.Alerts
	roll   *roll
}

// run starts it. What is between the store of alerts and the dispatcher, and
// around the stages behind it, is the caller's.
func run(t *testing.T, file string, begin time.Time, between func(stock, notify.Stage) (provider.Alerts, notify.Stage)) stock {
	t.Helper()
	quiet, registry, flags := slog.New(slog.DiscardHandler), prometheus.NewRegistry(), featurecontrol.NoopFlags{}
	r, problems := Rehearse(file, &url.URL{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Cleanup(r.Close)
	sent, err := nflog.New(nflog.Options{Retention: retention, Logger: quiet, Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	s := stock{Rehearsal: r, roll: newRoll(prometheus.NewCounter(prometheus.CounterOpts{}))}
	s.alerts, err = mem.NewAlerts(t.Context(), gcInterval, 0, enrolling{r.silencer, s.roll}, quiet, unrecorded, registry, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.alerts.Close)
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	inhibitor := inhibit.NewInhibitor(s.alerts, r.settings.conf.InhibitRules, quiet, unrecorded)
	running.Go(inhibitor.Run)
	inhibitor.WaitForLoading()
	t.Cleanup(inhibitor.Stop)
	from, pipeline := between(s, r.pipelines.New(r.receivers, func() time.Duration { return 0 }, inhibitor, r.silencer, r.settings.intervals, r.muted, sent, nil))
	d := dispatch.NewDispatcher(from, r.settings.routes, pipeline, marker.NewGroupMarker(), func(d time.Duration) time.Duration { return max(d, notify.MinTimeout) },
		tidyInterval, nil, quiet, unrecorded, dispatch.NewDispatcherMetrics(false, registry, flags), r.settings.tmpl)
	running.Go(func() { d.Run(begin) })
	d.WaitForLoading()
	t.Cleanup(d.Stop)
	return s
}

// asIs leaves Alertmanager as it is.
func asIs(s stock, stage notify.Stage) (provider.Alerts, notify.Stage) { return s.alerts, stage }

// put stores alerts, each once that before it is in its group.
func (s stock) put(t *testing.T, at time.Time, alerts ...*promrules.Alert) {
	t.Helper()
	<-time.After(time.Until(at))
	for _, a := range alerts {
		if err := s.alerts.Put(t.Context(), translate(a, "", at)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	}
}

// until is what was sent before a time.
func (s stock) until(at time.Time) []Message {
	<-time.After(time.Until(at))
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

func inOrder(all []Message) []Message {
	for i := range all {
		slices.SortFunc(all[i].Alerts, func(a, b MessageAlert) int { return cmp.Compare(fmt.Sprint(a.Labels), fmt.Sprint(b.Labels)) })
		all[i].At = all[i].At.UTC().Round(0)
	}
	slices.SortFunc(all, func(a, b Message) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Integration, b.Integration), cmp.Compare(fmt.Sprint(a.GroupLabels), fmt.Sprint(b.GroupLabels)))
	})
	return all
}
