package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
)

// The size of a plot, in the units of its view box.
const (
	plotWidth  = 1000
	plotHeight = 260
	plotLeft   = 46 // room for the numbers
	plotBelow  = 24 // room for the times
)

// plot draws demand as an area and what was ready as lines, between two times.
type plot struct {
	from, to time.Time
	top      float64
	body     strings.Builder
}

// column is what a trace has in one column of a plot.
type column struct {
	most, least float64 // NaN where nothing is known
}

// columns squeezes a trace into columns, each with the most and the least that was in
// it, so that no peak is lost however long the time is.
func columns(trace []backtest.Point, from, to time.Time, n int, of func(backtest.Point) float64) []column {
	list := make([]column, n)
	for i := range list {
		list[i] = column{math.NaN(), math.NaN()}
	}
	span := to.Sub(from)
	at := func(t time.Time) int { return int(float64(n) * float64(t.Sub(from)) / float64(span)) }
	for k, p := range trace {
		end := to
		if k+1 < len(trace) {
			end = trace[k+1].At
		}
		v := of(p)
		if !end.After(from) || !p.At.Before(to) || math.IsNaN(v) {
			continue
		}
		last := at(end)
		if from.Add(time.Duration(float64(last) / float64(n) * float64(span))).Equal(end) {
			last-- // it ends where the column begins
		}
		for i := max(at(p.At), 0); i <= min(max(last, at(p.At)), n-1); i++ {
			if !(v <= list[i].most) {
				list[i].most = v
			}
			if !(v >= list[i].least) {
				list[i].least = v
			}
		}
	}
	return list
}

// draw makes the plot of all runs between two times, for a page.
func draw(runs []Run, from, to time.Time, title string) string {
	if len(runs) == 0 || !to.After(from) {
		return ""
	}
	p := &plot{from: from, to: to, top: 1}
	demand := columns(runs[0].Trace, from, to, plotWidth-plotLeft, func(p backtest.Point) float64 { return p.Demand })
	ready := make([][]column, len(runs))
	for i, r := range runs {
		ready[i] = columns(r.Trace, from, to, plotWidth-plotLeft, func(p backtest.Point) float64 { return float64(p.Ready) })
	}
	for _, list := range append(ready, demand) {
		for _, c := range list {
			if c.most > p.top {
				p.top = c.most
			}
		}
	}
	p.top = nice(p.top)
	p.axes()
	p.area(demand)
	for i := len(runs) - 1; i >= 0; i-- { // the policy on top
		p.line(ready[i], fmt.Sprintf("run%d", i))
	}
	return fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">%s</svg>`,
		plotWidth, plotHeight+plotBelow, escape(title), p.body.String())
}

// nice is a round number that is not less.
func nice(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 4, 5, 8, 10} {
		if v <= f*unit {
			return f * unit
		}
	}
	return 10 * unit
}

func (p *plot) y(v float64) float64 { return plotHeight - (plotHeight-10)*v/p.top }

func (p *plot) axes() {
	const parts = 4
	for i := range parts + 1 {
		v := p.top * float64(i) / parts
		fmt.Fprintf(&p.body, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1[3]f"/><text class="num" x="%d" y="%.1f">%s</text>`,
			plotLeft, plotWidth, p.y(v), plotLeft-6, p.y(v)+4, trim(v))
	}
	step := p.between()
	layout := "15:04"
	if step >= 24*time.Hour {
		layout = "Jan 2"
	} else if p.to.Sub(p.from) > 24*time.Hour {
		layout = "Jan 2 15:04"
	}
	for at := p.from.Add(step - 1).Truncate(step); !at.After(p.to); at = at.Add(step) {
		x := plotLeft + (plotWidth-plotLeft)*float64(at.Sub(p.from))/float64(p.to.Sub(p.from))
		anchor := "middle"
		if x > plotWidth-40 {
			anchor = "end"
		}
		fmt.Fprintf(&p.body, `<text class="time" x="%.0f" y="%d" text-anchor="%s">%s</text>`, x, plotHeight+17, anchor, at.UTC().Format(layout))
	}
}

// between is the time from one label to the next.
func (p *plot) between() time.Duration {
	const most = 9 // labels
	hour := time.Hour
	for _, step := range []time.Duration{hour / 60, hour / 30, hour / 12, hour / 6, hour / 2, hour, 3 * hour, 6 * hour, 12 * hour, 24 * hour, 48 * hour} {
		if p.to.Sub(p.from)/step <= most {
			return step
		}
	}
	return 7 * 24 * hour * (1 + p.to.Sub(p.from)/(7*24*hour)/most)
}

func trim(v float64) string { return fmt.Sprintf("%.4g", v) }

// area fills what was demanded, from the most of each column down.
func (p *plot) area(list []column) {
	var d strings.Builder
	open := false
	for i, c := range list {
		x := plotLeft + i
		if math.IsNaN(c.most) {
			if open {
				fmt.Fprintf(&d, "V%dZ", plotHeight)
			}
			open = false
			continue
		}
		if !open {
			fmt.Fprintf(&d, "M%d %d", x, plotHeight)
		}
		open = true
		fmt.Fprintf(&d, "V%.1fH%d", p.y(c.most), x+1)
	}
	if open {
		fmt.Fprintf(&d, "V%dZ", plotHeight)
	}
	fmt.Fprintf(&p.body, `<path class="demand" d="%s"/>`, d.String())
}

// line draws a number with its extremes in each column.
func (p *plot) line(list []column, class string) {
	var d strings.Builder
	open := false
	for i, c := range list {
		if math.IsNaN(c.most) {
			open = false
			continue
		}
		x := plotLeft + i
		if !open {
			fmt.Fprintf(&d, "M%d %.1f", x, p.y(c.least))
		} else {
			fmt.Fprintf(&d, "V%.1f", p.y(c.least))
		}
		open = true
		if c.most != c.least {
			fmt.Fprintf(&d, "V%.1f", p.y(c.most))
		}
		fmt.Fprintf(&d, "H%d", x+1)
	}
	fmt.Fprintf(&p.body, `<path class="%s" d="%s"/>`, class, d.String())
}
