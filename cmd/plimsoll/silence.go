package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/alerting"
)

// silenceCommand makes, shows, prolongs and ends silences.
type silenceCommand struct {
	*cli
	url      *url.URL
	matchers []string
	ids      []string
	duration time.Duration
	start    string
	author   string
	comment  string
	expired  bool
	output   string
}

func (c *cli) silence() {
	k := c.app.Command("silence", "Hold alerts back for a time: add, acknowledge, list, prolong, expire.")
	cmd := &silenceCommand{cli: c}
	sub := func(name, help string, run func(context.Context) error) *kingpin.CmdClause {
		s := k.Command(name, help)
		s.Flag("url", "Address of the collector.").Default("http://127.0.0.1:9900").SetValue(address{&cmd.url})
		c.commands["silence "+name] = run
		return s
	}
	about := func(s *kingpin.CmdClause) {
		s.Flag("author", "Who makes it; you, at this machine, if empty.").StringVar(&cmd.author)
		s.Flag("comment", "Why.").Short('c').Required().StringVar(&cmd.comment)
	}
	which := "Conditions on labels, which must all hold: NAME=VALUE, != , =~ or !~; a name alone is that of an alert."

	s := sub("add", "Make one, and print its ID.", cmd.add)
	s.Arg("matcher", which).Required().StringsVar(&cmd.matchers)
	durationVar(s, "duration", "How long it lasts.", &cmd.duration, "1h", time.Second)
	s.Flag("start", "When it begins, RFC 3339; now if empty.").PlaceHolder("TIME").StringVar(&cmd.start)
	about(s)

	s = sub("ack", "Silence what fires until it is over: the collector prolongs it while an alert that matches fires.", cmd.ack)
	s.Arg("matcher", which).Required().StringsVar(&cmd.matchers)
	about(s)

	s = sub("list", "Show those that are not over.", cmd.list)
	s.Arg("matcher", "Only those with exactly these conditions among theirs, as amtool has it.").StringsVar(&cmd.matchers)
	s.Flag("expired", "Those that are over, too.").BoolVar(&cmd.expired)
	s.Flag("output", "text or json.").Short('o').Default("text").EnumVar(&cmd.output, "text", "json")

	s = sub("extend", "Have some end later: as long from now as --duration says.", cmd.extend)
	s.Arg("id", "Their IDs.").Required().StringsVar(&cmd.ids)
	durationVar(s, "duration", "How long they last from now.", &cmd.duration, "1h", time.Second)

	s = sub("expire", "End some.", cmd.expire)
	s.Arg("id", "Their IDs.").Required().StringsVar(&cmd.ids)
}

// silence is one as API v2 has it.
type silence struct {
	ID          string            `json:"id,omitempty"`
	Status      *silenceStatus    `json:"status,omitempty"`
	Matchers    []silenceMatcher  `json:"matchers"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	CreatedBy   string            `json:"createdBy"`
	Comment     string            `json:"comment"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type silenceStatus struct {
	State string `json:"state"`
}

type silenceMatcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual *bool  `json:"isEqual,omitempty"` // absent means true
}

func (m silenceMatcher) String() string {
	op := map[bool]string{true: "=", false: "!"}[m.IsEqual == nil || *m.IsEqual]
	switch {
	case m.IsRegex:
		op += "~"
	case op == "!":
		op = "!="
	}
	return fmt.Sprintf("%s%s%q", m.Name, op, m.Value)
}

// parseMatchers reads conditions. A word without one is the name of an alert.
func parseMatchers(texts []string) ([]silenceMatcher, error) {
	var list []silenceMatcher
	for _, text := range texts {
		if isName(text) {
			text = "alertname=" + fmt.Sprintf("%q", text)
		}
		matchers, err := alerting.ParseMatchers(text)
		if err != nil {
			return nil, usage(err)
		}
		for _, m := range matchers {
			op := m.Type.String()
			equal := op[0] == '='
			list = append(list, silenceMatcher{Name: m.Name, Value: m.Value, IsRegex: strings.HasSuffix(op, "~"), IsEqual: &equal})
		}
	}
	return list, nil
}

func isName(text string) bool { return text != "" && !strings.ContainsAny(text, "=~!{}\"") }

const silencesPath = "/api/v2/silences"

func (c *silenceCommand) add(ctx context.Context) error {
	s := silence{StartsAt: time.Now()}
	if c.start != "" {
		var err error
		if s.StartsAt, err = time.Parse(time.RFC3339, c.start); err != nil {
			return usage(fmt.Errorf("--start=%s: want a time such as 2026-11-21T22:00:00Z", c.start))
		}
	}
	s.EndsAt = s.StartsAt.Add(c.duration)
	return c.make(ctx, s)
}

// ack makes a silence that the collector recognises as one to prolong.
func (c *silenceCommand) ack(ctx context.Context) error {
	now := time.Now()
	return c.make(ctx, silence{StartsAt: now, EndsAt: now.Add(alerting.AckFor), Annotations: map[string]string{alerting.AckAnnotation: "true"}})
}

func (c *silenceCommand) make(ctx context.Context, s silence) (err error) {
	if s.Matchers, err = parseMatchers(c.matchers); err != nil {
		return err
	}
	s.Comment, s.CreatedBy = c.comment, c.author
	if s.CreatedBy == "" {
		s.CreatedBy = me()
	}
	id, err := c.post(ctx, s)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.stdout, id)
	return nil
}

func (c *silenceCommand) post(ctx context.Context, s silence) (id string, err error) {
	var made struct{ SilenceID string }
	err = remote{c.url}.ask(ctx, http.MethodPost, silencesPath, nil, s, &made)
	return made.SilenceID, err
}

// me is who runs the command, as user@host.
func me() string {
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}

func (c *silenceCommand) list(ctx context.Context) error {
	matchers, err := parseMatchers(c.matchers)
	if err != nil {
		return err
	}
	form := url.Values{}
	for _, m := range matchers {
		form.Add("filter", m.String())
	}
	var all []silence
	if err := (remote{c.url}).ask(ctx, http.MethodGet, silencesPath, form, nil, &all); err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s silence) bool { return !c.expired && s.Status != nil && s.Status.State == "expired" })
	slices.SortFunc(all, func(a, b silence) int { return a.EndsAt.Compare(b.EndsAt) })
	if c.output == "json" {
		return printJSON(c.stdout, append([]silence{}, all...))
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	if len(all) > 0 {
		fmt.Fprintln(t, "ID\tSTATE\tUNTIL\tMATCHERS\tAUTHOR\tCOMMENT")
	}
	for _, s := range all {
		state := ""
		if s.Status != nil {
			state = s.Status.State
		}
		if s.Annotations[alerting.AckAnnotation] == "true" && state == "active" {
			state = "ack"
		}
		var conditions []string
		for _, m := range s.Matchers {
			conditions = append(conditions, m.String())
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, state, day(s.EndsAt), strings.Join(conditions, " "), plainLine(s.CreatedBy), plainLine(s.Comment))
	}
	return t.Flush()
}

func (c *silenceCommand) extend(ctx context.Context) error {
	return c.each(func(id string) error {
		var s silence
		if err := (remote{c.url}).ask(ctx, http.MethodGet, "/api/v2/silence/"+id, nil, nil, &s); err != nil {
			return err
		}
		if s.Status != nil && s.Status.State == "expired" {
			return errors.New("it is over; make a new one")
		}
		s.Status, s.EndsAt = nil, time.Now().Add(c.duration)
		if s.StartsAt.After(s.EndsAt) {
			return fmt.Errorf("it begins only at %s, after that", day(s.StartsAt))
		}
		id, err := c.post(ctx, s)
		if err == nil {
			fmt.Fprintln(c.stdout, id)
		}
		return err
	})
}

func (c *silenceCommand) expire(ctx context.Context) error {
	return c.each(func(id string) error {
		return remote{c.url}.ask(ctx, http.MethodDelete, "/api/v2/silence/"+id, nil, nil, nil)
	})
}

// each does something for each ID, also after one that fails; but a collector
// that is away is away for all.
func (c *silenceCommand) each(do func(id string) error) error {
	var errs []error
	for _, id := range c.ids {
		err := do(id)
		var e exitError
		if errors.As(err, &e) {
			return err
		}
		if a, ok := errors.AsType[remoteAnswer](err); ok && a.status == http.StatusNotFound {
			err = errors.New("there is no such silence; see plimsoll silence list")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("silence %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func printJSON(to interface{ Write([]byte) (int, error) }, v any) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
