package rules_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

func TestWhatIsHardlyMeantIsToldWithItsPlace(t *testing.T) {
	// alert is a file with one alert without a fault but for the query.
	alert := func(expr string) string {
		return fmt.Sprintf("groups: [{name: g, rules: [{alert: A, labels: {severity: low}, annotations: {summary: s}, expr: '%s'}]}]\n", expr)
	}
	summary := func(expr, text string) string {
		return fmt.Sprintf("groups:\n- name: g\n  rules:\n  - alert: A\n    labels: {severity: low}\n    expr: %s\n    annotations:\n      summary: '%s'\n", expr, text)
	}
	const ask = "correct it; if an application exposes it, name a collector that has it with --url, or it with --metric"
	tests := map[string]struct {
		file string
		want []string // without the name of the file
	}{
		"a good alert": {alert("up == 0"), nil},
		"no severity and no summary": {
			"groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up == 0\n",
			[]string{
				"4:5: groups[0].rules[0]: alert A has no severity, add labels: {severity: warning}; routes and inhibitions go by it",
				"4:5: groups[0].rules[0]: alert A has no summary, add annotations: {summary: …}; messages and the console show it",
			},
		},
		"a severity of the group counts": {"groups: [{name: g, labels: {severity: low}, rules: [{alert: A, annotations: {summary: s}, expr: up == 0}]}]\n", nil},
		"a recording rule needs neither": {"groups: [{name: g, rules: [{record: r, expr: up}]}]\n", nil},
		"a metric that is misspelt": {
			alert("container_memory_usage_byte > 1"),
			[]string{"1:98: groups[0].rules[0].expr: nobody is known to export the metric container_memory_usage_byte, did you mean container_memory_usage_bytes?"},
		},
		"a metric that nobody exports": {
			alert("up == 0 or nonsense > 1"),
			[]string{"1:109: groups[0].rules[0].expr: nobody is known to export the metric nonsense, " + ask},
		},
		"a metric in an annotation's query is not looked at": {alert("up == 0"), nil},
		"a metric of an application that is named":           {alert("app_requests_total > 1"), nil},
		"a metric of a pattern":                              {alert("node_memory_MemAvailable_bytes < 1"), nil},
		"what is recorded beside it":                         {"groups: [{name: g, rules: [{record: our:up, expr: up}, {alert: A, labels: {severity: low}, annotations: {summary: s}, expr: our:up == 0}]}]\n", nil},
		"what rules write themselves":                        {alert("ALERTS{alertstate=\"firing\"} unless ALERTS_FOR_STATE"), nil},
		"the parts of a histogram":                           {alert("histogram_quantile(0.9, rate(plimsoll_upstream_query_duration_seconds_bucket[1m])) > 1"), nil},
		"the parts of what is no histogram": {
			alert("up_bucket > 1"),
			[]string{"1:98: groups[0].rules[0].expr: nobody is known to export the metric up_bucket, " + ask},
		},
		"names by a pattern": {alert("{__name__=~\"node_.+\"} > 1"), nil},
		"names by a pattern that none has": {
			alert("{__name__=~\"nod_.+\"} > 1"),
			[]string{`1:98: groups[0].rules[0].expr: nobody is known to export a metric with __name__=~"nod_.+", ` + ask},
		},
		"two values of a label": {
			alert("up{job=\"a\", job=\"b\"} == 0"),
			[]string{`1:98: groups[0].rules[0].expr: no series has both job="a" and job="b", remove one of them, or write x=~"a|b" for either`},
		},
		"a value that another condition excludes": {
			alert("up{job=\"a\", job!~\"a|b\"} == 0"),
			[]string{`1:98: groups[0].rules[0].expr: no series has both job="a" and job!~"a|b", remove one of them, or write x=~"a|b" for either`},
		},
		"too short a range": {
			alert("rate(container_spec_memory_limit_bytes[15s]) > 1"),
			[]string{
				"1:103: groups[0].rules[0].expr: container_spec_memory_limit_bytes has a value each 15s, so there are never two within 15s, and rate gives nothing, make it [1m0s] or more",
				"1:103: groups[0].rules[0].expr: rate of container_spec_memory_limit_bytes takes each fall of this gauge for a restart, use delta or deriv, or a counter",
			},
		},
		"a range that is long enough": {alert("rate(container_cpu_usage_seconds_total[15s]) > 1"), nil},
		"for shorter than the evaluations": {
			"groups: [{name: g, interval: 1m, rules: [{alert: A, labels: {severity: low}, annotations: {summary: s}, expr: up == 0, for: 30s}]}]\n",
			[]string{"1:125: groups[0].rules[0].for: is shorter than the 1m0s between two evaluations, the alert waits for 1m0s all the same; write that, or give the group a shorter interval"},
		},
		"for shorter than the interval of the metric": {
			"groups: [{name: g, rules: [{alert: A, labels: {severity: low}, annotations: {summary: s}, expr: container_spec_memory_limit_bytes > 1, for: 10s}]}]\n",
			[]string{"1:141: groups[0].rules[0].for: is shorter than the 15s between two values of what the query asks for, one value alone decides; wait for more than 15s, or leave it away"},
		},
		"no comparison": {
			alert("rate(container_cpu_usage_seconds_total[1m])"),
			[]string{"1:97: groups[0].rules[0].expr: compares with nothing, so the alert fires for every series that there is, compare the value, as in … > 0.9; with bool it compares and fires all the same"},
		},
		"a comparison that only gives 0 or 1": {
			alert("up == bool 0"),
			[]string{"1:97: groups[0].rules[0].expr: compares with nothing, so the alert fires for every series that there is, compare the value, as in … > 0.9; with bool it compares and fires all the same"},
		},
		"an alert that always fires on purpose": {alert("vector(1)"), nil},
		"what is not there":                     {alert("absent(up)"), nil},
		"a label that the query drops": {
			summary("sum by (job) (up) == 0", "{{ $labels.instance }} of {{ $labels.job }}"),
			[]string{`8:16: groups[0].rules[0].annotations.summary: there is no label "instance" in what the query gives, so this text has a gap, take it out of the text, or write sum by (job, instance)`},
		},
		"a label that one side keeps":            {summary("up == 0 and on (job) sum by (job) (up) > 1", "{{ $labels.instance }}"), nil},
		"a label that a group modifier brings":   {summary("sum by (job) (up) * on (job) group_left (node) up > 1", "{{ $labels.node }}"), nil},
		"a label that is made":                   {summary(`label_replace(sum(up), "x", "y", "", "") > 1`, "{{ $labels.x }}"), nil},
		"a label that one to one matching drops": {summary("up * on (job) up > 1", "{{ $labels.node }}"), []string{`8:16: groups[0].rules[0].annotations.summary: there is no label "node" in what the query gives, so this text has a gap, take it out of the text, or let the query keep it`}},
		"a template of many functions":           {summary("up == 0", `{{ with query "up" }}{{ . | first | value | humanize }}{{ end }} {{ $value | humanizePercentage }} {{ $labels.x | humanizeDuration }} {{ range query "up" }}{{ .Labels.y }}{{ end }} {{ externalURL }}`), nil},
		"a query in a template": {
			summary("up == 0", `{{ query "up ==" }}`),
			[]string{`8:16: groups[0].rules[0].annotations.summary: cannot be rendered: executing "A" at <query "up ==">: error calling query: query "up ==": 1:6: parse error: unexpected end of input`},
		},
		"a field that there is not": {
			summary("up == 0", "{{ .Value }} {{ .Nothing }}"),
			[]string{`8:16: groups[0].rules[0].annotations.summary: cannot be rendered: executing "A" at <.Nothing>: can't evaluate field Nothing in type struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("r.yml", []byte(tt.file), 0o666); err != nil {
				t.Fatal(err)
			}
			mistakes, warnings := rules.Lint([]string{"r.yml"}, rules.Exported().With("app_*"), 5*time.Second)
			var got []string
			for _, p := range warnings {
				got = append(got, strings.TrimPrefix(p.Error(), "r.yml:"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || len(mistakes) > 0 {
				t.Errorf("mistakes %v, warnings (-want +got):\n%s", mistakes, diff)
			}
		})
	}
}

func TestMistakesAndWarningsOfSeveralFilesAreTold(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"a.yml": "groups: [{name: g, rules: [{record: our:x, expr: other:x}]}]\n",
		"b.yml": "groups: [{name: g, rules: [{record: other:x, expr: up}, {alert: A, expr: our:x > 1}]}]\n",
		"c.yml": "groups: [{name: g, rules: [{alert: B, expr: up ==}]}]\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	mistakes, warnings := rules.Lint([]string{"*.yml"}, rules.Exported(), time.Second)
	if len(mistakes) != 1 || mistakes[0].File != "c.yml" || len(warnings) != 2 || warnings[0].File != "b.yml" {
		t.Errorf("mistakes %v, warnings %v", mistakes, warnings)
	}
}

// The rules that come with Plimsoll are an example to others, and none of them
// may wait for a metric that never comes.
func TestThePackHasNothingThatIsHardlyMeant(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	text, problems := rules.RenderPack("")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if err := os.WriteFile("pack.yml", text, 0o666); err != nil {
		t.Fatal(err)
	}
	mistakes, warnings := rules.Lint([]string{"pack.yml"}, rules.Exported(), 5*time.Second)
	for _, p := range append(mistakes, warnings...) {
		t.Error(p.Error())
	}
}
