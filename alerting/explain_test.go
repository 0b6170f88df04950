package alerting_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/alerting"
)

// explained waits until an explanation's verdict has a text in it.
func (p *process) explained(form url.Values, verdict string) alerting.Explanation {
	p.t.Helper()
	var found alerting.Explained
	defer func() {
		if p.t.Failed() {
			p.t.Logf("want %q in %+v", verdict, found)
		}
	}()
	p.eventually("it is explained", func() bool {
		p.ask(http.MethodGet, alerting.ExplainPath, form, "", &found)
		return len(found.Alerts) == 1 && strings.Contains(found.Alerts[0].Verdict, verdict)
	})
	return found.Alerts[0]
}

// text is an explanation as people read it.
func text(t *testing.T, e alerting.Explanation) string {
	t.Helper()
	var b bytes.Buffer
	if err := e.Write(&b, time.Now()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func has(t *testing.T, e alerting.Explanation, wants ...string) {
	t.Helper()
	got := text(t, e)
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

var nearLimitWeb = url.Values{"alert": {"NearLimit"}, "match": {`name="web"`}}

func TestWhatWasToldIsExplained(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	w.uses("web", 95)
	m := w.next()
	e := p.explained(nearLimitWeb, "It was told to hook/webhook[0]")
	if e.State != "firing" || e.Fingerprint != m.Alerts[0].Fingerprint || !e.Since.Equal(m.Alerts[0].StartsAt) {
		t.Errorf("%+v", e)
	}
	if e.Rule == nil || e.Rule.Value == nil || *e.Rule.Value != 0.95 || e.Rule.Group != "test" || e.Rule.Health != "ok" {
		t.Errorf("rule %+v", e.Rule)
	}
	if len(e.Routes) != 1 || e.Routes[0].Group != m.GroupKey {
		t.Fatalf("routes %+v, want the group %s", e.Routes, m.GroupKey)
	}
	told := e.Routes[0].Integrations[0]
	if !told.This || told.At.IsZero() || told.RepeatAt.Sub(told.At) != time.Hour || told.Sent != 1 {
		t.Errorf("told %+v", told)
	}
	if n := e.Routes[0].NextFlush.Sub(e.Routes[0].LastFlush); n != groupInterval {
		t.Errorf("next flush %v after the last, want %v", n, groupInterval)
	}
	has(t, e, `NearLimit{id="/docker/web"`, "value       0.95", "webhook[0]: told ", "group_interval 200ms, repeat_interval 1h")

	w.uses("db", 95)
	w.next()
	byPrint := p.explained(url.Values{"fingerprint": {e.Fingerprint}}, "It was told")
	if byPrint.Labels["name"] != "web" {
		t.Errorf("by fingerprint: %v", byPrint.Labels)
	}

	w.uses("web", 50)
	w.next()
	over := p.explained(nearLimitWeb, "It is over since")
	if over.State != "resolved" || over.EndsAt.IsZero() {
		t.Errorf("%+v", over)
	}
}

func TestWhatHoldsAnAlertBackIsExplained(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	id := p.silence("name=web", "")
	w.uses("web", 95)
	e := p.explained(nearLimitWeb, "It is silenced by ann for another 59m")
	if len(e.SilencedBy) != 1 || e.SilencedBy[0].ID != id || e.SilencedBy[0].Comment != "planned" {
		t.Errorf("silenced by %+v", e.SilencedBy)
	}
	has(t, e, "silenced by "+id, `matchers    {name="web"}`, "webhook[0]: not told")

	w.write("down.rules.yml", `groups: [{name: down, rules: [{alert: AgentDown, expr: vector(1), labels: {node: n1}}]}]`)
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	e = p.explained(nearLimitWeb, `It is held back by another alert: AgentDown{node="n1"}`)
	has(t, e, `held back by alert `+e.InhibitedBy[0].Fingerprint+` AgentDown{node="n1"}`)
}

func TestWhyNobodyIsToldIsExplained(t *testing.T) {
	w := newWorld(t)
	change := func(from, to string) {
		t.Helper()
		w.write("alertmanager.yml", strings.Replace(config(w.hook)+"time_intervals: [{name: always, time_intervals: [{}]}]\n", from, to, 1))
	}
	change("receivers:", "  routes: [{matchers: ['name = web'], receiver: hook, mute_time_intervals: [always]}]\nreceivers:")
	p := w.run(w.options())
	w.uses("web", 95)
	e := p.explained(nearLimitWeb, "Time interval always keeps it from hook.")
	has(t, e, `receiver hook by route {name="web"}`, "muted by    time interval always")
	p.happened(aboutWeb, "created", "grouped", "muted")

	change("receivers:", "  routes: [{matchers: ['name = web'], receiver: nobody}]\nreceivers:\n  - name: nobody")
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	e = p.explained(nearLimitWeb, "Nobody is told: its receiver nobody has no integration.")
	has(t, e, "it has no integration")

	change("group_wait: 0s", "group_wait: 10h")
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	w.uses("new", 95)
	p.explained(url.Values{"match": {`name="new"`}}, "It is told to hook/webhook[0] in 9h59m")
}

func TestWhatDoesNotFireIsExplained(t *testing.T) {
	w := newWorld(t)
	w.write("more.rules.yml", `groups:
  - name: more
    rules:
      - {alert: Later, expr: vector(1), for: 5m}
      - {alert: Never, expr: vector(1) > 2}
      - alert: Broken # two series on one side
        expr: vector(1) * on() (label_replace(vector(1), "a", "1", "", "") or label_replace(vector(1), "a", "2", "", ""))
`)
	p := w.run(w.options())
	e := p.explained(url.Values{"alert": {"Later"}}, "must be for 5m0s; 4m")
	if e.State != "pending" || e.Rule.FiresAt.Sub(e.Rule.ActiveSince) != 5*time.Minute || len(e.Routes) != 0 {
		t.Errorf("%+v", e)
	}
	has(t, e, "Later is pending", "fires in    4m", "for         5m")
	e = p.explained(url.Values{"alert": {"Never"}}, "It does not fire: the expression of its rule gives nothing.")
	has(t, e, "Never is inactive", "expr        vector(1) > 2")
	e = p.explained(url.Values{"alert": {"Broken"}}, "its rule cannot be evaluated")
	has(t, e, "problem     ")

	var found alerting.Explained
	p.ask(http.MethodGet, alerting.ExplainPath, url.Values{"alert": {"NoSuch"}}, "", &found)
	if len(found.Alerts) != 0 {
		t.Errorf("%+v for an alert that there is not", found)
	}
}

func TestAnAlertFromElsewhereIsExplainedWithoutARule(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	r, err := http.Post(p.api+"/api/v2/alerts", "application/json", strings.NewReader(`[{"labels":{"alertname":"Foreign"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	w.next()
	e := p.explained(url.Values{"alert": {"Foreign"}}, "It was told to hook/webhook[0]")
	if e.Rule != nil {
		t.Errorf("rule %+v", e.Rule)
	}
	has(t, e, "no rule: it came by the API")
}

func TestAnAlertThatNobodyCanTellTheEndOfIsExplained(t *testing.T) {
	w := newWorld(t)
	w.write("more.rules.yml", `groups:
  - name: more
    rules:
      - {alert: Busy, expr: work * on (node) group_left () weight > 90}
`)
	p := w.run(w.options())
	w.sample("work", "web", 95)
	w.sample("weight", "a", 1)
	p.explained(url.Values{"alert": {"Busy"}}, "It was told to hook/webhook[0]")
	w.sample("weight", "b", 1) // now there are two on one side
	e := p.explained(url.Values{"alert": {"Busy"}}, "It fires on ")
	has(t, e, "problem     ", "Busy{", " is firing")
	if e.Rule == nil || e.Rule.Health != "err" {
		t.Errorf("rule %+v", e.Rule)
	}
}

// Groups of one alert, as critical ones have by default, are found as well.
func TestAnAlertInAGroupOfItsOwnIsExplained(t *testing.T) {
	w := newWorld(t)
	w.write("alertmanager.yml", strings.Replace(config(w.hook), "group_by: [alertname, node, name]", "group_by: ['...']", 1))
	p := w.run(w.options())
	w.uses("web", 95)
	m := w.next()
	e := p.explained(nearLimitWeb, "It was told to hook/webhook[0]")
	if e.Routes[0].Group != m.GroupKey || e.Routes[0].LastFlush.IsZero() {
		t.Errorf("route %+v, want the group %s", e.Routes[0], m.GroupKey)
	}
}
