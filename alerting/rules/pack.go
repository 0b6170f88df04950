package rules

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Rule is what people want to know of a rule of the pack.
type Rule struct {
	Group         string
	Name          string
	Severity      string
	Threshold     string // as overrides write it; "" if it cannot be changed
	For           time.Duration
	KeepFiringFor time.Duration
	Description   string
	Runbook       string // URL
	Off           bool
}

// Pack lists the bundled rules by file and place in it, as a file of overrides
// changes them, with those that are off. An empty name changes nothing.
func Pack(overrides string) ([]Rule, conf.Problems) {
	p, problems := readPack(overrides)
	if len(problems) > 0 {
		return nil, place.Sorted(problems)
	}
	var list []Rule
	for _, file := range p.files {
		for _, g := range file.groups.Groups {
			for i := range g.Rules {
				list = append(list, p.describe(g.Name, &g.Rules[i]))
			}
		}
	}
	return list, nil
}

func (p pack) describe(group string, r *rulefmt.Rule) Rule {
	d := Rule{
		Group: group, Name: r.Alert, Severity: r.Labels["severity"],
		For: time.Duration(r.For), KeepFiringFor: time.Duration(r.KeepFiringFor),
		Description: r.Annotations["description"], Runbook: r.Annotations["runbook_url"], Off: p.off[r],
	}
	if t, ok := threshold(r.Expr); ok {
		d.Threshold = t.String()
	}
	return d
}

// CheckOverrides returns all that is wrong with a file of overrides.
func CheckOverrides(file string) conf.Problems {
	_, problems := readPack(file)
	return place.Sorted(problems)
}

// RenderPack is the bundled rules as one rule file for Prometheus, as a file of
// overrides changes them.
func RenderPack(overrides string) ([]byte, conf.Problems) {
	p, problems := readPack(overrides)
	if len(problems) > 0 {
		return nil, place.Sorted(problems)
	}
	var all rulefmt.RuleGroups
	for _, file := range p.files {
		for _, g := range without(file.groups, p.off).Groups {
			all.Groups = append(all.Groups, plain(g))
		}
	}
	var out strings.Builder
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(all); err != nil {
		return nil, conf.Problems{{File: "bundled", What: err.Error()}}
	}
	return []byte(out.String()), nil
}

// plain is a group that Prometheus of before labels of groups reads, too.
func plain(g rulefmt.RuleGroup) rulefmt.RuleGroup {
	for i, r := range g.Rules {
		lset := map[string]string{}
		maps.Copy(lset, g.Labels)
		maps.Copy(lset, r.Labels)
		g.Rules[i].Labels = lset
	}
	g.Labels = nil
	return g
}

// pack is the bundled files, changed, and which of their rules are off.
type pack struct {
	files []packFile
	off   map[*rulefmt.Rule]bool
}

type packFile struct {
	place.File
	groups *rulefmt.RuleGroups
}

func readPack(file string) (pack, conf.Problems) {
	p, alerts, problems := openPack()
	if len(problems) > 0 {
		return p, problems
	}
	o, problems := readOverrides(file)
	return p, append(problems, p.change(o, alerts, problems)...)
}

// openPack is the pack as it is, and its alerts.
func openPack() (p pack, alerts []*rulefmt.Rule, problems conf.Problems) {
	for _, name := range Bundled() {
		f, groups, problems := parse(name, bundled.ReadFile)
		if len(problems) > 0 {
			return p, nil, problems
		}
		p.files = append(p.files, packFile{f, groups})
		for _, g := range groups.Groups {
			for i := range g.Rules {
				if g.Rules[i].Alert != "" {
					alerts = append(alerts, &g.Rules[i])
				}
			}
		}
	}
	return p, alerts, nil
}

// change applies overrides, and returns what is wrong with them besides what is
// known.
func (p *pack) change(o overrides, alerts []*rulefmt.Rule, known conf.Problems) conf.Problems {
	off, problems := o.apply(alerts)
	p.off = off
	return slices.DeleteFunc(problems, func(m conf.Problem) bool { return spoiled(known, m.Path) })
}

// spoiled tells whether something at or below path is complained of already.
func spoiled(problems conf.Problems, path string) bool {
	return slices.ContainsFunc(problems, func(p conf.Problem) bool {
		return p.Path == path || strings.HasPrefix(p.Path, path+".")
	})
}

// addPack adds the bundled rules that are not off.
func (s *Set) addPack(overrides string, seen *duplicates) conf.Problems {
	p, problems := readPack(overrides)
	for _, f := range p.files {
		s.files, s.groups[f.Name] = append(s.files, f.Name), without(f.groups, p.off)
		problems = append(problems, seen.check(f.File, f.groups, p.off)...)
	}
	return problems
}

// without is a copy of groups without the rules that are off, and without
// groups that are left empty.
func without(groups *rulefmt.RuleGroups, off map[*rulefmt.Rule]bool) *rulefmt.RuleGroups {
	kept := &rulefmt.RuleGroups{}
	for _, g := range groups.Groups {
		rules := g.Rules
		g.Rules = nil
		for i := range rules {
			if !off[&rules[i]] {
				g.Rules = append(g.Rules, rules[i])
			}
		}
		if len(g.Rules) > 0 {
			kept.Groups = append(kept.Groups, g)
		}
	}
	kept.Groups = slices.Clip(kept.Groups)
	return kept
}
