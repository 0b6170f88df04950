package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// backtestCommand runs a policy over a load that was.
type backtestCommand struct {
	*cli
	example         bool
	file, compare   string
	policy          string
	url             *url.URL
	load            string
	from, to        string
	step            time.Duration
	boot            bootTime
	stop            time.Duration
	capacity, carry perSignal
	worst           int
	failIf          []string
	output          string
}

func (c *cli) backtest() {
	cmd := &backtestCommand{cli: c}
	k := c.command("backtest", `Run a policy over a load that was, and tell how well it would have done.

The load comes from a collector, from anything else with Prometheus' API, or from a file: plimsoll backtest -f policies.yaml --from=7d

Exit code 4 tells that a limit of --fail-if is exceeded.`, cmd.run)
	k.Flag("file", "The policy file.").Short('f').PlaceHolder("FILE").StringVar(&cmd.file)
	k.Flag("policy", "Name of the policy; not needed if the file has one.").PlaceHolder("NAME").StringVar(&cmd.policy)
	k.Flag("compare", "Another policy file, to compare with the policy of that name in it, or its only one.").PlaceHolder("FILE").StringVar(&cmd.compare)
	k.Flag("url", "The collector whose history it is; anything with Prometheus' API will do.").Default("http://127.0.0.1:9900").SetValue(address{&cmd.url})
	k.Flag("load", "Take the load from this file instead, CSV with columns time and the signals' names; standard input for --load=-.").PlaceHolder("FILE").StringVar(&cmd.load)
	k.Flag("from", "The beginning: RFC 3339, seconds since 1970, or so long ago, like 7d. A file is taken whole if empty.").PlaceHolder("TIME").StringVar(&cmd.from)
	k.Flag("to", "The end, the same way; now if empty.").PlaceHolder("TIME").StringVar(&cmd.to)
	k.Flag("step", "How fine the load is read from a store; by the length of the time if 0.").Default("0s").SetValue(&orNone{atLeast{(*duration)(&cmd.step), time.Second}})
	k.Flag("boot", "How long a replica takes until it serves; auto looks into the history.").Default("auto").SetValue(&cmd.boot)
	k.Flag("stop", "How long a replica that was told to go stays, and costs.").Default("0s").SetValue((*duration)(&cmd.stop))
	k.Flag("capacity", "What one replica can carry at most, in the unit of the load, for cpu its limit in cores: of the policy's first signal, or SIGNAL=LOAD. May be repeated.").PlaceHolder("LOAD").SetValue(&cmd.capacity)
	k.Flag("carry", "What one replica is to carry, the same way: demand is judged by it. The target of the policy if not given.").PlaceHolder("LOAD").SetValue(&cmd.carry)
	k.Flag("worst", "How many shortfalls are told.").Default("5").SetValue(number{&cmd.worst, 0, 100})
	k.Flag("fail-if", "Exit with 4 if this is so, like under>1%, worst>5m, or replica_hours>+10% of what --compare has. May be repeated.").PlaceHolder("LIMIT").StringsVar(&cmd.failIf)
	k.Flag("output", "table, json, or html for a page with plots.").Short('o').Default("table").EnumVar(&cmd.output, "table", "json", "html")
	k.Flag("example", "Write a load to try this on, a week as CSV, and do nothing else.").BoolVar(&cmd.example)
}

func (c *backtestCommand) run(ctx context.Context) error {
	if c.example {
		return backtest.WriteExample(c.stdout)
	}
	trial, err := c.prepare()
	if err != nil {
		return err
	}
	progress := newProgress(c.stderr)
	defer progress.end()
	if err := trial.fetch(ctx, progress); err != nil {
		return err
	}
	if err := trial.play(ctx, progress); err != nil {
		return err
	}
	progress.end()
	switch c.output {
	case "json":
		err = trial.report.JSON(c.stdout)
	case "html":
		err = trial.report.HTML(c.stdout)
	default:
		err = trial.report.Table(c.stdout)
	}
	if err != nil {
		return err
	}
	if n := trial.report.Failed(); n > 0 {
		return exitError{exitGate, fmt.Errorf("%s exceeded", count(n, "limit"))}
	}
	return nil
}

// prepare reads all that can be wrong before anything takes time.
func (c *backtestCommand) prepare() (*trial, error) {
	t := &trial{backtestCommand: c}
	if c.file == "" {
		return nil, usage(errors.New("say which policy file: plimsoll backtest -f policies.yaml"))
	}
	for _, text := range c.failIf {
		l, err := backtest.ParseLimit(text)
		if err != nil {
			return nil, usage(fmt.Errorf("--fail-if: %w", err))
		}
		if l.Relative && c.compare == "" {
			return nil, usage(fmt.Errorf("--fail-if: %s is relative to another policy: give its file with --compare", text))
		}
		t.limits = append(t.limits, l)
	}
	var err error
	if t.from, t.to, err = c.span(time.Now()); err != nil {
		return nil, err
	}
	app, err := pick(c.file, c.policy)
	if err != nil {
		return nil, err
	}
	t.contenders = []*contender{{name: app.Name, app: app}}
	if c.compare != "" {
		if err := t.other(app); err != nil {
			return nil, err
		}
	}
	return t, errors.Join(t.capacity.first("capacity", t.contenders), t.carry.first("carry", t.contenders))
}

// other adds what the policy is compared with.
func (t *trial) other(app policy.App) error {
	name := t.policy
	if other, err := pick(t.compare, ""); err == nil {
		name = other.Name
	} else if name == "" {
		name = app.Name
	}
	other, err := pick(t.compare, name)
	if err != nil {
		return err
	}
	t.contenders = append(t.contenders, &contender{name: t.compare, app: other})
	return nil
}

// pick is the policy of a file, by its name or because it is the only one.
func pick(file, name string) (policy.App, error) {
	apps, problems := loadPolicies(file, policy.DefaultCeiling)
	if len(problems) > 0 {
		return policy.App{}, problems
	}
	var names []string
	for _, app := range apps {
		if app.Name == name || name == "" && len(apps) == 1 {
			return app, nil
		}
		names = append(names, app.Name)
	}
	switch all := strings.Join(names, ", "); {
	case len(apps) == 0:
		return policy.App{}, usage(fmt.Errorf("%s has no policy", file))
	case name != "":
		return policy.App{}, usage(fmt.Errorf("%s is no policy of %s, which has: %s", conf.Quote(name), file, all))
	default:
		return policy.App{}, usage(fmt.Errorf("say which policy of %s with --policy: %s", file, all))
	}
}

// span is the time to run over; zero times stand for the ends of a file.
func (c *backtestCommand) span(now time.Time) (from, to time.Time, err error) {
	if c.to != "" {
		if to, err = moment(c.to, now); err != nil {
			return from, to, usage(fmt.Errorf("--to: %w", err))
		}
	} else if c.load == "" {
		to = now
	}
	if c.from != "" {
		if from, err = moment(c.from, now); err != nil {
			return from, to, usage(fmt.Errorf("--from: %w", err))
		}
	} else if c.load == "" {
		from = to.Add(-24 * time.Hour)
	}
	if !from.IsZero() && !to.IsZero() && !to.After(from) {
		return from, to, usage(fmt.Errorf("--from %s is not before --to %s", from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339)))
	}
	return from, to, nil
}

// progress tells how far something is: as a bar on a terminal, as a line now and then
// elsewhere.
type progress struct {
	w     io.Writer
	bar   *bar
	began time.Time
	told  time.Time
}

func newProgress(w io.Writer) *progress {
	now := time.Now()
	return &progress{w: w, bar: newBar(w), began: now, told: now}
}

// begin begins something else, whose end is told anew.
func (p *progress) begin() { p.bar.end(); *p = *newProgress(p.w) }

func (p *progress) show(done float64, what string) {
	if p.bar.w != nil {
		p.bar.draw(done, what)
		return
	}
	now := time.Now()
	if now.Sub(p.told) < telling {
		return
	}
	p.told = now
	fmt.Fprintf(p.w, "%2.0f%% done, %s left: %s\n", 100*done, left(now.Sub(p.began), done), what)
}

func (p *progress) end() { p.bar.end() }

// open opens a file, or standard input for "-".
func open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return os.Stdin, nil
	}
	return os.Open(name)
}
