package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/grafana/regexp"

	"github.com/plimsoll-io/plimsoll/alerting/ruletest"
)

// testRules runs unit tests of rules, or rules over the history of a collector.
type testRules struct {
	*cli
	files []string
	only  string
	replayFlags
}

func (c *cli) test() {
	cmd := &testRules{cli: c}
	parent := c.app.Command("test", "Test rules, and what people are told.")
	k := parent.Command("rules", `Run unit tests of rules, in promtool's format.

rule_files: [bundled] means the rules that come with Plimsoll. With alertmanager_config and notification_test a file also tests routes and texts; promtool refuses such files.

With --replay the files are rule files, and what is told is how often each alert would have fired: plimsoll test rules --replay 7d rules.yml`)
	c.commands["test rules"] = cmd.run
	k.Arg("file", "Files of tests; with --replay, rule files or \"bundled\".").Required().StringsVar(&cmd.files)
	k.Flag("run", "Only tests whose name matches this regular expression.").PlaceHolder("REGEXP").StringVar(&cmd.only)
	cmd.addReplay(k)
}

func (c *testRules) run(ctx context.Context) error {
	if c.span > 0 {
		return c.replay(ctx)
	}
	var opts ruletest.Options
	if c.only != "" {
		var err error
		if opts.Only, err = regexp.Compile(c.only); err != nil {
			return usage(fmt.Errorf("--run: %w", err))
		}
	}
	failed := 0
	for _, file := range c.files {
		r := ruletest.Run(ctx, file, opts)
		for _, w := range r.Warnings {
			fmt.Fprintln(c.stderr, "warning:", w)
		}
		if len(r.Failures) == 0 {
			fmt.Fprintf(c.stdout, "%s: ok, %s\n", file, count(r.Tests, "test"))
			continue
		}
		failed += len(r.Failures)
		for _, f := range r.Failures {
			fmt.Fprintln(c.stdout, f.Error())
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed == 1:
		return exitError{exitFindings, errors.New("1 expectation is not met")}
	case failed > 0:
		return exitError{exitFindings, fmt.Errorf("%d expectations are not met", failed)}
	}
	return nil
}
