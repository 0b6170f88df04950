package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/explain"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

// explainCommand tells why a policy did or did not scale.
type explainCommand struct {
	*cli
	journalSource
	workload string
	at       string
	last     int
	output   string
}

func (c *cli) explain() {
	cmd := &explainCommand{cli: c}
	k := c.command("explain", "Tell why a workload was or was not scaled: every number on the way to the decision, and what would change it.", cmd.run)
	k.Arg("workload", "Name of the policy, or what it scales: web, shop_web or swarm/shop_web.").Required().StringVar(&cmd.workload)
	cmd.add(k)
	k.Flag("at", "The decision in force at this time, RFC 3339 or seconds since 1970.").PlaceHolder("TIME").StringVar(&cmd.at)
	k.Flag("last", "How many decisions, the newest first.").Default("1").SetValue(number{&cmd.last, 1, 1000})
	k.Flag("output", "text, or json with everything the decision was based on.").Short('o').Default("text").EnumVar(&cmd.output, "text", "json")
}

func (c *explainCommand) run(ctx context.Context) error {
	var at time.Time
	if c.at != "" {
		var err error
		if at, err = parseTime(c.at); err != nil {
			return usage(fmt.Errorf("--at: %w", err))
		}
	}
	entries, err := c.entries(ctx, at)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return c.nothing()
	}
	if c.output == "json" {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		return e.Encode(entries)
	}
	for i, e := range entries {
		if i > 0 {
			fmt.Fprintln(c.stdout)
			e.State = nil // what would have changed it is past, and takes its time to find
		}
		if err := explain.Write(c.stdout, e); err != nil {
			return err
		}
	}
	return nil
}

// nothing tells where to look for what there is.
func (c *explainCommand) nothing() error {
	when := ""
	if c.at != "" {
		when = " at or before " + c.at
	}
	if c.dir != "" {
		return fmt.Errorf("no decision on %q%s in %s", c.workload, when, c.dir)
	}
	return fmt.Errorf("no decision on %q%s; see the policies with plimsoll scaler list", c.workload, when)
}

// entries are asked of a running collector, or read in the files of one.
func (c *explainCommand) entries(ctx context.Context, at time.Time) (entries []journal.Entry, err error) {
	if c.dir != "" {
		archive, err := c.archive()
		if err != nil {
			return nil, err
		}
		return archive.Read(journal.Query{Workload: c.workload, To: at, Limit: c.last, Inputs: true})
	}
	form := url.Values{"workload": {c.workload}, "limit": {strconv.Itoa(c.last)}, "inputs": {"true"}}
	if !at.IsZero() {
		form.Set("at", at.Format(time.RFC3339Nano))
	}
	err = remote{c.url}.askOurs(ctx, http.MethodGet, scaler.DecisionsPath, form, nil, &entries)
	return entries, err
}
