// Package explain tells people why a workload is scaled or is not, from an entry of
// the journal alone.
package explain

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Write explains an entry for people: what was done, why, every number on the
// way, and what would change it. Times are in UTC. An entry without App and State
// is explained without the last of these.
func Write(w io.Writer, e journal.Entry) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", plain(e.Policy), headline(e))
	why := table{}
	why.row(e.Decision.Why())
	b.WriteString(why.String())
	b.WriteByte('\n')

	var t table
	t.row("target", fmt.Sprintf("%s, mode %s", e.Target, e.Mode))
	if e.ID != "" {
		t.row("decision", e.ID+", made again by: plimsoll replay "+e.ID)
	}
	t.row("time", when(e))
	t.row("platform", platform(e.Observation))
	circumstances(&t, e)
	if e.Result != "" {
		t.row("result", result(e))
	}
	b.WriteString(t.String())

	signals(&b, e)
	stages(&b, e.Decision)
	gates(&b, e.Decision)
	change(&b, e)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("explain %s: %w", e.Policy, err)
	}
	return nil
}

// headline is the decision in a few words.
func headline(e journal.Entry) string {
	d := e.Decision
	move := fmt.Sprintf("scale %s from %d to %d", d.Action, d.From, d.To)
	switch {
	case e.Observation.Err != "":
		return "hold, the platform did not answer"
	case d.Action == decide.Refuse:
		return fmt.Sprintf("refused, stays at %d", d.From)
	case d.From == d.To:
		return fmt.Sprintf("hold at %d", d.From)
	case e.Result == "" && e.Mode == policy.Advise:
		return "would " + move + ", but only advises"
	case e.Result == "" && e.Mode == policy.Standby:
		return "would " + move + ", but another collector leads"
	case e.Result == "":
		return "would " + move
	case e.Result != journal.Accepted:
		return move + ": not done"
	}
	return move
}

func when(e journal.Entry) string {
	at := e.At().UTC().Format("2006-01-02 15:04:05.000 UTC")
	if e.Trigger != "" {
		at += ", on " + string(e.Trigger)
	}
	if e.Ticks <= 1 {
		return at
	}
	return fmt.Sprintf("%s, the same since %s, %d ticks", at, e.Since.UTC().Format("15:04:05.000"), e.Ticks)
}

func platform(o decide.Observation) string {
	if o.Err != "" {
		return "unknown: " + o.Err
	}
	s := fmt.Sprintf("%d asked for, %d ready", o.Desired, o.Ready)
	if o.Starting > 0 {
		s += fmt.Sprintf(", %d starting", o.Starting)
	}
	if o.Failing > 0 {
		s += fmt.Sprintf(", %d failing again and again", o.Failing)
	}
	if o.Updating {
		s += ", a rollout is under way"
	}
	if o.Boot > 0 {
		s += fmt.Sprintf("; they take %v to be ready", o.Boot.Round(time.Second))
	}
	return s
}

// circumstances tells what took part besides the signals.
func circumstances(t *table, e journal.Entry) {
	o := e.Observation
	if h := o.Hand; h.Pause != "" && o.Now.Before(h.PauseUntil) {
		t.row("by hand", fmt.Sprintf("paused (%s) until %s by %s", h.Pause, stamp(o.Now, h.PauseUntil), cmp.Or(h.PauseBy, "someone")))
	}
	if h := o.Hand; (h.Floor > 0 || h.Ceiling > 0) && o.Now.Before(h.Until) {
		var limits []string
		if h.Floor > 0 {
			limits = append(limits, fmt.Sprintf("at least %d", h.Floor))
		}
		if h.Ceiling > 0 {
			limits = append(limits, fmt.Sprintf("at most %d", h.Ceiling))
		}
		t.row("by hand", fmt.Sprintf("%s until %s by %s", strings.Join(limits, " and "), stamp(o.Now, h.Until), cmp.Or(h.By, "someone")))
	}
	for _, b := range o.Bases {
		t.row("event", fmt.Sprintf("%s multiplies a load of %s", b.Event, amountOf(e, "", b.Load)))
	}
	if e.Forecast != "" {
		t.row("forecast", e.Forecast)
	}
	if a := o.Ahead; a != nil {
		t.row("forecast", fmt.Sprintf("%s reads %s at %s, by %s; no more than %s is believed",
			a.Signal, amountOf(e, a.Signal, a.Load), stamp(o.Now, a.At), a.Model, amountOf(e, a.Signal, a.Most)))
	}
	if len(o.Lost) > 0 {
		t.row("not heard", "the agents of "+strings.Join(o.Lost, ", "))
	}
	if o.Frozen != "" {
		t.row("frozen", o.Frozen)
	}
}

// stamp is a time that is near another one.
func stamp(now, at time.Time) string {
	if d := at.Sub(now); d < -12*time.Hour || d > 12*time.Hour {
		return at.UTC().Format("2006-01-02 15:04")
	}
	return at.UTC().Format("15:04:05")
}

// amountOf is a load of a signal in its unit; of the first of them if it has no
// name.
func amountOf(e journal.Entry, signal string, load float64) policy.Amount {
	a := policy.Amount{Value: load, Unit: policy.Plain}
	for _, q := range e.Queries {
		if q.Signal == signal || signal == "" {
			a.Unit = q.Unit
			break
		}
	}
	return a
}

func result(e journal.Entry) string {
	s := e.Result
	if e.Err != "" {
		s += ": " + e.Err
	}
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (decided %d times, as others changed it)", e.Attempts)
	}
	return s
}

// signals lists what each signal said beside what it is held against.
func signals(b *strings.Builder, e journal.Entry) {
	if len(e.Queries) == 0 {
		return
	}
	b.WriteString("\nSignals\n")
	t, asked := table{indent: 2}, table{indent: 2}
	for _, q := range e.Queries {
		t.row(q.Signal, "goal "+q.Goal, said(e.Observation, q))
		if own := ownReading(e.App, q.Signal); own != "" {
			asked.row(q.Signal, "= "+own)
		} else {
			asked.row(q.Signal, "= "+q.Query)
		}
	}
	b.WriteString(t.String())
	b.WriteString(asked.String())
}

// ownReading is what a signal reads whose query is ours and long; empty if it is
// the user's, or not known.
func ownReading(app *policy.App, signal string) string {
	if app == nil {
		return ""
	}
	for _, s := range app.Signals {
		if s.Name == signal && s.Source != policy.Query {
			return fmt.Sprintf("%s of each container, of: %s", s.Source, s.Of)
		}
	}
	return ""
}

// said sums up a signal's samples.
func said(o decide.Observation, q journal.SignalQuery) string {
	for _, r := range o.Signals {
		if r.Signal != q.Signal {
			continue
		}
		if r.Err != "" {
			return "no data: " + r.Err
		}
		text := summary(o.Now, r.Samples, q.Unit)
		if r.Empty {
			text = "nothing, which the guard vouches for"
		}
		if r.Throttled != nil && *r.Throttled > 0 {
			text += fmt.Sprintf(", throttled %.0f%% of the time", 100**r.Throttled)
		}
		if r.Pressure != nil && *r.Pressure > 0 {
			text += fmt.Sprintf(", waiting for CPU %.0f%% of the time", 100**r.Pressure)
		}
		return text
	}
	return "not read"
}

func summary(now time.Time, samples []decide.Sample, unit policy.Unit) string {
	if len(samples) == 0 {
		return "no data"
	}
	var sum float64
	low, high := math.Inf(1), math.Inf(-1)
	oldest := now
	for _, s := range samples {
		sum += s.Value
		low, high = min(low, s.Value), max(high, s.Value)
		if s.At.Before(oldest) {
			oldest = s.At
		}
	}
	amount := func(v float64) policy.Amount { return policy.Amount{Value: v, Unit: unit} }
	age := now.Sub(oldest).Round(100 * time.Millisecond)
	if len(samples) == 1 {
		return fmt.Sprintf("%s, %v old", amount(sum), age)
	}
	mean := amount(sum / float64(len(samples)))
	return fmt.Sprintf("%d replicas, mean %s, from %s to %s, up to %v old", len(samples), mean, amount(low), amount(high), age)
}

// stages lists the way from one number to the other. An arrow marks the
// stages that changed it against its will.
func stages(b *strings.Builder, d decide.Decision) {
	if len(d.Stages) == 0 {
		return
	}
	b.WriteString("\nStages\n")
	t := table{indent: 2}
	bound := false
	for _, s := range d.Stages {
		name, mark := s.Name, ""
		if s.Signal != "" {
			name += " " + s.Signal
		}
		if s.Bound {
			mark, bound = "◄", true
		}
		t.row(name, fmt.Sprintf("%d → %d", s.In, s.Out), mark, string(s.Reason.Code), s.Reason.String())
	}
	b.WriteString(t.String())
	if bound {
		b.WriteString("  ◄ changed what was asked for\n")
	}
}

func gates(b *strings.Builder, d decide.Decision) {
	if len(d.Gates) == 0 {
		return
	}
	b.WriteString("\nIn the way\n")
	t := table{indent: 2}
	for _, g := range d.Gates {
		name := g.Name
		if g.Signal != "" {
			name += " " + g.Signal
		}
		t.row(name, string(g.Reason.Code), g.Reason.String())
	}
	b.WriteString(t.String())
}
