package rules

import (
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// Whatever a file of overrides says, either it is told what is wrong with it, or
// each rule is still one.
func FuzzOverrides(f *testing.F) {
	f.Add("disable: [HostCPUSteal]\noverride:\n  HostMemoryLow/warning: {threshold: 15%, for: 1m, keep_firing_for: 0s, severity: info}\n")
	f.Add("override: {HostDiskWillFill/critical: {threshold: 2h}, ContainerRestarting: {threshold: 1e3}}")
	f.Add("override: {HostClockSkew: {threshold: 0.0000001s}}")
	f.Add("disable: [/, HostMemoryLow/]\noverride: {'': {}}")
	promql := parser.NewParser(parser.Options{})
	_, pack, problems := openPack()
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules := make([]*rulefmt.Rule, len(pack))
		for i, r := range pack {
			copied := *r
			rules[i] = &copied
		}
		o, problems := parseOverrides("o.yml", []byte(text))
		off, more := o.apply(rules)
		if problems = append(problems, more...); len(problems) > 0 {
			if problems[0].File != "o.yml" {
				t.Errorf("a problem of %q: %v", problems[0].File, problems[0])
			}
			return
		}
		seen := map[string]bool{}
		for i, r := range rules {
			if off[r] {
				continue
			}
			if r.Expr != pack[i].Expr {
				if _, err := promql.ParseExpr(r.Expr); err != nil {
					t.Errorf("%s: %v in %s", id(r), err, r.Expr)
				}
			}
			if seen[id(r)] {
				t.Errorf("%s is there twice", id(r))
			}
			seen[id(r)] = true
		}
	})
}
