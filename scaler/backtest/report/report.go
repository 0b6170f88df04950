// Package report tells people and machines what a backtest came to: as a table, as
// JSON, or as one page of HTML that needs nothing else.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
)

// Report is a backtest.
type Report struct {
	Policy string    `json:"policy"`
	Target string    `json:"target"`
	Source string    `json:"source"` // where the load comes from
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	// StepSeconds is how fine the load is.
	StepSeconds float64 `json:"step_seconds"`
	// Demand says what the runs are judged by, one line for each signal with a say.
	Demand []string `json:"demand"`
	// Plant says how the workload was taken to behave, and why.
	Plant []string `json:"plant"`
	// Notes are what else was assumed.
	Notes []string `json:"notes,omitempty"`
	// Runs are the policy's, and what it is compared with.
	Runs []Run `json:"runs"`
	// Verdicts are of the limits.
	Verdicts []backtest.Verdict `json:"verdicts,omitempty"`
}

// Run is one way in which the workload was, or would have been, scaled.
type Run struct {
	Name string `json:"name"`
	backtest.Result
}

// Failed is how many limits the policy is beyond.
func (r Report) Failed() int {
	n := 0
	for _, v := range r.Verdicts {
		if v.Failed {
			n++
		}
	}
	return n
}

// JSON writes the report for machines, times in RFC 3339.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Table writes the report for a terminal.
func (r Report) Table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Policy %s, %s to %s, by steps of %s, from %s\n", r.Policy, stamp(r.From), stamp(r.To), r.step(), r.Source)
	for _, lines := range [][]string{r.Demand, r.Plant, r.Notes} {
		for _, line := range lines {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, run := range r.Runs {
		fmt.Fprintf(t, "\t%s", run.Name)
	}
	fmt.Fprintln(t, "\tmeaning")
	for _, m := range backtest.Measures() {
		fmt.Fprint(t, m.Name)
		for _, run := range r.Runs {
			fmt.Fprintf(t, "\t%s", m.Text(m.Of(run.Scores)))
		}
		fmt.Fprintf(t, "\t%s\n", m.Says)
	}
	_ = t.Flush() // into a Builder
	if len(r.Runs) > 0 {
		r.worst(&b, r.Runs[0])
	}
	if len(r.Verdicts) > 0 {
		b.WriteString("\nLimits\n")
		for _, v := range r.Verdicts {
			word := "ok    "
			if v.Failed {
				word = "FAILED"
			}
			fmt.Fprintf(&b, "  %s  %s: %s\n", word, v.Limit, v.Says)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) worst(b *strings.Builder, run Run) {
	if len(run.Worst) == 0 {
		fmt.Fprintf(b, "\n%s never had too few.\n", run.Name)
		return
	}
	fmt.Fprintf(b, "\nWhen %s had too few, the gravest first\n", run.Name)
	for _, s := range run.Worst {
		fmt.Fprintf(b, "  %s\n", line(s))
		if s.Why != "" {
			fmt.Fprintf(b, "      %s\n", s.Why)
		}
	}
}

// line is a shortfall in a line.
func line(s backtest.Shortfall) string {
	text := fmt.Sprintf("%s for %s: at %s %d of %.0f were ready, %d asked for; ", stamp(s.From), s.To.Sub(s.From),
		s.At.UTC().Format(time.TimeOnly), s.Ready, s.Demand, s.Desired)
	if s.Asked.IsZero() {
		return text + "never enough"
	}
	return text + "enough after " + s.Asked.Sub(s.From).String()
}

func (r Report) step() string {
	return time.Duration(r.StepSeconds * float64(time.Second)).String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
