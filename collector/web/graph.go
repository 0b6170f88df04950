package web

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/collector/query"
)

const (
	maxRows  = 500 // of the table of a query
	maxLines = 8   // in its picture; there are as many colours
	// The picture, in units of its own.
	pictureWidth, pictureHeight = 1000, 240
	// pictureSteps is into how many steps its time is cut.
	pictureSteps = 240
	// defaultRange is its time, unless the link says otherwise.
	defaultRange = time.Hour
	longestRange = 31 * 24 * time.Hour
)

// graphView is what the page of a query shows.
type graphView struct {
	Now     time.Time
	Version string
	Expr    string
	Range   string
	Trouble string
	Asked   bool
	Rows    []graphRow
	Hidden  int
	Picture *picture // nil without lines
}

type graphRow struct {
	Colour int // of its line, -1 without one
	Labels string
	Value  string
}

// picture is lines over time.
type picture struct {
	Low, High string
	From, To  time.Time
	Lines     []pictureLine
}

type pictureLine struct {
	Colour int
	Parts  []string // points of each stretch without a gap: "x,y x,y"
}

// lookAtGraph evaluates the query of a link such as Prometheus makes:
// /graph?g0.expr=up&g0.tab=1.
func (p *Page) lookAtGraph(ctx context.Context, form url.Values) graphView {
	v := graphView{Now: p.opts.Now(), Version: p.opts.Version, Expr: form.Get("g0.expr"), Range: form.Get("g0.range_input")}
	if strings.TrimSpace(v.Expr) == "" {
		return v
	}
	v.Asked = true
	length, err := parseRange(v.Range)
	if err != nil {
		v.Trouble = err.Error()
		return v
	}
	samples, err := p.opts.Query(ctx, v.Expr, v.Now, 0)
	if err != nil {
		v.Trouble = err.Error()
		return v
	}
	colours := map[string]int{}
	if p.opts.Range != nil && len(samples) > 0 {
		step := max(time.Second, length/pictureSteps)
		lines, err := p.opts.Range(ctx, v.Expr, v.Now.Add(-length), v.Now, step)
		if err != nil {
			v.Trouble = err.Error()
		}
		v.Picture, colours = draw(lines, v.Now.Add(-length), v.Now, step)
	}
	for _, s := range samples {
		row := graphRow{Colour: -1, Labels: seriesText(s.Labels), Value: strconv.FormatFloat(s.Value, 'g', -1, 64)}
		if c, ok := colours[row.Labels]; ok {
			row.Colour = c
		}
		v.Rows = append(v.Rows, row)
	}
	slices.SortFunc(v.Rows, func(a, b graphRow) int { return strings.Compare(a.Labels, b.Labels) })
	v.Hidden = max(0, len(v.Rows)-maxRows)
	v.Rows = v.Rows[:len(v.Rows)-v.Hidden]
	return v
}

func parseRange(text string) (time.Duration, error) {
	if text == "" {
		return defaultRange, nil
	}
	d, err := model.ParseDuration(text)
	if err != nil || d <= 0 || time.Duration(d) > longestRange {
		return 0, fmt.Errorf("range %q: want a duration such as 1h or 2d, up to 31d", text)
	}
	return time.Duration(d), nil
}

// draw makes a picture of the first lines, and tells their colours by labels. It
// is nil if there is nothing to draw.
func draw(lines []query.Line, from, to time.Time, step time.Duration) (*picture, map[string]int) {
	slices.SortFunc(lines, func(a, b query.Line) int { return strings.Compare(seriesText(a.Labels), seriesText(b.Labels)) })
	lines = lines[:min(len(lines), maxLines)]
	low, high := math.Inf(1), math.Inf(-1)
	for _, l := range lines {
		for _, s := range l.Samples {
			if !math.IsNaN(s.Value) && !math.IsInf(s.Value, 0) {
				low, high = min(low, s.Value), max(high, s.Value)
			}
		}
	}
	if low > high {
		return nil, nil
	}
	pic := &picture{Low: short(low), High: short(high), From: from, To: to}
	if low == high { // a level line lies in the middle
		low, high = low-1, high+1
	}
	colours := map[string]int{}
	for i, l := range lines {
		colours[seriesText(l.Labels)] = i
		line := pictureLine{Colour: i}
		var points []string
		end := func() {
			if len(points) == 1 { // a point alone is drawn as a short stroke
				points = append(points, points[0])
			}
			if len(points) > 0 {
				line.Parts = append(line.Parts, strings.Join(points, " "))
			}
			points = nil
		}
		var before time.Time
		for _, s := range l.Samples {
			if s.At.Sub(before) > step {
				end()
			}
			before = s.At
			if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
				end()
				continue
			}
			x := s.At.Sub(from).Seconds() / to.Sub(from).Seconds() * pictureWidth
			y := (high - s.Value) / (high - low) * pictureHeight
			points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
		}
		end()
		pic.Lines = append(pic.Lines, line)
	}
	return pic, colours
}

// short is a number for an axis.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// seriesText is a series as Prometheus writes it.
func seriesText(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name != "__name__" {
			parts = append(parts, name+"="+quote(labels[name]))
		}
	}
	return labels["__name__"] + "{" + strings.Join(parts, ", ") + "}"
}
