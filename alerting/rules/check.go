package rules

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Check returns all that is wrong with the rule files that match the patterns.
func Check(patterns []string) conf.Problems {
	_, problems := Read(patterns, false)
	return problems
}

// ParseFile reads a rule file and returns either its groups or all that is
// wrong with it by itself. Rules that are there twice are not looked for.
func ParseFile(name string) (*rulefmt.RuleGroups, conf.Problems) {
	_, groups, problems := parse(name, os.ReadFile)
	return groups, problems
}

// Groups are those of a file that Files names.
func (s Set) Groups(file string) *rulefmt.RuleGroups { return s.groups[file] }

// check lets Prometheus judge a file and finds the place of each verdict.
func check(f place.File, data []byte) (*rulefmt.RuleGroups, conf.Problems) {
	groups, errs := rulefmt.Parse(data, false, model.UTF8Validation, parser.NewParser(parser.Options{}), discard)
	var problems conf.Problems
	for _, err := range errs {
		problems = append(problems, verdict(f, err)...)
	}
	return groups, problems
}

// verdict is the problems behind one error of Prometheus: several of a decoder,
// one of a rule, or one that only its text tells about.
func verdict(f place.File, err error) conf.Problems {
	var rule *rulefmt.Error
	if !errors.As(err, &rule) {
		if m := repeated.FindStringSubmatch(err.Error()); m != nil {
			return conf.Problems{f.Problem(repeatedGroup(f, m[1]), fmt.Sprintf("the group %q is there twice", m[1]), "give one of them another name")}
		}
		return f.Refused(unplaced(err))
	}
	n := ruleNode(f, rule.Group, rule.Rule-1)
	what := rule.Err.Unwrap().Error()

	var query parser.ParseErrors
	if errors.As(err, &query) && len(query) > 0 {
		return conf.Problems{f.InText(n.At("expr"), int(query[0].PositionRange.Start),
			"no valid PromQL: "+operator.ReplaceAllString(query[0].Err.Error(), "$1"), "try it at /api/v1/query")}
	}
	if m := inField.FindStringSubmatch(what); m != nil {
		return conf.Problems{f.Problem(n.At(m[1]+"s", m[2]), "no valid template: "+m[3], "")}
	}
	for _, key := range []string{"record", "alert"} {
		if at := n.At(key); at.Exists() {
			n = at
			break
		}
	}
	return conf.Problems{f.Problem(n, what, "")}
}

// How Prometheus words what is taken apart here.
var (
	inField  = regexp.MustCompile(`^(label|annotation) "([^"]+)": (?:error parsing template \S+: )?(?:template: \S+ )?(.*)$`)
	operator = regexp.MustCompile(`<op:(.+?)>`)
	repeated = regexp.MustCompile(`groupname: "(.*)" is repeated in the same file`)
	leading  = regexp.MustCompile(`^(?:(\d+):(\d+): )+`) // places: "3:5: 4:5: "
)

// unplaced is err without the place in front of its text, or as a line that
// place.File.Refused understands.
func unplaced(err error) error {
	text := err.Error()
	if m := leading.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("line %s: %s", m[1], strings.TrimPrefix(text, m[0]))
	}
	return err
}

// repeatedGroup finds the second group of a name.
func repeatedGroup(f place.File, name string) place.Node {
	var found place.Node
	for g := range f.At("groups").Children() {
		if n := g.At("name"); n.Text == name {
			if found.Exists() {
				return n
			}
			found = n
		}
	}
	return found
}

// ruleNode finds the i-th rule of a group by name.
func ruleNode(f place.File, group string, i int) place.Node {
	for g := range f.At("groups").Children() {
		if g.At("name").Text == group {
			return g.At("rules", i)
		}
	}
	return place.Node{}
}

// duplicates remembers where rules were first seen. Two rules with the same
// name and labels write the same series and, if their queries return the same
// labels, undo each other's alerts.
type duplicates struct{ first map[string]string }

func (d *duplicates) check(f place.File, groups *rulefmt.RuleGroups, off map[*rulefmt.Rule]bool) conf.Problems {
	if d.first == nil {
		d.first = map[string]string{}
	}
	var problems conf.Problems
	for g, group := range groups.Groups {
		for r, rule := range group.Rules {
			if off[&group.Rules[r]] {
				continue
			}
			lset := labels.NewBuilder(promrules.FromMaps(group.Labels, rule.Labels))
			lset.Set("record", rule.Record).Set("alert", rule.Alert)
			key := lset.Labels().String()
			n := f.At("groups", g, "rules", r)
			if first, ok := d.first[key]; ok {
				problems = append(problems, f.Problem(n, fmt.Sprintf("%q has the name and labels of the rule at %s", rule.Alert+rule.Record, first),
					"give one of them another name or label, such as severity"))
				continue
			}
			p := f.Problem(n, "", "")
			d.first[key] = fmt.Sprintf("%s:%d", p.File, p.Line)
		}
	}
	return problems
}
