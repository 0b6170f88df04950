package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/backtest/history"
	"github.com/plimsoll-io/plimsoll/scaler/backtest/report"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// trial is a backtest in the making: the policy, and what it is compared with.
type trial struct {
	*backtestCommand
	limits     []backtest.Limit
	from, to   time.Time
	contenders []*contender   // the policy first
	store      *history.Store // nil if the load is from a file
	report     report.Report
}

// contender is one of the policies.
type contender struct {
	name    string
	app     policy.App
	history history.History
}

// warmest is the longest time that is run before what is judged.
const warmest = time.Hour

// warm is how long policies need until nothing is held back any more because of the
// beginning.
func (t *trial) warm() time.Duration {
	warm := time.Minute
	for _, c := range t.contenders {
		warm = max(warm, 2*c.app.In.Window)
	}
	return min(warm, warmest)
}

// fetch reads what all policies would have met.
func (t *trial) fetch(ctx context.Context, p *progress) error {
	if t.load != "" {
		return t.fetchFile()
	}
	store, err := history.Open(t.url)
	if err != nil {
		return usage(err)
	}
	t.report.Source = t.url.Redacted()
	t.store = store
	span := history.Over(t.from.Add(-t.warm()), t.to, t.step)
	for i, c := range t.contenders {
		p.begin()
		c.history, err = store.Fetch(ctx, history.Ask{App: c.app, Span: span, Progress: func(done float64) {
			p.show(done, "reading the history of "+c.app.Name)
		}})
		var away *url.Error
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &away):
			return exitError{exitUnreachable, fmt.Errorf("no collector answers at %s: %w; start one, or name it with --url", t.url.Redacted(), away.Err)}
		case err != nil:
			return fmt.Errorf("history of policy %s: %w", t.contenders[i].app.Name, err)
		}
	}
	t.report.StepSeconds = span.Step.Seconds()
	return nil
}

// fetchFile takes the load from a file.
func (t *trial) fetchFile() error {
	in, err := open(t.load)
	if err != nil {
		return usage(err)
	}
	defer in.Close()
	file, err := history.ReadCSV(in)
	if err != nil {
		return usage(fmt.Errorf("%s: %w", t.load, err))
	}
	for _, c := range t.contenders {
		if c.history, err = file.History(c.app, t.capacity); err != nil {
			return usage(fmt.Errorf("%s: %w", t.load, err))
		}
	}
	t.report.Source, t.report.StepSeconds = t.load, file.Step.Seconds()
	return nil
}

// settle decides what the runs have in common.
func (t *trial) settle() (backtest.Options, error) {
	first := t.contenders[0]
	whole := first.history.Lanes[0].Load
	o := backtest.Options{Plant: backtest.DefaultPlant(), To: t.to, Trace: t.output == "html", Worst: t.worst}
	if o.To.IsZero() || o.To.After(whole.End()) {
		o.To = whole.End()
	}
	judged := t.from
	if judged.Before(whole.Start) {
		judged = whole.Start.Add(min(t.warm(), o.To.Sub(whole.Start)/10))
	}
	if !o.To.After(judged) {
		return o, usage(fmt.Errorf("the load is from %s to %s, and nothing of it is asked for", whole.Start.UTC().Format(time.RFC3339), whole.End().UTC().Format(time.RFC3339)))
	}
	o.From = judged.Add(-t.warm())
	if o.From.Before(whole.Start) {
		o.From = whole.Start
	}
	o.Warm = judged.Sub(o.From)
	o.Start = first.history.Begin(o.From)
	t.plant(&o)
	t.report.Policy, t.report.Target = first.app.Name, first.app.Target.String()
	t.report.From, t.report.To = judged, o.To
	t.yardstick()
	return o, nil
}

// plant says how replicas behave, and how that is known.
func (t *trial) plant(o *backtest.Options) {
	o.Plant.Stop = t.stop
	say := func(format string, args ...any) {
		t.report.Plant = append(t.report.Plant, fmt.Sprintf(format, args...))
	}
	fitted, known := t.contenders[0].history.Boot()
	switch {
	case t.boot.known:
		o.Plant.Boot = t.boot.took
		say("replicas take %s to start, as --boot has it", policy.Short(t.boot.took))
		if known {
			say("the history has %s", fitted)
		}
	case known:
		o.Plant.Boot = fitted.Usual
		say("replicas take %s", fitted)
	default:
		say("replicas are taken to start within %s: the history does not tell, --boot may", policy.Short(o.Plant.Boot))
	}
	if t.stop > 0 {
		say("those that go stay for %s and cost", policy.Short(t.stop))
	}
	say("metrics are sampled each %s and read %s later", policy.Short(o.Plant.Cadence), policy.Short(o.Plant.Age))
}

// yardstick applies what the flags say of replicas, and tells what demand is.
func (t *trial) yardstick() {
	for _, c := range t.contenders {
		for i := range c.history.Lanes {
			l := &c.history.Lanes[i]
			if v, ok := t.capacity[l.Signal]; ok {
				if l.Unit > 0 && l.Full == l.Unit { // readings are shares of it
					l.Good *= v / l.Unit
					l.Unit = v
				}
				l.Full = v
			}
			if v, ok := t.carry[l.Signal]; ok {
				l.Good = v
			}
		}
	}
	for _, l := range t.contenders[0].history.Lanes {
		if l.Good == 0 {
			continue
		}
		line := fmt.Sprintf("demand is the replicas that have no more than %.4g of %s each", l.Good, l.Signal)
		if l.Full > 0 {
			line += fmt.Sprintf("; one can carry %.4g", l.Full)
		}
		t.report.Demand = append(t.report.Demand, line)
	}
}

// play runs all policies and judges them.
func (t *trial) play(ctx context.Context, p *progress) error {
	o, err := t.settle()
	if err != nil {
		return err
	}
	var scores []backtest.Scores
	for i, c := range t.contenders {
		o := o
		o.Lanes, o.Every = t.lanes(i), c.app.Interval
		ours := backtest.NewOurs(c.history.Without(c.app))
		if ours.Hint, err = t.hint(ctx, c, o, p); err != nil {
			return err
		}
		p.begin()
		o.Progress = func(done float64) bool {
			p.show(done, "running "+c.name)
			return ctx.Err() == nil
		}
		result, err := backtest.Run(o, ours)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("policy %s: %w", c.app.Name, err)
		}
		if result.Scores.KnownHours == 0 {
			return errors.New("the load is not known at any time that is to be judged")
		}
		scores = append(scores, result.Scores)
		t.report.Runs = append(t.report.Runs, report.Run{Name: c.name, Result: result})
		t.assumed(i, c)
	}
	t.recorded(o)
	var other *backtest.Scores
	if len(scores) > 1 {
		other = &scores[1]
	}
	for _, l := range t.limits {
		t.report.Verdicts = append(t.report.Verdicts, l.Judge(scores[0], other))
	}
	return nil
}

// lanes are those of a policy. All are judged by what the first demands.
func (t *trial) lanes(i int) []backtest.Lane {
	first := t.contenders[0].history.Lanes
	if i == 0 {
		return first
	}
	var lanes []backtest.Lane
	for _, l := range t.contenders[i].history.Lanes {
		l.Good = 0
		lanes = append(lanes, l)
	}
	for _, l := range first {
		if l.Good > 0 {
			l.Signal = ""
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// assumed tells what a policy's run leaves out.
func (t *trial) assumed(i int, c *contender) {
	for _, l := range c.history.Left {
		t.report.Notes = append(t.report.Notes, fmt.Sprintf("%s: signal %s is left out: %s", c.name, l.Signal, l.Why))
	}
	if c.app.Mode == policy.Paused {
		t.report.Notes = append(t.report.Notes, c.name+": the policy is paused, so that it changes nothing")
	}
	if i == 0 {
		t.report.Notes = append(t.report.Notes, c.history.Notes...)
	}
}

// recorded judges what really ran, if that is known.
func (t *trial) recorded(o backtest.Options) {
	h := t.contenders[0].history
	if len(h.Ready.Values) == 0 {
		return
	}
	o.Lanes, o.Progress = h.Lanes, nil
	if result, err := backtest.Recorded(o, h.Desired, h.Ready); err == nil {
		t.report.Runs = append(t.report.Runs, report.Run{Name: "as it ran", Result: result})
	}
}
