package scaler

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/forecast"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

const (
	// trialMost is how many of the last days a trial is about, trialLeast the fewest.
	trialMost  = 7 * 24 * time.Hour
	trialLeast = 24 * time.Hour
	// trialBefore is what a model must have to be fitted to before those days, at the
	// least.
	trialBefore = 5 * 24 * time.Hour
	// trialEvery is how often the policy decides in a trial, and trialStep the time in
	// which nothing changes: whoever is an interval of 2 s late in life is 15 s late
	// there, with the forecast and without.
	trialEvery = 15 * time.Second
	trialStep  = 5 * time.Second
)

// tooShort is of a history that does for a model, but not for a trial.
type tooShort struct{ error }

func (e tooShort) Unwrap() error { return e.error }

// horizonOf is how far a forecast is to look ahead: the time that new replicas take
// until they serve.
func horizonOf(app policy.App, boot time.Duration) time.Duration {
	d := cmp.Or(boot, bootUnknown) + app.Interval
	return min(max((d+aheadStep-1).Truncate(aheadStep), aheadStep), time.Hour)
}

// judge fits a model to a history, lets it stand its trial, and says how the gate
// stands afterwards. There is no model if there is no trial.
func judge(app policy.App, gate forecast.Gate, load forecast.History, boot time.Duration, now time.Time) (*forecast.Fitted, forecast.Gate) {
	f := app.Forecast
	opts := forecast.Options{Horizon: horizonOf(app, boot), Quantile: float64(f.Quantile), Season: forecast.Season(f.Season)}
	fitted, err := forecast.Fit(load, opts)
	var trial forecast.Trial
	short := tooShort{err}
	if err == nil {
		trial, err = trialOf(app, load, opts, boot)
	}
	switch {
	case errors.Is(err, forecast.ErrIdle):
		return nil, gate.Fails(now, err)
	case err != nil && (short.error != nil || errors.As(err, &short)):
		return nil, gate.Learns(now, err)
	case err != nil:
		return nil, gate.Fails(now, err)
	}
	trial.At = now
	return &fitted, gate.Tried(now, trial, forecast.Terms{MinGain: float64(f.MinGain), MaxCost: float64(f.MaxCost)})
}

// trialOf replays the last days of a load through the policy, twice: without the
// forecast and with one that knows only what was known then. The model is fitted to
// what was before those days. What replicas can carry is not bounded: it is what is
// lacking that counts, not what comes of it.
func trialOf(app policy.App, load forecast.History, opts forecast.Options, boot time.Duration) (forecast.Trial, error) {
	all := time.Duration(len(load.Values)) * load.Step
	days := min(trialMost, all-trialBefore).Truncate(24 * time.Hour)
	if days < trialLeast {
		return forecast.Trial{}, tooShort{fmt.Errorf("a trial takes %.0f days of history, and there are %.1f", (trialBefore+trialLeast).Hours()/24, all.Hours()/24)}
	}
	from := len(load.Values) - int(days/load.Step)
	before := load
	before.Values = load.Values[:from]
	if load.Censored != nil {
		before.Censored = load.Censored[:from]
	}
	fitted, err := forecast.Fit(before, opts)
	if err != nil {
		return forecast.Trial{}, tooShort{fmt.Errorf("before the last %.0f days: %w", days.Hours()/24, err)}
	}
	// The step before tells what is expected of the first.
	steps, err := fitted.Replay(load, from-1)
	if err != nil {
		return forecast.Trial{}, err
	}
	r := replay{app: only(app), load: load, begin: load.Start.Add(time.Duration(from) * load.Step), boot: boot}
	trial := forecast.Trial{Span: days, Model: fitted.Model, Rival: fitted.Rival, Skill: fitted.Skill}
	if trial.Without, err = r.run(nil); err != nil {
		return trial, err
	}
	trusted := forecast.Gate{Standing: forecast.On, Trial: &trial}
	trial.With, err = r.run(tell(foretold(app, fitted, trusted, load, steps), r.begin))
	return trial, err
}

// foretold is what decisions would have been told at each of the last steps of a load;
// nil where nothing. It is suspended as it is in life.
func foretold(app policy.App, fitted forecast.Fitted, gate forecast.Gate, load forecast.History, steps []forecast.Step) []*decide.Ahead {
	signal, _ := tracked(app)
	list := make([]*decide.Ahead, len(steps))
	most := math.NaN()
	for i, s := range steps {
		past := load
		past.Values = load.Values[:len(load.Values)-len(steps)+i+1]
		if i%60 == 0 {
			most = busiest(past, 7*24*time.Hour) * app.Forecast.MaxFactor
		}
		gate = gate.Heard(ends(past), s.Missed)
		if gate.Acts() && s.Known() && !math.IsNaN(s.Missed) && sane(most) && sane(s.Peak.Enough) {
			list[i] = &decide.Ahead{Signal: signal.Name, Load: s.Peak.Enough, At: s.Peak.At.UTC(), Model: fitted.Model, Most: most}
		}
	}
	return list
}

// tell hands decisions what was said for the minute that they are in.
func tell(list []*decide.Ahead, begin time.Time) func(*decide.Observation) {
	return func(o *decide.Observation) {
		if i := int(o.Now.Sub(begin) / aheadStep); !o.Now.Before(begin) && i < len(list) {
			o.Ahead = list[i]
		}
	}
}

// only is the policy with its first tracking signal alone, whose readings are the
// load itself.
func only(app policy.App) policy.App {
	signal, _ := tracked(app)
	app.Signals = []policy.Signal{{
		Name: signal.Name, Type: policy.Track, Source: policy.Query, Kind: policy.Total,
		Target: policy.Amount{Value: signal.Target.Value, Unit: signal.Target.Unit},
		MaxAge: max(signal.MaxAge, 4*trialEvery), Coverage: signal.Coverage,
	}}
	app.Interval = max(app.Interval, trialEvery)
	app.Mode, app.Events, app.AllowZero = policy.Active, nil, nil
	app.Min = max(app.Min, 1)
	return app
}

// replay runs a policy over the end of a load.
type replay struct {
	app   policy.App
	load  forecast.History
	begin time.Time
	boot  time.Duration
}

func (r replay) run(hint func(*decide.Observation)) (forecast.Run, error) {
	plant := backtest.DefaultPlant()
	plant.Boot = cmp.Or(r.boot, bootUnknown)
	ours := backtest.NewOurs(r.app)
	ours.Hint, ours.Mean = hint, true
	signal := r.app.Signals[0]
	result, err := backtest.Run(backtest.Options{
		Plant: plant,
		Lanes: []backtest.Lane{{
			Signal: signal.Name, Kind: backtest.Whole, Good: signal.Target.Value,
			Load: backtest.Load(r.load),
		}},
		From: r.begin, Step: trialStep, Every: r.app.Interval,
	}, ours)
	return forecast.Run{Under: result.Scores.ThetaU, Hours: result.Scores.ReplicaHours}, err
}
