package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/backtest/report"
)

// The page asks for nothing, and what it was handed stays text.
func TestThePageOfABacktestNeedsNothingElse(t *testing.T) {
	r := report.Report{
		Policy: "<script>alert(1)</script>", Source: `"><img src=x>`, From: time.Unix(0, 0), To: time.Unix(600, 0), StepSeconds: 60,
		Notes: []string{"<b>&"}, Verdicts: []backtest.Verdict{{Limit: "under>1%", Failed: true, Says: "<i>"}},
		Runs: []report.Run{{Name: "<u>", Result: backtest.Result{
			Worst: []backtest.Shortfall{{From: time.Unix(60, 0), To: time.Unix(90, 0), At: time.Unix(60, 0), Demand: 3, Ready: 2, Desired: 2, Why: "<s>'\""}},
			Trace: []backtest.Point{{At: time.Unix(0, 0), Demand: 2, Desired: 2, Ready: 2}, {At: time.Unix(60, 0), Demand: 3, Desired: 2, Ready: 2}, {At: time.Unix(90, 0), Demand: 2, Desired: 2, Ready: 2}},
		}}},
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if i := strings.Index(page.String(), "%!"); i >= 0 {
		t.Errorf("the page has %.60s", page.String()[i:])
	}
	d := xml.NewDecoder(&page)
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	elements := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		elements[e.Name.Local]++
		for _, a := range e.Attr {
			if a.Name.Local == "src" || a.Name.Local == "href" || strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Value, "url(") {
				t.Errorf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
			}
		}
	}
	for _, name := range []string{"script", "img", "u", "b", "s", "link", "iframe"} {
		if elements[name] > 0 {
			t.Errorf("the page has %d <%s>", elements[name], name)
		}
	}
	if elements["svg"] != 2 || elements["path"] != 4 || elements["th"] < 10 || elements["li"] == 0 {
		t.Errorf("the page has %v", elements)
	}
}

// week is a report of a run with a shortfall of five minutes.
func week() report.Report {
	begin := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	at := func(m int) time.Time { return begin.Add(time.Duration(m) * time.Minute) }
	lost := 1.5
	return report.Report{
		Policy: "shop", Target: "swarm/shop_web", Source: "load.csv", From: begin, To: at(7 * 24 * 60), StepSeconds: 60,
		Demand: []string{"demand is this"}, Plant: []string{"replicas take that"},
		Runs: []report.Run{
			{Name: "shop", Result: backtest.Result{
				Scores: backtest.Scores{ThetaU: 0.25, WorstSeconds: 300, Changes: 3, LostPercent: &lost},
				Worst:  []backtest.Shortfall{{From: at(100), To: at(105), At: at(101), Demand: 40, Ready: 2, Desired: 9, Missing: 7, Asked: at(100).Add(2 * time.Second), Why: "hold 9: so it is"}},
				Trace: []backtest.Point{
					{At: at(0), Demand: 2, Desired: 2, Ready: 2},
					{At: at(100), Demand: 40, Desired: 2, Ready: 2},
					{At: at(105), Demand: math.NaN(), Desired: 9, Ready: 9},
					{At: at(2000), Demand: 3, Desired: 9, Ready: 9},
				},
			}},
			{Name: "old.yaml"},
		},
		Verdicts: []backtest.Verdict{{Limit: "under>1%", Says: "under is 0.25 %"}, {Limit: "worst>1m", Failed: true, Says: "worst is 5m0s"}},
	}
}

func TestTheTableSaysAllThereIs(t *testing.T) {
	var b strings.Builder
	if err := week().Table(&b); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"Policy shop, 2026-11-02 00:00:00 to 2026-11-09 00:00:00, by steps of 1m0s, from load.csv\n  demand is this\n  replicas take that\n",
		"under          0.25 %   0.00 %",
		"worst          5m0s     0s",
		"lost           1.50 %   not known",
		"When shop had too few, the gravest first\n  2026-11-02 01:40:00 for 5m0s: at 01:41:00 2 of 40 were ready, 9 asked for; enough after 2s\n      hold 9: so it is\n",
		"Limits\n  ok      under>1%: under is 0.25 %\n  FAILED  worst>1m: worst is 5m0s\n",
	} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("%q is missing in:\n%s", part, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if strings.TrimRight(line, " \n") != strings.TrimRight(line, "\n") {
			t.Errorf("%q ends with a space", line)
		}
	}
	if n := week().Failed(); n != 1 {
		t.Errorf("%d limits failed, want 1", n)
	}
}

func TestMachinesReadItBack(t *testing.T) {
	var b bytes.Buffer
	if err := week().JSON(&b); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"theta_u": 0.25`, `"lost_percent": 1.5`, `"why": "hold 9: so it is"`, `"from": "2026-11-02T00:00:00Z"`, `"failed": true`} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("%s is missing in:\n%s", part, b.String())
		}
	}
	var back report.Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Runs[0].Scores.ThetaU != 0.25 || *back.Runs[0].Scores.LostPercent != 1.5 || back.Runs[1].Scores.LostPercent != nil || len(back.Verdicts) != 2 {
		t.Errorf("got %+v", back)
	}
}

// A shortfall of five minutes is a two-thousandth of a week, and the most that was
// demanded all the same.
func TestNoPeakIsLostInAPlot(t *testing.T) {
	var page bytes.Buffer
	if err := week().HTML(&page); err != nil {
		t.Fatal(err)
	}
	plots := strings.Split(page.String(), "<svg ")
	if len(plots) != 3 {
		t.Fatalf("%d plots, want 2", len(plots)-1)
	}
	for i, plot := range plots[1:] {
		_, demand, ok := strings.Cut(plot, `class="demand" d="`)
		demand, _, _ = strings.Cut(demand, `"`)
		if !ok || !strings.Contains(demand, "V10.0H") { // the top: 40 of 40
			t.Errorf("plot %d: demand is %.200s", i, demand)
		}
		// What is not known is not drawn: the area ends and begins anew.
		if got := strings.Count(demand, "Z"); i == 0 && got != 2 || i == 1 && got != 1 {
			t.Errorf("plot %d: %d areas", i, got)
		}
	}
}
