package ruletest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

// The same files, right and wrong, are judged by the promtool of Debian.
func TestTheVerdictIsPromtools(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		lacking(t, "promtool is not installed: apt-get install prometheus, or build it from Prometheus' module")
	}
	good, err := os.ReadFile("testdata/good.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("testdata/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		old, new string // in the tests, or in the rules if it is not there
		passes   bool
	}{
		"right":                              {"", "", true},
		"nothing":                            {string(good), "", true},
		"no tests":                           {string(good), "rule_files: [rules.yml]\n", true},
		"no tests of broken rules":           {string(good), "rule_files: [broken.yml]\n", true},
		"tests of broken rules":              {"- rules.yml", "- broken.yml", false},
		"rules by a pattern":                 {"- rules.yml", "- 'ru*.yml'", true},
		"rules that are not there":           {"- rules.yml", "- rules.yml\n- none.yml", true},
		"no rules":                           {"- rules.yml", "- none.yml", false},
		"rules that are there twice":         {"- alert: AlwaysOn\n    expr: vector(1)", "- alert: AlwaysOn\n    expr: vector(1)\n  - alert: AlwaysOn\n    expr: vector(1)", false},
		"an unknown key":                     {"eval_time: 4m", "evaltime: 4m", false},
		"an unknown key of the rules":        {"for: 5m", "fore: 5m", false},
		"no YAML":                            {"rule_files:", "rule_files: [", false},
		"a key twice":                        {"  name: down", "  name: down\n  name: up", false},
		"a group twice in the order":         {"- derived", "- alerts", false},
		"an order against the grain":         {"- derived\n- alerts", "- alerts\n- derived", false},
		"a group that is not there":          {"- derived", "- other", true},
		"a label that is missing":            {"severity: critical}\n      exp_annotations: {summary", "exp: x}\n      exp_annotations: {summary", false},
		"another annotation":                 {"{summary: a:1 of app is down}", "{summary: it is down}", false},
		"no annotation":                      {"exp_annotations: {summary: a:1 of app is down}", "exp_annotations: {}", false},
		"an alert too many":                  {"exp_alerts: []", "exp_alerts: [{}]", false},
		"an alert too few":                   {"exp_alerts:\n    - {}", "exp_alerts: []", false},
		"no name of an alert":                {"alertname: AlwaysOn", "exp_alerts: []", false},
		"a name that no rule has":            {"eval_time: 4m\n    alertname: InstanceDown", "eval_time: 4m\n    alertname: Other", true},
		"a time before it fires":             {"eval_time: 5m30s", "eval_time: 4m59s", false},
		"a time between two evaluations":     {"eval_time: 5m30s", "eval_time: 5m59s", true},
		"no duration":                        {"eval_time: 4m", "eval_time: soon", false},
		"for that lasts longer":              {"for: 5m", "for: 6m", false},
		"keep_firing_for that ends earlier":  {"keep_firing_for: 3m", "keep_firing_for: 2m", false},
		"keep_firing_for that ends later":    {"keep_firing_for: 3m", "keep_firing_for: 5m", false},
		"a rule that fails":                  {"expr: sum by (job) (up)", "expr: up * on (job) up", false},
		"a template that fails":              {"'{{ $labels.instance }} of {{ $labels.job }} is down'", "'{{ humanize $labels.instance }}'", false},
		"another zone":                       {"zone: z1", "zone: z2", false},
		"another address":                    {"external_url: http://prometheus.example", "external_url: http://other", false},
		"no valid series":                    {"'0x10 1x10'", "'0x10 1y10'", false},
		"no valid name of a series":          {`'requests_total{job="app"}'`, `'requests_total{job="app"'`, false},
		"a wrong value":                      {"value: 3", "value: 3.0000001", false},
		"a number as people write it":        {"value: 3", "value: 3e0", true},
		"a wrong label of a sample":          {`'job:up:sum{job="app"}'`, `'job:up:sum{job="other"}'`, false},
		"a sample too few":                   {"- value: 3", "[]", false},
		"labels that are none":               {"labels: '{}'", "labels: '{'", false},
		"a query that is none":               {"expr: 2 + 1", "expr: 2 + ", false},
		"a query that fails":                 {"expr: 2 + 1", "expr: up + on () up", false},
		"a query of a range":                 {"expr: 2 + 1", "expr: 'up[5m]'", false},
		"evaluated less often":               {"evaluation_interval: 1m", "evaluation_interval: 7m", false},
		"evaluated more often":               {"evaluation_interval: 1m", "evaluation_interval: 20s", true},
		"samples more often":                 {"tests:\n- interval: 1m", "tests:\n- interval: 30s", false},
		"a subquery in the default interval": {"expr: 2 + 1\n    eval_time: 0s\n    exp_samples:\n    - value: 3", "expr: 'count_over_time(up{instance=\"a:1\"}[290s:])'\n    eval_time: 10m\n    exp_samples:\n    - {labels: '{job=\"app\", instance=\"a:1\"}', value: 5}", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file, ours, theirs := filepath.Join(dir, "test.yml"), string(good), string(rules)
			switch {
			case strings.Contains(ours, tt.old):
				ours = strings.Replace(ours, tt.old, tt.new, 1)
			case strings.Contains(theirs, tt.old):
				theirs = strings.Replace(theirs, tt.old, tt.new, 1)
			default:
				t.Fatalf("%q is nowhere", tt.old)
			}
			for name, text := range map[string]string{"test.yml": ours, "rules.yml": theirs, "broken.yml": "groups: [{name: g, rules: [{alert: A}]}]"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			r := Run(t.Context(), file, Options{})
			if passes := len(r.Failures) == 0; passes != tt.passes {
				t.Errorf("passes: %v, want %v; %v", passes, tt.passes, r.Failures)
			}
			out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", file).CombinedOutput()
			if passes := err == nil; passes != (len(r.Failures) == 0) {
				t.Errorf("promtool passes it: %v\n%s\nours: %v", passes, out, r.Failures)
			}
			for _, f := range r.Failures {
				if f.Line == 0 && len(ours) > 0 {
					t.Errorf("a failure without its place: %v", f)
				}
			}
		})
	}
}

// Prometheus' own examples of its newest format, which no package has yet.
func TestTheVerdictOverPrometheusOwnExamples(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		lacking(t, "where Prometheus' source is cannot be told: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "cmd/promtool/testdata")
	for name, passes := range map[string]bool{ // as its unittest_test.go has it
		"unittest.yml":               true,
		"long-period.yml":            true,
		"at-modifier-test.yml":       true,
		"negative-offset-test.yml":   true,
		"no-test-group-interval.yml": true,
		"start-time-test.yml":        true,
		"rules_run_fuzzy.yml":        false,
		"rules_run_no_fuzzy.yml":     false,
		"rules_run.yml":              false,
		"rules_run_extrafields.yml":  false,
		"bad-input-series.yml":       false,
		"bad-promql.yml":             false,
		"bad-rules-syntax-test.yml":  false,
		"bad-rules-error-test.yml":   false,
		"failing.yml":                false,
	} {
		t.Run(name, func(t *testing.T) {
			if r := Run(t.Context(), filepath.Join(dir, name), Options{}); (len(r.Failures) == 0) != passes {
				t.Errorf("want that it passes: %v; %v", passes, r.Failures)
			}
		})
	}
}

// The tests of the pack that promtool is asked about pass and fail here alike.
func TestTheVerdictOverTheTestsOfThePack(t *testing.T) {
	dir := t.TempDir()
	pack, problems := rules.RenderPack("")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	story, err := os.ReadFile("../rules/testdata/pack_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.ReplaceAll(string(story), "0x40", "100x40")
	for name, text := range map[string]string{"pack.yml": string(pack), "right.yml": string(story), "wrong.yml": wrong} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if r := Run(t.Context(), filepath.Join(dir, "right.yml"), Options{}); len(r.Failures) > 0 || r.Tests == 0 {
		t.Errorf("%d tests, failures %v", r.Tests, r.Failures)
	}
	if r := Run(t.Context(), filepath.Join(dir, "wrong.yml"), Options{}); len(r.Failures) == 0 {
		t.Error("a wrong test passes")
	}
}
