package scaler

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/forecast"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// fickle are seasons that come and go.
func fickle() []trace {
	return []trace{
		{"a sale on days by chance", false, func(m int, c *rand.Rand) float64 {
			if h := m % 1440 / 60; h == 20 && (m/1440*2654435761>>7)%3 == 0 {
				return 2000 + 20*c.NormFloat64()
			}
			return 300 + 10*c.NormFloat64()
		}},
		{"a sale that moves every four days", false, func(m int, c *rand.Rand) float64 {
			if h := m % 1440 / 60; h == (m/1440/4*5)%24 {
				return 2000 + 20*c.NormFloat64()
			}
			return 300 + 10*c.NormFloat64()
		}},
		{"days alike, then noise for days, and again", false, func(m int, c *rand.Rand) float64 {
			if m/1440/5%2 == 0 {
				return 700 + 500*daily(m) + 10*c.NormFloat64()
			}
			return 300 + 60*c.NormFloat64()
		}},
	}
}

// BenchmarkTheGateOverTwoWeeks is life: two weeks in which the forecast is fitted
// and tried every 6 hours. On no trace does it cost more than its cap.
//
//	go test ./scaler -run '^$' -bench GateOverTwoWeeks -benchtime 1x
func BenchmarkTheGateOverTwoWeeks(b *testing.B) {
	for _, tr := range append(traces(), fickle()...) {
		b.Run(tr.name, func(b *testing.B) {
			app := foreseen()
			app.Forecast.Season = policy.Daily
			load := tr.days(24)
			const from = 10 * 1440
			r := replay{app: only(app), load: load, begin: load.Start.Add(from * time.Minute), boot: time.Minute}
			for b.Loop() {
				list := lived(b, app, load, from)
				without, err := r.run(nil)
				if err != nil {
					b.Fatal(err)
				}
				with, err := r.run(tell(list, r.begin))
				if err != nil {
					b.Fatal(err)
				}
				acted := 0
				for _, a := range list {
					if a != nil {
						acted++
					}
				}
				cost := with.Hours/without.Hours - 1
				b.ReportMetric(100*float64(acted)/float64(len(list)), "%acting")
				b.ReportMetric(without.Under, "%short-without")
				b.ReportMetric(with.Under, "%short-with")
				b.ReportMetric(100*cost, "%cost")
				if cost > float64(app.Forecast.MaxCost) {
					b.Errorf("%.0f replica-hours became %.0f", without.Hours, with.Hours)
				}
			}
		})
	}
}

// lived is what decisions are told from a minute of a load on.
func lived(b *testing.B, app policy.App, load forecast.History, from int) (list []*decide.Ahead) {
	gate := forecast.Gate{}
	every := int(fitEvery / aheadStep)
	for at := from; at < len(load.Values); at += every {
		begin := load.Start.Add(time.Duration(at) * aheadStep)
		fitted, g := judge(app, gate, until(load, begin), time.Minute, begin)
		gate = g
		next := min(at+every, len(load.Values))
		if fitted == nil {
			list = append(list, make([]*decide.Ahead, next-at)...)
			continue
		}
		// The last minute is told of by the next fit.
		part := until(load, load.Start.Add(time.Duration(next-1)*aheadStep))
		steps, err := fitted.Replay(part, at-1)
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, foretold(app, *fitted, gate, part, steps)...)
		for i, s := range steps {
			gate = gate.Heard(begin.Add(time.Duration(i)*aheadStep), s.Missed)
		}
	}
	return list
}
