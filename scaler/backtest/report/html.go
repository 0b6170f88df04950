package report

import (
	_ "embed"
	"html/template"
	"io"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
)

//go:embed page.html
var page string

// around is how much of the time before and after a shortfall is drawn.
const around = 10 * time.Minute

func escape(text string) string { return template.HTMLEscapeString(text) }

// HTML writes the report as one page. It has no scripts and asks for nothing.
func (r Report) HTML(w io.Writer) error {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	type row struct {
		Name, Says string
		Values     []string
	}
	type moment struct {
		Line, Why string
		Plot      template.HTML
	}
	data := struct {
		Report
		FromText, ToText, StepText string
		Plot                       template.HTML
		Rows                       []row
		Moments                    []moment
	}{Report: r, FromText: stamp(r.From), ToText: stamp(r.To), StepText: r.step()}
	// What draw returns it has made itself; what it was handed it has escaped.
	data.Plot = template.HTML(draw(r.Runs, r.From, r.To, "Replicas demanded and ready over the whole time")) //nolint:gosec // see above
	for _, m := range backtest.Measures() {
		one := row{Name: m.Name, Says: m.Says}
		for _, run := range r.Runs {
			one.Values = append(one.Values, m.Text(m.Of(run.Scores)))
		}
		data.Rows = append(data.Rows, one)
	}
	if len(r.Runs) > 0 {
		for _, s := range r.Runs[0].Worst {
			from, to := s.From.Add(-around), s.To.Add(around)
			if from.Before(r.From) {
				from = r.From
			}
			if to.After(r.To) {
				to = r.To
			}
			data.Moments = append(data.Moments, moment{
				Line: line(s), Why: s.Why,
				Plot: template.HTML(draw(r.Runs, from, to, "Replicas around "+stamp(s.At))), //nolint:gosec // see above
			})
		}
	}
	return t.Execute(w, data)
}
