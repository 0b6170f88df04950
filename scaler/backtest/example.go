package backtest

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// The example is a week of a shop, in requests each second: a day's wave, a weekend
// with half of it, a sale each evening at eight, and a gap of 20 minutes. The shop was
// scaled by a rule that adds or removes a replica when each has more than 90 or less
// than 50 requests for three minutes; replicas took 40 s to start.
const (
	exampleStep  = 15 * time.Second
	exampleDays  = 7
	exampleBoot  = 40 * time.Second
	exampleGood  = 100 // requests each second of a replica
	exampleMost  = 90  // of the rule
	exampleLeast = 50
)

// exampleBegin is a Monday.
func exampleBegin() time.Time { return time.Date(2026, time.November, 2, 0, 0, 0, 0, time.UTC) }

// exampleLoad is the same each time.
func exampleLoad() Load {
	begin := exampleBegin()
	l := Load{Start: begin, Step: exampleStep, Values: make([]float64, exampleDays*24*int(time.Hour/exampleStep))}
	noise := uint64(2026)
	for i := range l.Values {
		at := begin.Add(time.Duration(i) * exampleStep)
		hour := at.Sub(at.Truncate(24 * time.Hour)).Hours()
		v := 500 - 380*math.Cos(2*math.Pi*(hour-3)/24)
		if day := at.Weekday(); day == time.Saturday || day == time.Sunday {
			v /= 2
		}
		if hour >= 20 && hour < 20.5 {
			v *= 2.5 // from one moment to the next
		}
		noise ^= noise << 13
		noise ^= noise >> 7
		noise ^= noise << 17
		v *= 1 + 0.06*(float64(noise%1000)/500-1)
		l.Values[i] = math.Round(v*10) / 10
		if at.Weekday() == time.Thursday && hour >= 10 && hour < 10+1./3 {
			l.Values[i] = math.NaN()
		}
	}
	return l
}

// rule is how the shop was scaled: a step at a time.
type rule struct {
	since time.Time // beyond a limit
	way   int
}

// Tick implements Autoscaler.
func (r *rule) Tick(seen *Seen) int {
	s := seen.Signals[0]
	way := 0
	if s.Known && seen.Now.Sub(s.At) < time.Minute && seen.Ready > 0 {
		switch each := s.Value / float64(seen.Ready); {
		case each > exampleMost:
			way = 1
		case each < exampleLeast && seen.Desired > 2:
			way = -1
		}
	}
	if way != r.way {
		r.way, r.since = way, seen.Now
	}
	if way == 0 || seen.Now.Sub(r.since) < 3*time.Minute {
		return seen.Desired
	}
	r.since = seen.Now
	return seen.Desired + way
}

// WriteExample writes a load to try a backtest on, as CSV: a time, requests each second
// (rps), and the replicas that were asked for (desired) and served (ready).
func WriteExample(w io.Writer) error {
	load := exampleLoad()
	plant := DefaultPlant()
	plant.Boot = exampleBoot
	run, err := Run(Options{
		Plant: plant, Trace: true, Every: exampleStep,
		Lanes: []Lane{{Signal: "rps", Kind: Whole, Load: load, Good: exampleGood}},
	}, &rule{})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "time,rps,desired,ready")
	next, now := 0, Point{}
	for i, v := range load.Values {
		at := load.Start.Add(time.Duration(i) * load.Step)
		for next < len(run.Trace) && !run.Trace[next].At.After(at) {
			now = run.Trace[next]
			next++
		}
		text := ""
		if !math.IsNaN(v) {
			text = strconv.FormatFloat(v, 'f', -1, 64)
		}
		fmt.Fprintf(out, "%s,%s,%d,%d\n", at.Format(time.RFC3339), text, now.Desired, now.Ready)
	}
	return out.Flush()
}
