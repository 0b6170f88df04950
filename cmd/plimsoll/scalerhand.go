package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

// scalerCommand lets a person have a say in what policies do.
type scalerCommand struct {
	*cli
	url       *url.URL
	policy    string
	all       bool
	direction string
	floor     int
	ceiling   int
	duration  time.Duration
	until     string
	reason    string
	author    string
	last      int
	output    string
}

func (c *cli) scaler() {
	k := c.app.Command("scaler", "Have a say in what policies do: list, pause, resume, override, release, audit.")
	cmd := &scalerCommand{cli: c}
	sub := func(name, help string, run func(context.Context) error) *kingpin.CmdClause {
		s := k.Command(name, help)
		s.Flag("url", "Address of the collector.").Default("http://127.0.0.1:9900").SetValue(address{&cmd.url})
		s.Flag("output", "text or json.").Short('o').Default("text").EnumVar(&cmd.output, "text", "json")
		c.commands["scaler "+name] = run
		return s
	}
	about := func(s *kingpin.CmdClause) {
		s.Flag("reason", "Why, for whoever reads the audit log.").Short('r').Required().StringVar(&cmd.reason)
		s.Flag("author", "Who says so, if the collector asks for no password; you, at this machine, if empty.").StringVar(&cmd.author)
	}
	which := "Name of the policy, or what it scales: swarm/shop_web."
	lasting := func(s *kingpin.CmdClause) {
		s.Flag("for", "How long it lasts, 1h if nothing is said; 30d at most.").PlaceHolder("1h").SetValue(&atLeast{(*duration)(&cmd.duration), time.Second})
		s.Flag("until", "When it ends, RFC 3339, instead of --for.").PlaceHolder("TIME").StringVar(&cmd.until)
	}

	sub("list", "Show the policies, what they did last, and what was said by hand.", cmd.list)

	s := sub("pause", "Let a policy change nothing for a time. It goes on to decide, and plimsoll explain tells what it would do.", cmd.pause)
	s.Arg("policy", which).StringVar(&cmd.policy)
	s.Flag("all", "All policies.").BoolVar(&cmd.all)
	s.Flag("direction", "in: nothing shrinks; out: nothing grows; all: neither.").Short('d').Default("all").EnumVar(&cmd.direction, "in", "out", "all")
	lasting(s)
	about(s)

	s = sub("resume", "End a pause before its time.", cmd.resume)
	s.Arg("policy", which).StringVar(&cmd.policy)
	s.Flag("all", "The pause of all policies. One of a single policy stays.").BoolVar(&cmd.all)
	about(s)

	s = sub("override", "Give a policy a floor or a ceiling for a time, within its min and max.", cmd.override)
	s.Arg("policy", which).Required().StringVar(&cmd.policy)
	s.Flag("floor", "Never fewer replicas.").PlaceHolder("N").SetValue(number{&cmd.floor, 1, 1_000_000})
	s.Flag("ceiling", "Never more replicas.").PlaceHolder("N").SetValue(number{&cmd.ceiling, 1, 1_000_000})
	lasting(s)
	about(s)

	s = sub("release", "End an override before its time.", cmd.release)
	s.Arg("policy", which).Required().StringVar(&cmd.policy)
	about(s)

	s = sub("audit", "Show who said what, from where and why, the newest first.", cmd.audit)
	s.Arg("policy", which).StringVar(&cmd.policy)
	s.Flag("last", "How many.").Default("50").SetValue(number{&cmd.last, 1, 1000})
}

func (c *scalerCommand) pause(ctx context.Context) error {
	return c.say(ctx, scaler.PausePath, scaler.HandRequest{Direction: decide.Pause(c.direction)})
}

func (c *scalerCommand) resume(ctx context.Context) error {
	return c.say(ctx, scaler.ResumePath, scaler.HandRequest{})
}

func (c *scalerCommand) override(ctx context.Context) error {
	switch {
	case c.floor == 0 && c.ceiling == 0:
		return usage(errors.New("an override needs --floor, --ceiling, or both"))
	case c.ceiling > 0 && c.floor > c.ceiling:
		return usage(fmt.Errorf("a floor of %d is above the ceiling of %d", c.floor, c.ceiling))
	}
	return c.say(ctx, scaler.OverridePath, scaler.HandRequest{Floor: c.floor, Ceiling: c.ceiling})
}

func (c *scalerCommand) release(ctx context.Context) error {
	return c.say(ctx, scaler.ReleasePath, scaler.HandRequest{})
}

// say sends a request and tells what came of it.
func (c *scalerCommand) say(ctx context.Context, path string, req scaler.HandRequest) error {
	switch {
	case c.all && c.policy != "":
		return usage(fmt.Errorf("--all is every policy: leave out %s, or --all", c.policy))
	case c.all:
		c.policy = journal.AllPolicies
	case c.policy == "" || c.policy == journal.AllPolicies:
		return usage(errors.New("name a policy, or say --all; see plimsoll scaler list"))
	}
	req.Policy, req.Reason, req.By = c.policy, c.reason, c.author
	if req.By == "" {
		req.By = me()
	}
	switch {
	case c.until != "" && c.duration != 0:
		return usage(errors.New("--for and --until say the same thing: give one of them"))
	case c.until != "":
		if _, err := time.Parse(time.RFC3339, c.until); err != nil {
			return usage(fmt.Errorf("--until=%s: want a time such as 2026-11-21T22:00:00Z", c.until))
		}
		req.Until = c.until
	case c.duration != 0:
		req.For = c.duration.String()
	}
	var answer scaler.HandAnswer
	if err := (remote{c.url}).askOurs(ctx, http.MethodPost, path, nil, req, &answer); err != nil {
		return err
	}
	if answer.Warning != "" {
		fmt.Fprintln(c.stderr, "plimsoll:", answer.Warning)
	}
	if c.output == "json" {
		return printJSON(c.stdout, answer)
	}
	fmt.Fprintln(c.stdout, sentence(answer.Act))
	return nil
}

// sentence is an act in words: "web: floor 10 until 2026-11-21 22:00:00".
func sentence(a journal.Act) string {
	name := plainLine(a.Policy)
	if a.Policy == journal.AllPolicies {
		name = "all policies"
	}
	return name + ": " + deed(a)
}

func deed(a journal.Act) string {
	text := ""
	switch a.Verb {
	case journal.VerbPause:
		text = map[decide.Pause]string{decide.PauseIn: "nothing shrinks", decide.PauseOut: "nothing grows", decide.PauseAll: "paused"}[a.Direction]
	case journal.VerbResume:
		return "goes on"
	case journal.VerbRelease:
		return "floor and ceiling are the policy's again"
	case journal.VerbOverride:
		switch {
		case a.Ceiling == 0:
			text = fmt.Sprintf("floor %d", a.Floor)
		case a.Floor == 0:
			text = fmt.Sprintf("ceiling %d", a.Ceiling)
		default:
			text = fmt.Sprintf("floor %d, ceiling %d", a.Floor, a.Ceiling)
		}
	}
	return text + " until " + day(a.Until)
}

func (c *scalerCommand) list(ctx context.Context) error {
	var all []scaler.Status
	if err := (remote{c.url}).askOurs(ctx, http.MethodGet, scaler.PoliciesPath, nil, nil, &all); err != nil {
		return err
	}
	if c.output == "json" {
		return printJSON(c.stdout, append([]scaler.Status{}, all...))
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	if len(all) > 0 {
		fmt.Fprintln(t, "POLICY\tWORKLOAD\tMODE\tREPLICAS\tMIN\tMAX\tFORECAST\tBY HAND")
	}
	for _, s := range all {
		replicas := "?"
		if s.Last != nil && s.Last.Observation.Err == "" {
			replicas = strconv.Itoa(s.Last.Observation.Desired)
		}
		foretells := "-"
		if s.Forecast != nil {
			foretells = string(s.Forecast.Standing)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t", s.Policy.Name, s.Policy.Target, s.Policy.Mode, replicas, s.Policy.Min, s.Policy.Max, foretells)
		writeHand(t, s.Hand)
		fmt.Fprintln(t)
	}
	return t.Flush()
}

func writeHand(w io.Writer, said scaler.Hand) {
	between := ""
	for _, a := range []*journal.Act{said.Pause, said.PauseAll, said.Override} {
		if a != nil {
			fmt.Fprintf(w, "%s%s by %s: %s", between, deed(*a), plainLine(a.By), plainLine(a.Reason))
			between = "; "
		}
	}
}

func (c *scalerCommand) audit(ctx context.Context) error {
	form := url.Values{"limit": {strconv.Itoa(c.last)}}
	if c.policy != "" {
		form.Set("policy", c.policy)
	}
	var acts []journal.Act
	if err := (remote{c.url}).askOurs(ctx, http.MethodGet, scaler.AuditPath, form, nil, &acts); err != nil {
		return err
	}
	if c.output == "json" {
		return printJSON(c.stdout, append([]journal.Act{}, acts...))
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	if len(acts) > 0 {
		fmt.Fprintln(t, "AT\tPOLICY\tWHAT\tWHO\tFROM\tWHY")
	}
	for _, a := range acts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", day(a.At), plainLine(a.Policy), deed(a), plainLine(person(a)), plainLine(source(a)), plainLine(a.Reason))
	}
	return t.Flush()
}

// person is who acted, and how far that is known.
func person(a journal.Act) string {
	switch {
	case !a.Proven:
		return a.By + " (unproven)"
	case a.Says != "":
		return a.By + " as " + a.Says
	}
	return a.By
}

func source(a journal.Act) string {
	if a.Peer != "" {
		return a.From + " by " + a.Peer
	}
	return a.From
}
