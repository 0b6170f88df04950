package rules_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

func TestEveryMistakeIsToldWithItsPlace(t *testing.T) {
	tests := map[string]struct {
		file string
		want []string
	}{
		"a good file":                {"groups: [{name: g, rules: [{alert: A, expr: up == 0}]}]\n", nil},
		"an empty file has no rules": {"", nil},
		"no YAML": {
			"groups:\n  - name: g: h\n",
			[]string{"r.yml:2:1: mapping values are not allowed in this context"},
		},
		"an unknown key": {
			"groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up\n        fore: 5m\n",
			[]string{`r.yml:6:9: groups[0].rules[0].fore: unknown key, correct its spelling or remove it`},
		},
		"a key twice": {
			"groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up\n        expr: up\n",
			[]string{`r.yml:6:9: groups[0].rules[0].expr: the key is there twice, remove one of them`},
		},
		"a query on one line": {
			"groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up == == 1\n",
			[]string{`r.yml:5:21: groups[0].rules[0].expr: no valid PromQL: unexpected ==, try it at /api/v1/query`},
		},
		"a query in a block": {
			"groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: |\n          up\n            == == 1\n",
			[]string{`r.yml:7:16: groups[0].rules[0].expr: no valid PromQL: unexpected ==, try it at /api/v1/query`},
		},
		"a template": {
			"groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up\n        annotations:\n          summary: '{{ $labels.node }'\n",
			[]string{`r.yml:7:20: groups[0].rules[0].annotations.summary: no valid template: unexpected "}" in operand`},
		},
		"every mistake of a file at once": {
			"groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up(\n      - record: r\n        alert: A\n        expr: up\n      - record: s\n",
			[]string{
				`r.yml:5:18: groups[0].rules[0].expr: no valid PromQL: unclosed left parenthesis, try it at /api/v1/query`,
				`r.yml:6:17: groups[0].rules[1].record: only one of 'record' and 'alert' must be set`,
				`r.yml:9:17: groups[0].rules[2].record: field 'expr' must be set in rule`,
			},
		},
		"a rule twice": {
			"groups:\n  - name: g\n    rules:\n      - {alert: A, expr: up, labels: {severity: low}}\n      - {alert: A, expr: up == 0}\n      - {alert: A, expr: up > 0}\n",
			[]string{`r.yml:6:9: groups[0].rules[2]: "A" has the name and labels of the rule at r.yml:5, give one of them another name or label, such as severity`},
		},
		"a group twice": {
			"groups:\n  - name: g\n    rules: []\n  - name: g\n    rules: []\n",
			[]string{`r.yml:4:11: groups[1].name: the group "g" is there twice, give one of them another name`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("r.yml", []byte(tt.file), 0o666); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range rules.Check([]string{"*.yml"}) {
				got = append(got, p.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFileThatIsNotThereIsAMistakeAndAPatternWithoutMatchIsNone(t *testing.T) {
	dir := t.TempDir()
	problems := rules.Check([]string{filepath.Join(dir, "none.yml"), filepath.Join(dir, "*.yml"), "[", filepath.Join(dir, "none.yml")})
	if len(problems) != 2 || problems[0].File != filepath.Join(dir, "none.yml") || problems[1].File != "[" {
		t.Errorf("problems %v, want one of none.yml and one of the broken pattern", problems)
	}
}

func TestTheSameRuleInTwoFilesIsAMistake(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.yml", "b.yml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("groups: [{name: g, rules: [{alert: A, expr: up}]}]\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	problems := rules.Check([]string{dir + "/*.yml"})
	if len(problems) != 1 || problems[0].File != filepath.Join(dir, "b.yml") {
		t.Errorf("problems %v, want one of b.yml", problems)
	}
}
