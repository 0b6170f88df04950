package rules_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

// rendered is the pack as a rule file, by name and severity.
func rendered(t *testing.T, overrides string) map[string]rulefmt.Rule {
	t.Helper()
	text, problems := rules.RenderPack(overrides)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	all := map[string]rulefmt.Rule{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				all[r.Alert+"/"+r.Labels["severity"]] = r
			}
		}
	}
	return all
}

// numbers are those of an expression, in its order, and the expression without
// them.
func numbers(t *testing.T, expr string) (values []float64, rest string) {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if n, ok := n.(*parser.NumberLiteral); ok {
			values = append(values, n.Val)
			n.Val = 0
		}
		return nil
	})
	return values, e.String()
}

func TestAnOverrideChangesTheOneNumberOfItsRule(t *testing.T) {
	other := map[string]string{"%": "12.5%", "s": "7m", "B": "3MiB", "": "17"}
	want := map[string]float64{"%": 0.125, "s": 420, "B": 3 << 20, "": 17}
	was := rendered(t, "")
	units := map[string]string{}
	changes := "override:\n"
	for _, r := range listed(t, "") {
		id := key(r)
		marks := strings.Count(was[id].Expr, "# threshold")
		switch {
		case r.Threshold == "" && marks > 0:
			t.Errorf("%s: a threshold that is not understood in %s", id, was[id].Expr)
		case marks > 1:
			t.Errorf("%s has more than one threshold", id)
		case marks == 1:
			units[id] = unit(r.Threshold)
			changes += fmt.Sprintf("  %s: {threshold: %s}\n", id, other[units[id]])
		}
	}
	if len(units) < 30 {
		t.Errorf("only %d rules have a threshold", len(units))
	}
	is := rendered(t, overrideFile(t, changes))
	for id, u := range units {
		before, beforeRest := numbers(t, was[id].Expr)
		after, afterRest := numbers(t, is[id].Expr)
		var changed []float64
		for i := range after {
			if after[i] != before[i] {
				changed = append(changed, after[i])
			}
		}
		if beforeRest != afterRest || len(changed) != 1 || changed[0] != want[u] {
			t.Errorf("%s with a threshold of %s: %v became %v", id, other[u], before, after)
		}
	}
}

// unit is that of a threshold as a list shows it.
func unit(threshold string) string {
	switch {
	case strings.HasSuffix(threshold, "%"):
		return "%"
	case strings.HasSuffix(threshold, "B"):
		return "B"
	case strings.ContainsAny(threshold, "smhdwy"):
		return "s"
	}
	return ""
}

// Written as it is now, a threshold changes nothing: what a list shows can be
// copied into a file of overrides.
func TestThresholdsAreWrittenAsTheyAreRead(t *testing.T) {
	all := map[string]map[string]string{}
	for _, r := range listed(t, "") {
		if r.Threshold != "" {
			all[key(r)] = map[string]string{"threshold": r.Threshold}
		}
	}
	text, err := yaml.Marshal(map[string]any{"override": all})
	if err != nil {
		t.Fatal(err)
	}
	was, is := rendered(t, ""), rendered(t, overrideFile(t, string(text)))
	for id := range all {
		a, _ := numbers(t, was[id].Expr)
		b, _ := numbers(t, is[id].Expr)
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: %v became %v", id, a, b)
		}
	}
}

// A rule without a story in which it fires could be one that never does.
func TestEachRuleFiresInAStory(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	for _, r := range listed(t, "") {
		if r.Name != "Watchdog" && !strings.Contains(tests.String(), r.Name+" "+r.Severity+": ") {
			t.Errorf("%s: nowhere among the tests does it fire", key(r))
		}
	}
}

// Whoever has a Prometheus can use the pack there: Debian's, of 2023, takes it.
func TestPromtoolTakesThePack(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		const missing = "promtool is not installed: apt-get install prometheus"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	dir := t.TempDir()
	for name, overrides := range map[string]string{
		"pack.yml":    "",
		"changed.yml": overrideFile(t, "disable: [ContainerGone]\noverride: {HostDiskWillFill/warning: {threshold: 2d, severity: info}}\n"),
	} {
		text, problems := rules.RenderPack(overrides)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	story, err := os.ReadFile("testdata/pack_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pack_test.yml"), story, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run("check", "rules", "pack.yml", "changed.yml")
	if err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
	for _, n := range []int{len(rendered(t, "")), len(rendered(t, "")) - 1} {
		if !strings.Contains(out, strconv.Itoa(n)) {
			t.Errorf("promtool check rules does not find %d rules:\n%s", n, out)
		}
	}
	if out, err := run("test", "rules", "pack_test.yml"); err != nil {
		t.Errorf("promtool test rules: %v\n%s", err, out)
	}
	// It would tell if something were wrong.
	wrong := strings.ReplaceAll(string(story), "0x40", "100x40")
	if err := os.WriteFile(filepath.Join(dir, "pack_test.yml"), []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run("test", "rules", "pack_test.yml"); err == nil || !strings.Contains(out, "ContainerMemoryNearLimit") {
		t.Errorf("promtool test rules of a wrong test: %v\n%s", err, out)
	}
}
