package alerting_test

import (
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/alerting"
)

func TestABrokenFileLeavesInForceWhatWas(t *testing.T) {
	tests := map[string]struct{ file, text, want string }{
		"a route to nowhere": {
			"alertmanager.yml", strings.Replace(config("http://127.0.0.1:1"), "receiver: hook", "receiver: hock", 1),
			`alertmanager.yml:2:13: route.receiver: undefined receiver "hock", did you mean "hook"?`,
		},
		"no YAML": {"alertmanager.yml", "route: {", "alertmanager.yml:1:"},
		"a broken query": {
			"rules.yml", strings.Replace(nearLimit, "> 0.9", ">> 0.9", 1),
			"rules.yml:5:",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.run(w.options())
			if got := p.metric("alertmanager_config_last_reload_successful"); got != 1 {
				t.Errorf("reload metric %v at the start, want 1", got)
			}

			w.write(tt.file, tt.text)
			err := p.Reload()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
			if got := p.metric("alertmanager_config_last_reload_successful"); got != 0 {
				t.Errorf("reload metric %v, want 0", got)
			}
			w.uses("web", 95)
			w.next()
			w.uses("web", 50)
			w.next()

			w.write("alertmanager.yml", config(w.hook))
			w.write("rules.yml", nearLimit)
			if err := p.Reload(); err != nil {
				t.Error(err)
			}
			if got := p.metric("alertmanager_config_last_reload_successful"); got != 1 {
				t.Errorf("reload metric %v after the repair, want 1", got)
			}
		})
	}
}

func TestAReloadWithoutAChangeTellsNothingAgain(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	w.uses("web", 95)
	w.next()
	for range 3 {
		if err := p.Reload(); err != nil {
			t.Fatal(err)
		}
		p.evaluates(settled)
	}
	w.silent()
	w.uses("web", 50)
	if m := w.next(); m.Status != "resolved" {
		t.Errorf("message %+v, want it resolved", m)
	}
}

// A new dispatcher would flush all groups after their group_wait.
func TestAReloadWithoutAChangeLeavesGroupsTheirTimes(t *testing.T) {
	w := newWorld(t)
	text := strings.Replace(strings.Replace(config(w.hook), "[alertname, node, name]", "[alertname]", 1), "group_interval: "+groupInterval.String(), "group_interval: 1h", 1)
	w.write("alertmanager.yml", text+"templates: ['*.tmpl']\n")
	p := w.run(w.options())
	w.uses("one", 95)
	w.next()
	w.uses("two", 95)
	for range 3 {
		p.evaluates(2)
		if err := p.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	p.evaluates(settled)
	w.silent()
	w.write("a.tmpl", `{{ define "x" }}{{ end }}`)
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	if m := w.next(); len(m.Alerts) != 2 {
		t.Errorf("message %+v, want both alerts", m)
	}
}

func TestAReloadBringsNewRoutesAndRules(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	w.write("alertmanager.yml", strings.ReplaceAll(config(w.hook), "hook\n", "pager\n"))
	w.write("more.rules.yml", "groups: [{name: more, rules: [{alert: Always, expr: vector(1)}]}]\n")
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	if m := w.next(); m.Receiver != "pager" || m.CommonLabels["alertname"] != "Always" {
		t.Errorf("message %+v, want Always for pager", m)
	}
}

func TestAReloadBeforeRunReplacesWhatRunStartsWith(t *testing.T) {
	w := newWorld(t)
	opts := w.options()
	a, err := alerting.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	w.write("rules.yml", "groups: [{name: g, rules: [{alert: A, expr: up(}]}]")
	if err := a.Reload(); err == nil {
		t.Error("no error for a broken file")
	}
	w.write("rules.yml", "groups: [{name: later, rules: [{alert: Always, expr: vector(1)}]}]\n")
	if err := a.Reload(); err != nil {
		t.Error(err)
	}
	w.start(a, opts)
	if m := w.next(); m.CommonLabels["alertname"] != "Always" {
		t.Errorf("message %+v, want Always", m)
	}
}

func TestNothingIsReloadedOnceItHasEnded(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	p.stop()
	if err := p.Reload(); err == nil {
		t.Error("no error")
	}
	if err := p.Run(t.Context()); err == nil {
		t.Error("it runs a second time")
	}
}
