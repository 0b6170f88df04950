package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/collector/forward"
	"github.com/plimsoll-io/plimsoll/collector/ship"
	"github.com/plimsoll-io/plimsoll/collector/upstream"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// checkCommand tells every mistake in files that a person wrote, without
// starting anything.
type checkCommand struct {
	*cli
	files   []string
	command string // whose configuration file it is
}

func (c *cli) check() {
	k := c.app.Command("check", "Tell every mistake in configuration files, with its place and what to do.")
	cmd := &checkCommand{cli: c}
	add := func(name, help string, one func(file string) (string, conf.Problems)) {
		sub := k.Command(name, help)
		c.commands["check "+name] = func(context.Context) error { return cmd.all(one) }
		sub.Arg("file", "Files to check.").Required().StringsVar(&cmd.files)
		if name == "config" {
			sub.Flag("command", "The command that the file is for.").Default("up").EnumVar(&cmd.command, "up", "agent", "collector")
		}
	}
	add("config", "The file given by --config.file.", cmd.config)
	c.checkPolicies(k)
	add("forward", "A file given by --forward.config.file.", cmd.forward)
	add("bucket", "A file given by --objstore.config-file.", cmd.bucket)
	add("upstream", "A file given by --query.client.config.file.", cmd.upstream)
	add("overrides", "Files given by --rules.overrides.", cmd.overrides)
	c.checkRules(k)
	c.checkAlerting(k)
}

// all checks every file and prints what it finds. The findings are the result,
// so they go to standard output.
func (c *checkCommand) all(one func(file string) (string, conf.Problems)) error {
	found := 0
	for _, file := range c.files {
		what, problems := one(file)
		if len(problems) == 0 {
			fmt.Fprintf(c.stdout, "%s: ok, %s\n", file, what)
			continue
		}
		found += len(problems)
		if _, err := fmt.Fprintln(c.stdout, strings.TrimRight(problems.Render(), "\n")); err != nil {
			return err
		}
	}
	if found > 0 {
		return exitError{exitFindings, fmt.Errorf("%s found", count(found, "problem"))}
	}
	return nil
}

func (c *checkCommand) config(file string) (string, conf.Problems) {
	trial := newCLI(io.Discard, io.Discard, nil)
	n, problems := newCLI(io.Discard, io.Discard, nil).applyConfigFile(c.command, trial.flag, file)
	return count(n, "setting"), problems
}

func (c *checkCommand) forward(file string) (string, conf.Problems) {
	cfg, problems := forward.LoadFile(file)
	return count(len(cfg.Endpoints), "endpoint"), problems
}

func (c *checkCommand) bucket(file string) (string, conf.Problems) {
	b, err := ship.OpenBucket(context.Background(), file)
	if err == nil {
		err = b.Close()
	}
	return "a bucket", mistaken(file, err)
}

func (c *checkCommand) upstream(file string) (string, conf.Problems) {
	return "how to ask the upstream", mistaken(file, upstream.CheckHTTPConfig(file))
}

// mistaken is an error about a file as a whole.
func mistaken(file string, err error) conf.Problems {
	if err == nil {
		return nil
	}
	return conf.Problems{{File: file, What: strings.TrimPrefix(err.Error(), file+": ")}}
}

func (c *checkCommand) overrides(file string) (string, conf.Problems) {
	return "changes to the bundled rules", alerting.CheckOverrides(file)
}

// count is a number of things in words.
func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what == "policy":
		what = "policie"
	}
	return fmt.Sprintf("%d %ss", n, what)
}
