package scaler

import (
	"fmt"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/forecast"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// sees is what a policy goes by.
type sees string

const (
	// seesCPU is each replica's share of its limit over 5 s, 2 s late.
	seesCPU sees = "cpu"
	// seesLoad is what all requests take, whether there are replicas for them or not,
	// 2 s late: what a rate of requests would tell.
	seesLoad sees = "load"
)

// text is the policy: the target and the bounds of the plant, all else by default
// but for more lines.
func text(p Plant, by sees, more ...string) string {
	signal := fmt.Sprintf("{source: cpu, target: %.0f%%}", 100*p.Target/p.Limit)
	if by == seesLoad {
		signal = fmt.Sprintf("{name: load, source: query, query: load, target: %v}", p.Target)
	}
	return fmt.Sprintf(`version: %s
apps:
- name: web
  mode: active
  target: {driver: swarm, service: web}
  min: %d
  max: %d
  signals: [%s]
  %s
`, policy.Version, p.Min, p.Max, signal, strings.Join(more, "\n  "))
}

// Ours lets Plimsoll's own decision follow a trace, with its defaults but for more
// lines of the policy. What the forecast was allowed to do is told in words; empty
// without one.
func (p Plant) Ours(start time.Time, t Trace, by sees, more ...string) (s backtest.Scores, says string, err error) {
	file, err := policy.Parse("policy.yml", []byte(text(p, by, more...)), policy.Options{})
	if err != nil {
		return s, "", err
	}
	app := file.Apps[0]
	ours := backtest.NewOurs(app)
	if ours.Hint, says, err = scaler.Foretell(app, t.minutes(start), start, p.Boot); err != nil {
		return s, "", err
	}
	o := p.options(start, t)
	if by == seesLoad {
		lane := &o.Lanes[cpuLane]
		lane.Signal, lane.Kind, lane.Unit, lane.Window = string(seesLoad), backtest.Whole, 0, step
	}
	r, err := backtest.Run(o, ours)
	return r.Scores, says, err
}

// minutes is what the store knows of a trace, from its past on: the most of each
// minute.
func (t Trace) minutes(start time.Time) forecast.History {
	h := forecast.History{Start: start.Add(-t.Past), Step: time.Minute}
	for at := -t.Past; at < t.Length; at += time.Minute {
		most := 0.0
		for s := time.Duration(0); s < time.Minute; s += 5 * time.Second {
			most = max(most, t.Load(at+s))
		}
		h.Values = append(h.Values, most)
	}
	return h
}
