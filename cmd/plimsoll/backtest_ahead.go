package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/backtest/history"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/forecast"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// aheadSpan is how long before a run the history of a forecast begins.
const aheadSpan = 28 * 24 * time.Hour

// hint is what a policy with a forecast or events would have been told, besides its
// readings; nil if it has neither, or the history is too short.
func (t *trial) hint(ctx context.Context, c *contender, o backtest.Options, p *progress) (func(*decide.Observation), error) {
	foretells := c.app.Forecast != nil && c.app.Forecast.Enabled
	if !foretells && len(c.app.Events) == 0 {
		return nil, nil
	}
	note := func(format string, args ...any) {
		t.report.Notes = append(t.report.Notes, c.name+": "+fmt.Sprintf(format, args...))
	}
	i := slices.IndexFunc(c.app.Signals, func(s policy.Signal) bool { return s.Type == policy.Track })
	if i < 0 {
		note("the forecast and events are left out: no signal is of type track")
		return nil, nil
	}
	app := c.app
	app.Signals = app.Signals[i : i+1]
	h := c.history
	if t.store != nil {
		var err error
		span := history.Over(o.From.Add(-aheadSpan), o.To, time.Minute)
		p.begin()
		h, err = t.store.Fetch(ctx, history.Ask{App: app, Span: span, Progress: func(done float64) {
			p.show(done, "reading what the forecast of "+c.name+" goes by")
		}})
		if err != nil {
			return nil, fmt.Errorf("history of policy %s: %w", c.app.Name, err)
		}
	}
	load, ok := minutely(h, app.Signals[0].Name)
	if !ok {
		note("the forecast and events are left out: there is no load of signal %s", app.Signals[0].Name)
		return nil, nil
	}
	hint, says, err := scaler.Foretell(c.app, load, o.From, o.Plant.Boot)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", c.app.Name, err)
	}
	if says != "" {
		note("%s", says)
	}
	return hint, nil
}

// minutely is the load of a signal by the minute, in the unit of its target: the most
// that is known of each.
func minutely(h history.History, signal string) (forecast.History, bool) {
	i := slices.IndexFunc(h.Lanes, func(l backtest.Lane) bool { return l.Signal == signal })
	if i < 0 {
		return forecast.History{}, false
	}
	lane := h.Lanes[i]
	unit := lane.Unit
	if unit == 0 {
		unit = 1
	}
	from := lane.Load.Start.Truncate(time.Minute)
	n := int((lane.Load.End().Sub(from) + time.Minute - 1) / time.Minute)
	out := forecast.History{Start: from, Step: time.Minute, Values: make([]float64, n), Censored: make([]bool, n)}
	for k := range out.Values {
		begin := from.Add(time.Duration(k) * time.Minute).Sub(lane.Load.Start)
		most := math.NaN()
		first, last := int(begin/lane.Load.Step), int((begin+time.Minute-1)/lane.Load.Step)
		for j := max(first, 0); j <= min(last, len(lane.Load.Values)-1); j++ {
			if v := lane.Load.Values[j] / unit; v >= 0 && !(v <= most) {
				most = v
			}
			out.Censored[k] = out.Censored[k] || lane.Load.Censored != nil && lane.Load.Censored[j]
		}
		out.Values[k] = most
	}
	return out, true
}
