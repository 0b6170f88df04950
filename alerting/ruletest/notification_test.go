package ruletest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatPeopleAreToldIsTested(t *testing.T) {
	r := Run(t.Context(), "testdata/notifications.yml", Options{})
	for _, f := range r.Failures {
		t.Error(f)
	}
	if r.Tests != 2 {
		t.Errorf("%d tests run, want 2", r.Tests)
	}
}

// A test of notifications that cannot fail would be worse than none.
func TestAnythingElseThanExpectedFails(t *testing.T) {
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for name, tt := range map[string]struct{ file, old, new string }{
		"another receiver":          {"notifications.yml", "{receiver: ops, integration: slack, status: resolved, group_labels: {alertname: JobDown}}", "{receiver: quiet}"},
		"another status":            {"notifications.yml", "status: resolved, group_labels: {alertname: JobDown}", "status: firing"},
		"another text":              {"notifications.yml", "title: 'FIRING 1: InstanceDown'", "title: 'FIRING 2: InstanceDown'"},
		"a text that is not there":  {"notifications.yml", "title: 'FIRING 1: InstanceDown'", "subject: x"},
		"another group":             {"notifications.yml", "group_labels: {alertname: JobDown}", "group_labels: {alertname: Other}"},
		"a message too many":        {"notifications.yml", "- eval_time: 0s", "- eval_time: 0s\n    exp_notifications: [{receiver: ops}]"},
		"a message too few":         {"notifications.yml", "    - {receiver: ops, integration: webhook}\n", ""},
		"another alert":             {"notifications.yml", "[{alertname: InstanceDown, instance: 'a:1'}]", "[{alertname: InstanceDown, instance: 'b:1'}]"},
		"an alert too many":         {"notifications.yml", "alerts: [{alertname: DiskFull, node: n2}]", "alerts: [{node: n2}, {node: n1}]"},
		"a longer wait":             {"alertmanager.yml", "group_wait: 30s", "group_wait: 31s"},
		"a longer repeat":           {"alertmanager.yml", "repeat_interval: 1h", "repeat_interval: 2h"},
		"no inhibition":             {"alertmanager.yml", "equal: [node]", "equal: [node, alertname]"},
		"no muting":                 {"alertmanager.yml", "start_time: '01:00'", "start_time: '00:30'"},
		"another route":             {"alertmanager.yml", "matchers: [severity = info]", "matchers: [severity = critical]"},
		"a broken alertmanager.yml": {"alertmanager.yml", "receiver: ops", "receiver: opps"},
		"a template that fails":     {"alertmanager.yml", "title: '{{ .Status", "title: '{{ .Status | Nothing"},
		"another rule":              {"rules.yml", "is down'", "is gone'"},
		"no times to come":          {"notifications.yml", "- name: a rule", "- start_timestamp: 2100-01-01T00:00:00Z\n  name: a rule"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, found := t.TempDir(), false
			for _, file := range []string{"notifications.yml", "alertmanager.yml", "rules.yml"} {
				text := read(file)
				if file == tt.file {
					found = strings.Contains(text, tt.old)
					text = strings.Replace(text, tt.old, tt.new, 1)
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if !found {
				t.Fatalf("%q is not in %s", tt.old, tt.file)
			}
			if r := Run(t.Context(), filepath.Join(dir, "notifications.yml"), Options{}); len(r.Failures) == 0 {
				t.Error("it passes")
			}
		})
	}
}
