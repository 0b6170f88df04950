package scaler

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
)

// Row is how one autoscaler followed one trace.
type Row struct {
	Trace      string          `json:"trace"`
	Autoscaler string          `json:"autoscaler"`
	Scores     backtest.Scores `json:"scores"`
	Says       string          `json:"says,omitempty"` // of its forecast
}

// The autoscalers, as the table names them.
const (
	hpaName      = "HPA v1.36.3"
	knativeName  = "Knative rule (model)"
	labelsName   = "label rule 70/30 (model)"
	oursName     = "Plimsoll"
	forecastName = "Plimsoll, forecast"
	loadName     = "Plimsoll, requests"
)

// Report is a run.
type Report struct {
	Rows   []Row   `json:"rows"`
	Missed []Miss  `json:"missed"`
	Pareto []Point `json:"pareto,omitempty"`
}

// Miss is a gate that was not met.
type Miss struct {
	Trace string  `json:"trace"`
	Gate  string  `json:"gate"`
	Ours  float64 `json:"ours"`
	Limit float64 `json:"limit"`
}

// Point is one autoscaler with one window for shrinking.
type Point struct {
	Trace      string  `json:"trace"`
	Autoscaler string  `json:"autoscaler"`
	Seconds    float64 `json:"in_window_s"`
	ThetaU     float64 `json:"theta_u"`
	ThetaO     float64 `json:"theta_o"`
	Hours      float64 `json:"replica_hours"`
}

// gates compares ours with the HPA on one trace. On halved ones θ_U must be half.
func gates(trace string, ours, hpa backtest.Scores, halved bool) []Miss {
	var missed []Miss
	check := func(gate string, ours, limit float64) {
		const rounding = 1e-9
		if ours > limit+rounding {
			missed = append(missed, Miss{trace, gate, ours, limit})
		}
	}
	check("theta_u", ours.ThetaU, hpa.ThetaU)
	if halved {
		check("theta_u, half", ours.ThetaU, hpa.ThetaU/2)
	}
	check("theta_o", ours.ThetaO, hpa.ThetaO+2)
	check("replica_hours", ours.ReplicaHours, 1.1*hpa.ReplicaHours)
	check("reversals", float64(ours.Reversals), 2*float64(hpa.Reversals))
	return missed
}

// JSON writes all of it.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Markdown writes the tables.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| trace | | θ_U | θ_O | τ_U | longest under | lost | changes | reversals | replica-hours |\n|---|---|---|---|---|---|---|---|---|---|\n")
	last := ""
	for _, row := range r.Rows {
		trace := row.Trace
		if trace == last {
			trace = ""
		}
		last = row.Trace
		s := row.Scores
		lost := 0.0
		if s.LostPercent != nil {
			lost = *s.LostPercent
		}
		fmt.Fprintf(&b, "| %s | %s | %.2f %% | %.1f %% | %.1f %% | %.0f s | %.2f %% | %d | %d | %.1f |\n",
			trace, row.Autoscaler, s.ThetaU, s.ThetaO, s.TauU, s.WorstSeconds, lost, s.Changes, s.Reversals, s.ReplicaHours)
	}
	for _, row := range r.Rows {
		if row.Says != "" {
			fmt.Fprintf(&b, "\n%s: %s.", row.Trace, row.Says)
		}
	}
	b.WriteString("\n\n")
	for _, m := range r.Missed {
		fmt.Fprintf(&b, "Missed on %s: %s is %.2f, the limit is %.2f.\n", m.Trace, m.Gate, m.Ours, m.Limit)
	}
	if len(r.Pareto) > 0 {
		b.WriteString("\n| trace | | in window | θ_U | θ_O | replica-hours |\n|---|---|---|---|---|---|\n")
	}
	for _, p := range r.Pareto {
		fmt.Fprintf(&b, "| %s | %s | %.0f s | %.2f %% | %.1f %% | %.1f |\n", p.Trace, p.Autoscaler, p.Seconds, p.ThetaU, p.ThetaO, p.Hours)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
