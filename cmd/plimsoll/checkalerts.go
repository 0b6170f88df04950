package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/alerting/rules"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// findings are what a check of rules or of an alertmanager.yml tells: mistakes,
// for which a collector refuses the files, and warnings about what it takes and
// yet is hardly meant.
type findings struct{ mistakes, warnings conf.Problems }

// failOn are the values of --fail-on.
const (
	failOnWarning = "warning"
	failOnMistake = "mistake"
)

// failOnVar adds the flag that says what spoils the exit code.
func failOnVar(k *kingpin.CmdClause, into *string, usually string) {
	k.Flag("fail-on", "What ends with exit code 3: a warning too, or only a mistake, for which a collector refuses the file.").
		Default(usually).EnumVar(into, failOnWarning, failOnMistake)
}

// tell prints findings in the order of files and lines, and which files have
// none.
func (c *cli) tell(files []string, f findings, what, failOn string) error {
	all := slices.Clone(f.mistakes)
	for _, w := range f.warnings {
		w.What = "warning: " + w.What
		all = append(all, w)
	}
	for _, file := range files {
		about := func(p conf.Problem) bool {
			fits, err := filepath.Match(file, p.File)
			return p.File == file || fits && err == nil
		}
		if !slices.ContainsFunc(all, about) {
			fmt.Fprintf(c.stdout, "%s: ok, %s\n", file, what)
		}
	}
	if len(all) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(c.stdout, place.Sorted(all).Render()); err != nil {
		return err
	}
	var found []string
	if len(f.mistakes) > 0 {
		found = append(found, count(len(f.mistakes), "problem"))
	}
	if len(f.warnings) > 0 {
		found = append(found, count(len(f.warnings), "warning"))
	}
	summary := strings.Join(found, " and ") + " found"
	if len(f.mistakes) == 0 && failOn == failOnMistake {
		fmt.Fprintln(c.stderr, summary)
		return nil
	}
	return exitError{exitFindings, errors.New(summary)}
}

// checkRules checks rule files.
type checkRules struct {
	*cli
	files    []string
	metrics  []string
	url      *url.URL
	interval time.Duration
	failOn   string
}

func (c *cli) checkRules(parent *kingpin.CmdClause) {
	cmd := &checkRules{cli: c}
	k := parent.Command("rules", `Prometheus rule files: queries, templates, duplicates, metrics that nobody exports, alerts without severity or summary.

A metric is known if agents or collectors export it, or if one of the files, or the rules that come with Plimsoll, record it. For those of your applications, ask a collector that has them with --url, or name them with --metric='app_*'.`)
	c.commands["check rules"] = cmd.run
	k.Arg("file", "Files to check, all together: what one records another may use.").Required().StringsVar(&cmd.files)
	k.Flag("url", "A collector to ask which metrics there are besides.").PlaceHolder("URL").SetValue(address{&cmd.url})
	k.Flag("metric", "A metric that there is besides, or a pattern like app_*; repeatable.").PlaceHolder("NAME").StringsVar(&cmd.metrics)
	durationVar(k, "rules.evaluation-interval", "How often the collector evaluates rules that do not say.", &cmd.interval, "5s", time.Second)
	failOnVar(k, &cmd.failOn, failOnWarning)
}

func (c *checkRules) run(ctx context.Context) error {
	known := rules.Exported().With(c.metrics...)
	if c.url != nil {
		var names []string
		if err := (remote{c.url}).askOurs(ctx, http.MethodGet, "/api/v1/label/__name__/values", nil, nil, &names); err != nil {
			return err
		}
		known = known.With(names...)
	}
	var f findings
	f.mistakes, f.warnings = rules.Lint(c.files, known, c.interval)
	return c.tell(c.files, f, "rules", c.failOn)
}

// checkAlerting checks an alertmanager.yml and shows its routes.
type checkAlerting struct {
	*cli
	files  []string
	route  []string
	failOn string
}

func (c *cli) checkAlerting(parent *kingpin.CmdClause) {
	cmd := &checkAlerting{cli: c}
	k := parent.Command("alerting", `An alertmanager.yml: names, templates rendered for a made-up alert, routes that no alert reaches, receivers that no route names, rules that never inhibit, addresses that were never filled in.

To see where an alert goes, give its labels: --route severity=critical --route node=n1.`)
	c.commands["check alerting"] = cmd.run
	k.Arg("file", "Files to check, each by itself.").Required().StringsVar(&cmd.files)
	k.Flag("route", "Show to which receivers an alert with this label goes; repeatable.").PlaceHolder("LABEL=VALUE").StringsVar(&cmd.route)
	failOnVar(k, &cmd.failOn, failOnWarning)
}

func (c *checkAlerting) run(context.Context) error {
	labels := map[string]string{}
	for _, text := range c.route {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return usage(fmt.Errorf("--route=%s is no label of an alert, write it like --route severity=critical", text))
		}
		labels[name] = strings.Trim(value, `"`)
	}
	var f findings
	for _, file := range c.files {
		mistakes, warnings := alerting.LintConfig(file)
		f.mistakes, f.warnings = append(f.mistakes, mistakes...), append(f.warnings, warnings...)
		if len(c.route) == 0 || len(mistakes) > 0 {
			continue
		}
		text, problems := alerting.Routed(file, labels)
		if err := problems.Err(); err != nil {
			return err
		}
		fmt.Fprint(c.stdout, text)
	}
	return c.tell(c.files, f, "routes and receivers", c.failOn)
}
