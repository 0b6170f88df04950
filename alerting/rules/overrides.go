package rules

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// overrides is a file that changes the bundled pack. Its keys are names of
// rules, or Name/severity where rules share a name.
type overrides struct {
	Disable  []string          `yaml:"disable"`
	Override map[string]change `yaml:"override"`

	doc *conf.Doc
}

// change is what may be different about a rule; what is nil stays.
type change struct {
	Threshold     *text          `yaml:"threshold"`
	For           *time.Duration `yaml:"for"`
	KeepFiringFor *time.Duration `yaml:"keep_firing_for"`
	Severity      *text          `yaml:"severity"`
}

// text is a scalar as it stands in the file; what it means depends on the rule.
type text string

// Set implements conf.Setter.
func (t *text) Set(s string) error { *t = text(s); return nil }

// severities are those that the pack knows, and default.yml with it.
var severities = []string{"info", "warning", "critical"}

// readOverrides reads the form of a file. An empty name is an empty file.
func readOverrides(file string) (overrides, conf.Problems) {
	var o overrides
	if file == "" {
		return o, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return o, conf.Problems{{File: file, What: reason(err), Hint: "name a readable file of overrides, or none"}}
	}
	return parseOverrides(file, data)
}

func parseOverrides(file string, data []byte) (o overrides, _ conf.Problems) {
	var err error
	if o.doc, err = conf.Parse(file, data); err != nil {
		return o, asProblems(file, err)
	}
	return o, o.doc.Decode(&o)
}

// asProblems is what conf.Parse says.
func asProblems(file string, err error) conf.Problems {
	var problems conf.Problems
	if errors.As(err, &problems) {
		return problems
	}
	return conf.Problems{{File: file, What: err.Error()}}
}

// apply changes rules in place and returns those that are off, and all that is
// wrong with the overrides.
func (o overrides) apply(pack []*rulefmt.Rule) (off map[*rulefmt.Rule]bool, problems conf.Problems) {
	off = map[*rulefmt.Rule]bool{}
	fail := func(path string, m conf.Mistake) { problems = append(problems, o.doc.At(path, m)) }
	for i, key := range o.Disable {
		path := fmt.Sprintf("disable[%d]", i)
		found, m := find(pack, key)
		if m != nil {
			fail(path, *m)
		}
		for _, r := range found {
			if off[r] {
				fail(path, conf.Mistake{What: key + " is off already", Hint: "remove it here"})
			}
			off[r] = true
		}
	}
	changed := map[*rulefmt.Rule]bool{}
	renamed := map[*rulefmt.Rule]string{} // severities; at the end, as keys go by the old ones
	for _, key := range slices.Sorted(maps.Keys(o.Override)) {
		path := "override." + key
		found, m := find(pack, key)
		switch {
		case m != nil:
			fail(path, *m)
			continue
		case len(found) > 1:
			fail(path, conf.Mistake{What: "there are several rules of that name", Hint: "write " + either(found)})
			continue
		case off[found[0]]:
			fail(path, conf.Mistake{What: "the rule is off", Hint: "remove it here, or from disable"})
			continue
		case changed[found[0]]:
			fail(path, conf.Mistake{What: "the rule is changed twice", Hint: "write both changes in one place"})
			continue
		}
		changed[found[0]] = true
		for _, wrong := range o.Override[key].apply(found[0], renamed) {
			fail(path+wrong.key, wrong.Mistake)
		}
	}
	for r, severity := range renamed {
		r.Labels = maps.Clone(r.Labels)
		r.Labels["severity"] = severity
	}
	for r := range renamed {
		for _, other := range pack {
			if other != r && !off[other] && id(other) == id(r) {
				fail("override", conf.Mistake{What: "two rules would be " + id(r), Hint: "disable one of them"})
			}
		}
	}
	return off, problems
}

type wrong struct {
	key string // "" for the change as a whole
	conf.Mistake
}

func (c change) apply(r *rulefmt.Rule, renamed map[*rulefmt.Rule]string) (all []wrong) {
	if c == (change{}) {
		all = append(all, wrong{"", conf.Mistake{What: "changes nothing", Hint: "give it a threshold, for, keep_firing_for or severity, or list it in disable"}})
	}
	if c.Threshold != nil {
		t, has := threshold(r.Expr)
		if !has {
			all = append(all, wrong{".threshold", conf.Mistake{What: r.Alert + " has no threshold that can be changed", Hint: "disable it, and write a rule of your own"}})
		} else if t, err := t.Parse(string(*c.Threshold)); err != nil {
			all = append(all, wrong{".threshold", asMistake(err)})
		} else {
			r.Expr = withThreshold(r.Expr, t.Value)
		}
	}
	for _, d := range []struct {
		key string
		new *time.Duration
		old *model.Duration
	}{{".for", c.For, &r.For}, {".keep_firing_for", c.KeepFiringFor, &r.KeepFiringFor}} {
		if d.new == nil {
			continue
		}
		if *d.new < 0 || *d.new > 24*time.Hour {
			all = append(all, wrong{d.key, conf.Mistake{What: "must be 0s to 24h", Hint: "write it like 30s or 5m"}})
			continue
		}
		*d.old = model.Duration(*d.new)
	}
	if c.Severity != nil {
		severity := string(*c.Severity)
		if !slices.Contains(severities, severity) {
			all = append(all, wrong{".severity", conf.Mistake{What: conf.Quote(severity) + " is no severity", Hint: "write info, warning or critical"}})
		} else {
			renamed[r] = severity
		}
	}
	return all
}

func asMistake(err error) conf.Mistake {
	var m conf.Mistake
	if errors.As(err, &m) {
		return m
	}
	return conf.Mistake{What: err.Error()}
}

// find is the rules that a key names: all of the name, or the one of that name
// and severity.
func find(pack []*rulefmt.Rule, key string) ([]*rulefmt.Rule, *conf.Mistake) {
	var found, ofName []*rulefmt.Rule
	name, severity, one := strings.Cut(key, "/")
	for _, r := range pack {
		if r.Alert != name {
			continue
		}
		ofName = append(ofName, r)
		if !one || r.Labels["severity"] == severity {
			found = append(found, r)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	m := &conf.Mistake{What: conf.Quote(key) + " is no rule of the pack", Hint: "plimsoll rules lists them"}
	if len(ofName) > 0 {
		m.Hint = "write " + either(ofName)
		return nil, m
	}
	var names []string
	for _, r := range pack {
		names = append(names, r.Alert)
	}
	if near := conf.Nearest(name, names); near != "" {
		m.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	return nil, m
}

// id is a rule's name and severity, as a key may name it.
func id(r *rulefmt.Rule) string { return r.Alert + "/" + r.Labels["severity"] }

// either lists the ids of rules as a choice.
func either(rules []*rulefmt.Rule) string {
	ids := make([]string, len(rules))
	for i, r := range rules {
		ids[i] = id(r)
	}
	return strings.Join(ids, " or ")
}
