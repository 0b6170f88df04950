package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/ruletest"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// replayFlags say which history rules are run over.
type replayFlags struct {
	span     time.Duration
	until    string
	url      *url.URL
	interval time.Duration
	output   string
}

func (f *replayFlags) addReplay(k *kingpin.CmdClause) {
	k.Flag("replay", "Run rule files over so much of the history of a collector.").PlaceHolder("7d").
		SetValue(&atLeast{(*duration)(&f.span), time.Minute})
	k.Flag("url", "The collector whose history it is; anything with Prometheus' API will do.").Default("http://127.0.0.1:9900").SetValue(address{&f.url})
	k.Flag("until", "The end of that time, RFC 3339 or seconds since 1970; now if empty.").PlaceHolder("TIME").StringVar(&f.until)
	durationVar(k, "rules.evaluation-interval", "How often rules are evaluated that do not say; longer is faster.", &f.interval, "15s", time.Second)
	k.Flag("output", "text, or json with every time of firing.").Short('o').Default("text").EnumVar(&f.output, "text", "json")
}

// telling is how often progress is told.
const telling = 5 * time.Second

func (c *testRules) replay(ctx context.Context) error {
	until := time.Now()
	if c.until != "" {
		var err error
		if until, err = parseTime(c.until); err != nil {
			return usage(fmt.Errorf("--until: %w", err))
		}
	}
	history, err := ruletest.NewHistory(c.url)
	if err != nil {
		return usage(err)
	}
	began := time.Now()
	told := began
	all, problems, err := ruletest.Replay(ctx, ruletest.ReplayOptions{
		Files: c.files, From: until.Add(-c.span), To: until, Interval: c.interval, History: history,
		Progress: func(done float64, next string) {
			now := time.Now()
			if now.Sub(told) < telling {
				return
			}
			told = now
			fmt.Fprintf(c.stderr, "%2.0f%% done, %s left; now %s\n", 100*done, left(now.Sub(began), done), next)
		},
	})
	var away *url.Error
	switch {
	case len(problems) > 0:
		return c.tell(nil, findings{mistakes: problems}, "rules", failOnMistake)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &away):
		return exitError{exitUnreachable, fmt.Errorf("no collector answers at %s: %w; start one, or name it with --url", c.url.Redacted(), away.Err)}
	case err != nil:
		return err
	}
	if c.output == "json" {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		err = e.Encode(all)
	} else {
		err = show(c.stdout, all, until.Add(-c.span), until)
	}
	if err != nil {
		return err
	}
	return unfinished(all)
}

// unfinished is an error if there are alerts about whose past not all is known.
func unfinished(all []ruletest.Replayed) error {
	n := 0
	for _, r := range all {
		if r.Trouble != "" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return exitError{exitFindings, fmt.Errorf("%s could not be replayed to the end; see why above", count(n, "alert"))}
}

// parseTime reads RFC 3339 or seconds since 1970.
func parseTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("%s is no time, write it like 2026-11-21T18:00:00Z", conf.Quote(text))
	}
	return at, nil
}

// left is how much longer something takes at its pace so far.
func left(took time.Duration, done float64) string {
	if done < 0.01 {
		return "an unknown time"
	}
	return model.Duration(time.Duration(float64(took) * (1 - done) / done).Round(time.Second)).String()
}

// show writes a table, the noisiest alert first; those that never fired are
// only named.
func show(w io.Writer, all []ruletest.Replayed, from, to time.Time) error {
	fmt.Fprintf(w, "From %s to %s\n\n", from.UTC().Format(time.DateTime), to.UTC().Format(time.DateTime))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ALERT\tSEVERITY\tFIRED\tSERIES\tIN ALL\tLONGEST\tFIRST\tLAST\tNOT LONG ENOUGH")
	var quiet, troubled []ruletest.Replayed
	for _, r := range all {
		switch {
		case r.Trouble != "":
			troubled = append(troubled, r)
			if r.Fired == 0 {
				continue
			}
		case r.Fired == 0:
			quiet = append(quiet, r)
			continue
		}
		last := r.Last.UTC().Format(time.DateTime)
		if r.Still > 0 {
			last = "still firing"
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%d\n", r.Alert, r.Severity, r.Fired, r.Series,
			model.Duration(r.Firing.Round(time.Second)), model.Duration(r.Longest.Round(time.Second)), r.First.UTC().Format(time.DateTime), last, r.Averted)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(quiet) > 0 {
		fmt.Fprintf(w, "\nNever fired:\n")
		for _, r := range quiet {
			line := "  " + r.Alert
			if r.Severity != "" {
				line += "/" + r.Severity
			}
			if r.Averted > 0 {
				line += fmt.Sprintf(" (%s not long enough)", count(r.Averted, "time"))
			}
			fmt.Fprintln(w, line)
		}
	}
	for _, r := range troubled {
		fmt.Fprintf(w, "\n%s could not be replayed to the end: %s\n", r.Alert, r.Trouble)
	}
	return nil
}
