package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/alerting/history"
)

// alertCommand shows what fires, why it was or was not told, and what happened.
type alertCommand struct {
	*cli
	url      *url.URL
	which    []string
	receiver string
	from, to string
	events   []string
	last     int
	labels   map[string]string
	resolve  bool
	output   string
}

func (c *cli) alert() {
	k := c.app.Command("alert", "What fires, why somebody was or was not told, and what happened.")
	cmd := &alertCommand{cli: c, labels: map[string]string{}}
	sub := func(name, help string, run func(context.Context) error) *kingpin.CmdClause {
		s := k.Command(name, help)
		s.Flag("url", "Address of the collector.").Default("http://127.0.0.1:9900").SetValue(address{&cmd.url})
		s.Flag("output", "text or json.").Short('o').Default("text").EnumVar(&cmd.output, "text", "json")
		c.commands["alert "+name] = run
		return s
	}
	conditions := "Conditions on labels, as for plimsoll silence add; a name alone is that of an alert."

	s := sub("list", "Show what fires.", cmd.list)
	s.Arg("matcher", conditions).StringsVar(&cmd.which)
	s.Flag("receiver", "Only what is routed to this one.").StringVar(&cmd.receiver)

	s = sub("explain", "Tell why somebody was or was not told of an alert: its rule, what holds it back, its route, and what was sent.", cmd.explain)
	s.Arg("alert", "Its name, its fingerprint, or conditions on labels.").Required().StringsVar(&cmd.which)

	s = sub("history", "Show what happened, the newest first.", cmd.history)
	s.Arg("matcher", conditions).StringsVar(&cmd.which)
	s.Flag("from", "Not before this time, RFC 3339 or seconds since 1970.").PlaceHolder("TIME").StringVar(&cmd.from)
	s.Flag("to", "Not after it.").PlaceHolder("TIME").StringVar(&cmd.to)
	s.Flag("event", "Only of this kind, such as notified or failed; repeatable.").StringsVar(&cmd.events)
	s.Flag("last", "How many.").Default("50").SetValue(number{&cmd.last, 1, 1000})

	sub("receivers", "Show who is told, and how that went last.", cmd.receivers)

	s = sub("test", "Send a made-up alert to one receiver, past all routes and silences.", cmd.test)
	s.Arg("receiver", "Its name.").Required().StringVar(&cmd.receiver)
	s.Flag("label", "A label of the alert, NAME=VALUE; repeatable.").StringMapVar(&cmd.labels)
	s.Flag("resolve", "Send its end, too.").BoolVar(&cmd.resolve)
}

// foundAlert is an alert as API v2 has it.
type foundAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	Fingerprint string            `json:"fingerprint"`
	Status      struct {
		State       string   `json:"state"`
		SilencedBy  []string `json:"silencedBy"`
		InhibitedBy []string `json:"inhibitedBy"`
	} `json:"status"`
	Receivers []struct {
		Name string `json:"name"`
	} `json:"receivers"`
}

func (c *alertCommand) list(ctx context.Context) error {
	matchers, err := parseMatchers(c.which)
	if err != nil {
		return err
	}
	form := url.Values{}
	for _, m := range matchers {
		form.Add("filter", m.String())
	}
	if c.receiver != "" {
		form.Set("receiver", "^"+regexp.QuoteMeta(c.receiver)+"$")
	}
	var all []foundAlert
	if err := (remote{c.url}).ask(ctx, http.MethodGet, "/api/v2/alerts", form, nil, &all); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b foundAlert) int { return b.StartsAt.Compare(a.StartsAt) })
	if c.output == "json" {
		return printJSON(c.stdout, append([]foundAlert{}, all...))
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	if len(all) > 0 {
		fmt.Fprintln(t, "ALERT\tSEVERITY\tSTATE\tSINCE\tFINGERPRINT\tSUMMARY")
	}
	for _, a := range all {
		state := a.Status.State
		switch {
		case len(a.Status.InhibitedBy) > 0:
			state = "inhibited"
		case len(a.Status.SilencedBy) > 0:
			state = "silenced"
		}
		severity := a.Labels["severity"]
		if severity == "" {
			severity = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", plainLine(a.Labels["alertname"]), plainLine(severity), state, day(a.StartsAt), a.Fingerprint, plainLine(a.Annotations["summary"]))
	}
	return t.Flush()
}

var fingerprint = regexp.MustCompile(`^[0-9a-f]{16}$`)

func (c *alertCommand) explain(ctx context.Context) error {
	form := url.Values{}
	for _, text := range c.which {
		switch {
		case fingerprint.MatchString(text):
			form.Set("fingerprint", text)
		case isName(text):
			form.Set("alert", text)
		default:
			if _, err := alerting.ParseMatchers(text); err != nil {
				return usage(err)
			}
			form.Add("match", text)
		}
	}
	var found alerting.Explained
	if err := (remote{c.url}).askOurs(ctx, http.MethodGet, alerting.ExplainPath, form, nil, &found); err != nil {
		return err
	}
	if len(found.Alerts) == 0 {
		return fmt.Errorf("no alert and no rule is %s; see plimsoll alert list, or the rules at GET /api/v1/rules", strings.Join(c.which, " "))
	}
	if c.output == "json" {
		return printJSON(c.stdout, found)
	}
	for i, e := range found.Alerts {
		if i > 0 {
			fmt.Fprintln(c.stdout)
		}
		if err := e.Write(c.stdout, time.Now()); err != nil {
			return err
		}
	}
	if found.More > 0 {
		fmt.Fprintf(c.stdout, "\n%d more; add conditions on labels\n", found.More)
	}
	return nil
}

func (c *alertCommand) history(ctx context.Context) error {
	matchers, err := parseMatchers(c.which)
	if err != nil {
		return err
	}
	form := url.Values{"event": c.events, "limit": {strconv.Itoa(c.last)}}
	for _, m := range matchers {
		form.Add("match", m.String())
	}
	for name, value := range map[string]string{"from": c.from, "to": c.to} {
		if value != "" {
			form.Set(name, value)
		}
	}
	var events []history.Event
	if err := (remote{c.url}).askOurs(ctx, http.MethodGet, alerting.HistoryPath, form, nil, &events); err != nil {
		return err
	}
	if c.output == "json" {
		return printJSON(c.stdout, append([]history.Event{}, events...))
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	for _, e := range events {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", e.At.UTC().Format(time.RFC3339), e.Kind, plainLine(eventSubject(e)), plainLine(eventReceiver(e)), plainLine(eventDetails(e)))
	}
	return t.Flush()
}

func (c *alertCommand) receivers(ctx context.Context) error {
	var all []alerting.Receiver
	if err := (remote{c.url}).askOurs(ctx, http.MethodGet, alerting.ReceiversPath, nil, nil, &all); err != nil {
		return err
	}
	if c.output == "json" {
		return printJSON(c.stdout, all)
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RECEIVER\tINTEGRATION\tSENT\tFAILED\tLAST ATTEMPT\tLAST ERROR")
	for _, r := range all {
		for _, i := range r.Integrations {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\n", plainLine(r.Name), i.Name, i.Sent, i.Failed, day(i.LastAttempt), plainLine(i.LastError))
		}
		if len(r.Integrations) == 0 {
			fmt.Fprintf(t, "%s\tnone: nobody is told\t-\t-\t-\t\n", plainLine(r.Name))
		}
	}
	return t.Flush()
}

func (c *alertCommand) test(ctx context.Context) error {
	var result alerting.TestResult
	asked := alerting.Test{Receiver: c.receiver, Labels: c.labels, Resolve: c.resolve}
	if err := (remote{c.url}).askOurs(ctx, http.MethodPost, alerting.TestPath, nil, asked, &result); err != nil {
		return err
	}
	if c.output == "json" {
		if err := printJSON(c.stdout, result); err != nil {
			return err
		}
	}
	failed := 0
	for _, i := range result.Integrations {
		switch {
		case !i.OK:
			failed++
			fmt.Fprintf(c.stderr, "%s: %s\n", i.Name, plainLine(i.Error))
		case c.output == "text":
			fmt.Fprintf(c.stdout, "%s: sent in %.3f s\n", i.Name, i.Seconds)
		}
	}
	switch {
	case len(result.Integrations) == 0:
		return fmt.Errorf("receiver %s has no integration: nobody is told", c.receiver)
	case failed > 0:
		return errors.New(count(failed, "integration") + " failed")
	}
	return nil
}

// alertText is an alert's labels, its name first.
func alertText(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name != "alertname" {
			parts = append(parts, fmt.Sprintf("%s=%q", name, labels[name]))
		}
	}
	return labels["alertname"] + "{" + strings.Join(parts, ", ") + "}"
}

// plainLine is a text from elsewhere on one line, without what a terminal would
// obey.
func plainLine(s string) string {
	quoted := strconv.Quote(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}
