package scaler

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Explain writes an entry for people: what was done, why, and every number on
// the way. Times are in UTC.
func Explain(w io.Writer, e Entry) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", e.Policy, headline(e))
	fmt.Fprintf(&b, "%s\n\n", plain(e.Decision.Why))

	var t table
	t.row("target", fmt.Sprintf("%s, mode %s", e.Target, e.Mode))
	t.row("time", when(e))
	t.row("platform", platform(e.Observation))
	if e.Result != "" {
		t.row("result", result(e))
	}
	b.WriteString(t.String())

	explainSignals(&b, e)
	explainStages(&b, e.Decision)
	explainGates(&b, e.Decision)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("explain %s: %w", e.Policy, err)
	}
	return nil
}

// headline is the decision in a few words.
func headline(e Entry) string {
	d := e.Decision
	move := fmt.Sprintf("scale %s from %d to %d", d.Action, d.From, d.To)
	switch {
	case e.Observation.Err != "":
		return "hold, the platform did not answer"
	case d.Action == decide.Refuse:
		return fmt.Sprintf("refused, stays at %d", d.From)
	case d.From == d.To:
		return fmt.Sprintf("hold at %d", d.From)
	case e.Result == "":
		return "would " + move + ", but only advises"
	case e.Result != resultAccepted:
		return move + ": not done"
	}
	return move
}

func when(e Entry) string {
	at := e.At().UTC().Format("2006-01-02 15:04:05.000 UTC")
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
	if o.Updating {
		s += ", a rollout is under way"
	}
	return s
}

func result(e Entry) string {
	s := e.Result
	if e.Err != "" {
		s += ": " + e.Err
	}
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (decided %d times, as others changed it)", e.Attempts)
	}
	return s
}

// explainSignals lists what each signal said beside what it is held against.
func explainSignals(b *strings.Builder, e Entry) {
	if len(e.Queries) == 0 {
		return
	}
	b.WriteString("\nSignals\n")
	var t table
	for _, q := range e.Queries {
		t.row("  "+q.Signal, said(e.Observation, q), "goal "+q.Goal)
	}
	b.WriteString(t.String())
	for _, q := range e.Queries {
		fmt.Fprintf(b, "  %s = %s\n", q.Signal, plain(q.Query))
	}
}

// said sums up a signal's samples.
func said(o decide.Observation, q SignalQuery) string {
	for _, r := range o.Signals {
		if r.Signal != q.Signal {
			continue
		}
		if r.Err != "" {
			return "no data: " + r.Err
		}
		return summary(o.Now, r.Samples, q.Unit)
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

// explainStages lists the way from one number to the other. An arrow marks the
// stages that changed it against its will.
func explainStages(b *strings.Builder, d decide.Decision) {
	if len(d.Stages) == 0 {
		return
	}
	b.WriteString("\nStages\n")
	var t table
	for _, s := range d.Stages {
		name, mark := s.Name, ""
		if s.Signal != "" {
			name += " " + s.Signal
		}
		if s.Bound {
			mark = "◄"
		}
		t.row("  "+name, fmt.Sprintf("%d → %d", s.In, s.Out), mark, s.Reason)
	}
	b.WriteString(t.String())
}

func explainGates(b *strings.Builder, d decide.Decision) {
	if len(d.Gates) == 0 {
		return
	}
	b.WriteString("\nIn the way\n")
	var t table
	for _, g := range d.Gates {
		name := g.Name
		if g.Signal != "" {
			name += " " + g.Signal
		}
		t.row("  "+name, g.Why)
	}
	b.WriteString(t.String())
}

// goal is what a signal's readings are held against, as the policy has it.
func goal(s policy.Signal) string {
	if s.Type == policy.Threshold {
		return "between " + s.Min.String() + " and " + s.Max.String()
	}
	return s.Target.String()
}

// table lines up the cells of its rows.
type table struct{ rows strings.Builder }

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		if i > 0 {
			t.rows.WriteByte('\t')
		}
		t.rows.WriteString(plain(cell))
	}
	t.rows.WriteByte('\n')
}

func (t *table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = io.WriteString(w, t.rows.String()) // neither can fail: it all is memory
	_ = w.Flush()
	return b.String()
}

// plain is text without line breaks and other control characters: errors quote
// what strangers wrote, and a terminal obeys some of it.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
