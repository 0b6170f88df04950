package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

// rulesCommand shows the rules that come with Plimsoll.
type rulesCommand struct {
	*cli
	overrides string
	output    string
}

func (c *cli) rules() {
	cmd := &rulesCommand{cli: c}
	k := c.command("rules", "List the rules that come with Plimsoll, with the thresholds that can be changed.", cmd.run)
	k.Flag("rules.overrides", "Show them as this file changes them.").PlaceHolder("FILE").StringVar(&cmd.overrides)
	k.Flag("output", "text, or prometheus for a rule file that Prometheus reads.").Short('o').Default("text").EnumVar(&cmd.output, "text", "prometheus")
}

func (c *rulesCommand) run(context.Context) error {
	if c.output == "prometheus" {
		text, problems := rules.RenderPack(c.overrides)
		if err := problems.Err(); err != nil {
			return err
		}
		_, err := c.stdout.Write(text)
		return err
	}
	list, problems := rules.Pack(c.overrides)
	if err := problems.Err(); err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tSEVERITY\tTHRESHOLD\tFOR\tKEEP FIRING\tGROUP")
	for _, r := range list {
		severity := r.Severity
		if r.Off {
			severity = "off"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, severity, orDash(r.Threshold), brief(r.For), brief(r.KeepFiringFor), r.Group)
	}
	return w.Flush()
}

// brief is a duration as rules write it, or a dash for none.
func brief(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return rules.Duration(d)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
