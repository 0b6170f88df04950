package ruletest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/alerting/rules"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Options say what to run.
type Options struct {
	// Only runs the tests whose name matches; nil runs all.
	Only *regexp.Regexp
}

// Failure is an expectation that does not hold, or what kept a test from being
// run.
type Failure struct {
	conf.Problem
	Test      string // its name; empty if the file as a whole is meant
	Got, Want []string
	compared  bool
}

// Error is the failure in several lines: where, then expected and got.
func (f Failure) Error() string {
	text := f.Problem.Error()
	if f.Test != "" {
		text += fmt.Sprintf(" (test %q)", f.Test)
	}
	if f.compared {
		text += list("exp", f.Want, f.Got) + list("got", f.Got, f.Want)
	}
	return text
}

// list writes lines, and marks those that the others lack.
func list(title string, lines, others []string) string {
	if len(lines) == 0 {
		return fmt.Sprintf("\n    %s: nothing", title)
	}
	text := fmt.Sprintf("\n    %s:", title)
	rest := slices.Clone(others)
	for _, line := range lines {
		mark := "!"
		if i := slices.Index(rest, line); i >= 0 {
			mark, rest = " ", slices.Delete(rest, i, i+1)
		}
		text += "\n    " + mark + " " + strings.ReplaceAll(line, "\n", "\n      ")
	}
	return text
}

// Result is what came of a file.
type Result struct {
	Tests    int      // that were run
	Warnings []string // what is odd without making a test fail
	Failures []Failure
}

// Run runs the tests of a file.
func Run(ctx context.Context, name string, opts Options) Result {
	f, problems := load(name)
	if len(problems) > 0 {
		return Result{Failures: broken(problems)}
	}
	return f.run(ctx, opts)
}

func broken(problems conf.Problems) []Failure {
	list := make([]Failure, len(problems))
	for i, p := range problems {
		list[i].Problem = p
	}
	return list
}

func (f *file) run(ctx context.Context, opts Options) (r Result) {
	loaded, warnings, problems := f.rules()
	r.Warnings = warnings
	// promtool reads rules for each test, so a file without tests passes.
	if len(problems) > 0 && len(f.Tests) > 0 {
		r.Failures = broken(problems)
		return r
	}
	for i := range f.Tests {
		g := &f.Tests[i]
		if opts.Only != nil && !opts.Only.MatchString(g.Name) {
			continue
		}
		r.Tests++
		t := &trial{file: f, group: g, index: i, opts: opts, rules: loaded}
		r.Failures = append(r.Failures, t.run(ctx)...)
		if ctx.Err() != nil {
			break
		}
	}
	return r
}

// loaded is the rules of files in the order in which the files are named.
type loaded struct {
	names  []string
	groups map[string]*rulefmt.RuleGroups
	parser parser.Parser
}

// Load implements rules.GroupLoader.
func (l loaded) Load(name string, _ bool, _ model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	return l.groups[name], nil
}

// Parse implements rules.GroupLoader.
func (l loaded) Parse(query string) (parser.Expr, error) { return l.parser.ParseExpr(query) }

// pack names, in rule_files, the rules that come with Plimsoll.
const pack = "bundled"

// rules reads the rule files once for all tests.
func (f *file) rules() (l loaded, warnings []string, problems conf.Problems) {
	l = loaded{groups: map[string]*rulefmt.RuleGroups{}, parser: parser.NewParser(parser.Options{})}
	add := func(name string, groups *rulefmt.RuleGroups, more conf.Problems) {
		problems = append(problems, more...)
		l.names = append(l.names, name)
		l.groups[name] = groups
	}
	for i, pattern := range f.RuleFiles {
		names, err := filepath.Glob(f.beside(pattern))
		at := f.at.At("rule_files", i)
		if err != nil {
			problems = append(problems, f.at.Problem(at, "no valid pattern for file names", "write it like rules/*.yml"))
		}
		if len(names) == 0 && pattern == pack {
			set, more := rules.ReadOverridden(nil, f.beside(f.RulesOverrides))
			problems = append(problems, more...)
			for _, name := range set.Files() {
				add(name, set.Groups(name), nil)
			}
			continue
		}
		if len(names) == 0 {
			warnings = append(warnings, f.at.Problem(at, fmt.Sprintf("no file matches %s", f.beside(pattern)), "").Error())
		}
		for _, name := range names {
			groups, more := rules.ParseFile(name)
			add(name, groups, more)
		}
	}
	return l, warnings, problems
}

// trial is one test on the way.
type trial struct {
	file  *file
	group *group
	index int
	opts  Options
	rules loaded

	store    *promqltest.LazyLoader
	groups   []*promrules.Group
	stage    *stage // nil without notification_test
	failures []Failure
}

func (t *trial) at(steps ...any) place.Node {
	return t.file.at.At(append([]any{"tests", t.index}, steps...)...)
}

func (t *trial) fail(n place.Node, what string) {
	t.failures = append(t.failures, Failure{Problem: t.file.at.Problem(n, what, ""), Test: t.group.Name})
}

func (t *trial) differ(n place.Node, what string, want, got []string) {
	t.failures = append(t.failures, Failure{
		Problem: t.file.at.Problem(n, what, ""), Test: t.group.Name, Want: want, Got: got, compared: true,
	})
}

func (t *trial) run(ctx context.Context) []Failure {
	store, err := promqltest.NewLazyLoader(t.group.load(), promqltest.LazyLoaderOpts{
		EnableAtModifier: true, EnableNegativeOffset: true, StartTime: t.group.Start.Time,
	})
	if err != nil {
		t.fail(t.at("input_series"), fmt.Sprintf("no valid series: %s", strings.TrimSpace(err.Error())))
		return t.failures
	}
	t.store = store
	defer func() {
		if err := store.Close(); err != nil {
			t.fail(t.at(), err.Error())
		}
	}()
	store.SubqueryInterval = time.Duration(t.file.EvaluationInterval)

	if len(t.group.Notifications) > 0 && !t.openStage() {
		return t.failures
	}
	defer t.closeStage()
	if t.makeGroups(); len(t.failures) > 0 {
		return t.failures
	}
	if !t.evaluate(ctx) {
		return t.failures
	}
	for i, e := range t.group.Exprs {
		t.checkExpr(ctx, t.at("promql_expr_test", i), e)
	}
	return t.failures
}

// load is the series as promqltest writes them.
func (g *group) load() string {
	var b strings.Builder
	fmt.Fprintf(&b, "load %s\n", g.Interval)
	for _, s := range g.InputSeries {
		fmt.Fprintf(&b, "  %v %v\n", s.Series, s.Values)
	}
	return b.String()
}

func (t *trial) makeGroups() {
	notify := func(context.Context, string, ...*promrules.Alert) {}
	if t.stage != nil {
		notify = t.stage.notify
	}
	manager := promrules.NewManager(&promrules.ManagerOptions{
		QueryFunc:   promrules.EngineQueryFunc(t.store.QueryEngine(), t.store.Storage()),
		Appendable:  t.store.Storage(),
		Queryable:   t.store.Storage(),
		Context:     t.store.Context(),
		NotifyFunc:  notify,
		Logger:      slog.New(slog.DiscardHandler),
		Parser:      t.rules.parser,
		GroupLoader: t.rules,
	})
	made, errs := manager.LoadGroups(time.Duration(t.group.Interval), t.group.ExternalLabels, t.group.ExternalURL, nil, false, t.rules.names...)
	if len(errs) > 0 {
		t.fail(t.at(), errors.Join(errs...).Error())
		return
	}
	// A group without a place in group_eval_order counts as the first, as in
	// promtool; else they come in the order of the files.
	for _, name := range t.rules.names {
		for _, g := range t.rules.groups[name].Groups {
			t.groups = append(t.groups, made[promrules.GroupKey(name, g.Name)])
		}
	}
	slices.SortStableFunc(t.groups, func(a, b *promrules.Group) int {
		return max(0, slices.Index(t.file.GroupEvalOrder, a.Name())) - max(0, slices.Index(t.file.GroupEvalOrder, b.Name()))
	})
	for _, g := range t.groups {
		for _, r := range g.AlertingRules() {
			r.SetRestored(true) // else ALERTS is not written
		}
	}
}

// evaluate goes from the beginning to the last time that is asked about. It
// returns false if a rule could not be evaluated, which ends the test.
func (t *trial) evaluate(ctx context.Context) bool {
	begin, step := t.group.begin(), time.Duration(t.file.EvaluationInterval)
	last := begin.Add(t.group.last())
	for at := begin; !at.After(last); at = at.Add(step) {
		if ctx.Err() != nil {
			t.fail(t.at(), ctx.Err().Error())
			return false
		}
		good := true
		if t.stage != nil {
			t.stage.begin(at)
		}
		t.store.WithSamplesTill(at, func(err error) {
			if err != nil {
				t.fail(t.at("input_series"), err.Error())
				return
			}
			for _, g := range t.groups {
				g.Eval(t.store.Context(), at)
				for _, r := range g.Rules() {
					if err := r.LastError(); err != nil {
						t.fail(t.at(), fmt.Sprintf("at %s, the rule %s cannot be evaluated: %v", model.Duration(at.Sub(begin)), r.Name(), err))
						good = false
					}
				}
			}
		})
		if !good {
			return false
		}
		// What is asked between two evaluations is what the earlier one gave.
		for i, a := range t.group.Alerts {
			if asked := begin.Add(time.Duration(a.EvalTime)); !asked.Before(at) && asked.Before(at.Add(step)) {
				t.checkAlerts(t.at("alert_rule_test", i), a)
			}
		}
		if t.stage != nil {
			t.checkNotifications(at, step)
		}
	}
	return true
}
