package alerting_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/alerting/arrival"
)

// Where nothing is evaluated by the clock before the test is over, it is early
// evaluation that tells.
const never = time.Hour

// arriving is options with a detector and without ticks; and what shows a sample
// to both the store and the detector, as the collector does.
func (w *world) arriving() (alerting.Options, func(metric, container string, value float64)) {
	w.t.Helper()
	opts := w.options()
	opts.EvaluationInterval = never
	d, err := arrival.New(arrival.Options{Registerer: opts.Registerer})
	if err != nil {
		w.t.Fatal(err)
	}
	opts.Arrival = d
	last := int64(0)
	show := func(metric, container string, value float64) {
		w.t.Helper()
		app := w.db.Appender(w.t.Context())
		series := labels.FromStrings("__name__", metric, "name", container, "node", "n1")
		at := max(time.Now().UnixMilli(), last+1)
		last = at
		if _, err := app.Append(0, series, at, value); err != nil {
			w.t.Fatal(err)
		}
		if err := app.Commit(); err != nil {
			w.t.Fatal(err)
		}
		d.Show(at, []labels.Labels{series}, []float64{value})
	}
	return opts, show
}

// evaluated makes sure that there were so many evaluations before the tick. One is
// counted when it is over, and its messages may be here before.
func (p *process) evaluated(times float64, with ...string) {
	p.t.Helper()
	const name = "plimsoll_alerting_arrival_evaluations_total"
	p.eventually("evaluations are counted", func() bool { return p.metric(name, with...) >= times })
	if n := p.metric(name, with...); n != times {
		p.t.Errorf("%v evaluations %v, want %v", n, with, times)
	}
}

func TestACrossingIsToldAlthoughTheTickIsAnHourAway(t *testing.T) {
	w := newWorld(t)
	opts, show := w.arriving()
	p := w.run(opts)
	show("container_spec_memory_limit_bytes", "web", 100)
	show("container_memory_working_set_bytes", "web", 50)
	show("container_memory_working_set_bytes", "web", 95)
	if m := w.next(); m.Status != "firing" || m.CommonLabels["name"] != "web" {
		t.Errorf("message %+v, want web firing", m)
	}
	p.evaluated(1, "reason", "crossing")
	show("container_memory_working_set_bytes", "web", 96)
	show("container_memory_working_set_bytes", "web", 50)
	if m := w.next(); m.Status != "resolved" {
		t.Errorf("message %+v, want it resolved", m)
	}
	p.evaluated(2)
	if n := p.metric("plimsoll_alerting_arrival_series"); n != 2 {
		t.Errorf("%v series followed, want 2", n)
	}
}

func TestAnAlertFiresWhenItsForIsOverNotAtTheTick(t *testing.T) {
	w := newWorld(t)
	w.write("rules.yml", strings.Replace(nearLimit, "        labels:", "        for: 1s\n        keep_firing_for: 1s\n        labels:", 1))
	opts, show := w.arriving()
	p := w.run(opts)
	show("container_spec_memory_limit_bytes", "web", 100)
	began := time.Now()
	show("container_memory_working_set_bytes", "web", 95)
	if m := w.next(); m.Status != "firing" || time.Since(began) < 990*time.Millisecond {
		t.Errorf("after %v %+v, want it firing after a second", time.Since(began), m)
	}
	show("container_memory_working_set_bytes", "web", 50)
	if m := w.next(); m.Status != "resolved" {
		t.Errorf("message %+v, want it resolved", m)
	}
	p.evaluated(2, "reason", "for")
}

func TestOnlyTheGroupThatCrossesIsEvaluated(t *testing.T) {
	w := newWorld(t)
	w.write("other.rules.yml", `groups:
  - name: other
    rules:
      - {alert: Other, expr: 'something > 1'}
      - {alert: ByTheClock, expr: 'rate(container_memory_working_set_bytes[1m]) > 1'}
`)
	opts, show := w.arriving()
	p := w.run(opts)
	show("container_spec_memory_limit_bytes", "web", 100)
	show("container_memory_working_set_bytes", "web", 95)
	w.next()
	if n := p.metric("prometheus_rule_group_iterations_total", "rule_group", w.path("other.rules.yml")+";other"); n != 0 {
		t.Errorf("%v evaluations of a group that is about something else", n)
	}
	for evaluated, want := range map[string]float64{"arrival": 2, "tick": 1} {
		if n := p.metric("plimsoll_alerting_arrival_rules", "evaluated", evaluated); n != want {
			t.Errorf("%v rules are evaluated by %s, want %v", n, evaluated, want)
		}
	}
}

func TestRulesThatAreReloadedAreFollowed(t *testing.T) {
	w := newWorld(t)
	opts, show := w.arriving()
	p := w.run(opts)
	show("container_spec_memory_limit_bytes", "web", 100)
	show("container_memory_working_set_bytes", "web", 50)
	w.write("rules.yml", strings.Replace(nearLimit, "> 0.9", "> 0.4", 1))
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	// What is known of series is known to the new rules as well.
	if m := w.next(); m.Status != "firing" {
		t.Errorf("message %+v, want it firing", m)
	}
	w.write("rules.yml", "groups: [{name: test, rules: [{alert: Other, expr: other > 1}]}]\n")
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	if n := p.metric("plimsoll_alerting_arrival_series"); n != 0 {
		t.Errorf("%v series followed for rules that are gone", n)
	}
	show("other", "web", 2)
	for m := w.next(); m.CommonLabels["alertname"] != "Other"; m = w.next() {
		if m.Status != "resolved" {
			t.Errorf("message %+v, want Other", m)
		}
	}
}
