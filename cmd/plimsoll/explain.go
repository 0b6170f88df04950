package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler"
)

// explainCommand tells why a policy did or did not scale.
type explainCommand struct {
	*cli
	policy string
	url    *url.URL
	at     string
	last   int
	output string
}

func (c *cli) explain() {
	cmd := &explainCommand{cli: c}
	k := c.command("explain", "Tell why a policy did or did not scale: every number on the way to its decision.", cmd.run)
	k.Arg("policy", "Name of the policy.").Required().StringVar(&cmd.policy)
	k.Flag("url", "Address of the collector.").Default("http://127.0.0.1:9900").SetValue(address{&cmd.url})
	k.Flag("at", "The decision in force at this time, RFC 3339 or seconds since 1970.").PlaceHolder("TIME").StringVar(&cmd.at)
	k.Flag("last", "How many decisions, the newest first.").Default("1").SetValue(number{&cmd.last, 1, 1000})
	k.Flag("output", "text, or json with everything the decision was based on.").Short('o').Default("text").EnumVar(&cmd.output, "text", "json")
}

func (c *explainCommand) run(ctx context.Context) error {
	entries, err := c.ask(ctx)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fmt.Errorf("no decision of policy %q; see the policies on the page of the collector, or GET %s", c.policy, scaler.PoliciesPath)
	}
	if c.output == "json" {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		return e.Encode(entries)
	}
	for i, e := range entries {
		if i > 0 {
			fmt.Fprintln(c.stdout)
		}
		if err := scaler.Explain(c.stdout, e); err != nil {
			return err
		}
	}
	return nil
}

// ask asks a running collector.
func (c *explainCommand) ask(ctx context.Context) ([]scaler.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	u := c.url.JoinPath(scaler.DecisionsPath)
	q := url.Values{"policy": {c.policy}, "limit": {strconv.Itoa(c.last)}}
	if c.at != "" {
		q.Set("at", c.at)
	}
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, usage(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err
		}
		return nil, exitError{exitUnreachable, fmt.Errorf("no collector answers at %s: %w; start one, or name it with --url", c.url.Redacted(), err)}
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          []scaler.Entry
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%s answered %s, which is not what a collector says; is --url right?", c.url.Redacted(), resp.Status)
	}
	if answer.Status != "success" {
		return nil, errors.New(answer.Error)
	}
	return answer.Data, nil
}
