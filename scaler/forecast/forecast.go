package forecast

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Season is how long a pattern takes until it comes again.
type Season string

// Seasons. Auto tries both.
const (
	Auto   Season = "auto"
	Daily  Season = "daily"
	Weekly Season = "weekly"
)

// Options are what is asked of a forecast. The zero value has defaults but for
// the horizon.
type Options struct {
	Horizon  time.Duration // how far ahead; rounded up to steps, 60 of them at most
	Quantile float64       // of the load that is to be enough; 0.9 if 0
	Season   Season        // Auto if empty
}

const (
	defaultQuantile = 0.9
	mostHorizon     = 60 // steps
	// examDays are the last days of a history, at most, on which models are
	// compared. They have not seen them.
	examDays = 7
	// leastKnown is the share of the history that must be known.
	leastKnown = 0.5
	// outliers is the share of both ends that a range leaves out.
	outliers = 0.05
)

// model rolls over a history: for 1 to horizon steps ahead, what it would have
// expected at each step, knowing only what was until then; NaN where it could not
// say. [i][t] is about step t+i+1.
type model interface {
	name() string
	warm(h History) int // steps before it can say anything
	roll(h History, horizon int) [][]float64
}

// Fitted is a model that has been chosen for a history. It may be used on longer
// ones of the same load and step.
type Fitted struct {
	Model string  // its name
	Skill float64 // 1 − its loss ÷ that of the best of those that know nothing; above 0 it is worth something
	Rival string  // which that is

	model    model
	horizon  int
	step     time.Duration
	quantile float64
	// Of the errors at 1 to horizon steps ahead: low, quantile and high.
	low, enough, high []float64
}

// ErrIdle is wrapped where there is nothing to foretell: a load that does not move
// needs no model.
var ErrIdle = errors.New("nothing to foretell")

// Fit chooses. The error says why there can be no forecast, mostly for want of
// history; or it wraps ErrIdle.
func Fit(h History, o Options) (Fitted, error) {
	if err := h.check(); err != nil {
		return Fitted{}, err
	}
	if o.Quantile == 0 {
		o.Quantile = defaultQuantile
	}
	if !(o.Quantile > 0 && o.Quantile < 1) {
		return Fitted{}, fmt.Errorf("quantile %v: it is between 0 and 1", o.Quantile)
	}
	if o.Horizon <= 0 || h.steps(o.Horizon) > mostHorizon {
		return Fitted{}, fmt.Errorf("a horizon of %s: from one to %d steps of %s are possible", o.Horizon, mostHorizon, h.Step)
	}
	seasons, err := o.Season.lengths()
	if err != nil {
		return Fitted{}, err
	}
	if k := h.known(0, len(h.Values)); k < leastKnown {
		return Fitted{}, fmt.Errorf("of the history %.0f%% is known, and it takes %.0f%%", 100*k, 100*leastKnown)
	}
	e := exam{history: h, horizon: h.steps(o.Horizon), quantile: o.Quantile}
	best, err := e.best(seasons)
	if err != nil {
		return Fitted{}, err
	}
	return best, nil
}

func (s Season) lengths() ([]time.Duration, error) {
	switch s {
	case Daily:
		return []time.Duration{day}, nil
	case Weekly:
		return []time.Duration{7 * day}, nil
	case Auto, "":
		return []time.Duration{day, 7 * day}, nil
	}
	return nil, fmt.Errorf("season %q: it is daily, weekly or auto", s)
}

// exam compares models on days that they have not seen.
type exam struct {
	history  History
	horizon  int
	quantile float64
}

// best is the model with the least loss, for those seasons whose history is long
// enough.
func (e exam) best(seasons []time.Duration) (Fitted, error) {
	var best Fitted
	least := math.Inf(1)
	var short error
	still := ""
	for _, season := range seasons {
		from, err := e.begins(season)
		if err != nil {
			short = errors.Join(short, err)
			continue
		}
		loss := func(m model) float64 { return e.loss(m, from) }
		var rival model
		idle, apart := math.Inf(1), math.Inf(1) // apart from the season
		for _, m := range []model{recent{}, recent{time.Hour}, before{season}} {
			l := loss(m)
			if l < idle {
				rival, idle = m, l
			}
			if _, ok := m.(recent); ok && l < apart {
				apart = l
			}
		}
		switch {
		case rival == nil:
			continue
		case apart == 0:
			still = rival.name()
			continue
		case idle == 0: // no model is better than a season that is ever the same
			least = 0
			best = Fitted{Model: rival.name(), Rival: recent{}.name(), Skill: 1, model: rival}
			continue
		}
		for _, m := range []model{median{season}, holt{season: season}.tuned(loss)} {
			l := loss(m)
			// Two seasons have different exams, so what counts is by how much
			// a model is better than knowing nothing.
			if share := l / idle; !math.IsNaN(share) && share < least {
				least = share
				best = Fitted{Model: m.name(), Rival: rival.name(), Skill: 1 - share, model: m}
			}
		}
	}
	if best.model == nil {
		if still != "" {
			return Fitted{}, fmt.Errorf("%w: %s was right at every step", ErrIdle, still)
		}
		if short == nil {
			short = errors.New("no model can say anything about this history")
		}
		return Fitted{}, short
	}
	best.horizon, best.step, best.quantile = e.horizon, e.history.Step, e.quantile
	best.learn(e.history)
	return best, nil
}

// begins is the step at which the exam of models with that season begins: at most
// the last days, and not before they have made errors to learn their own from.
func (e exam) begins(season time.Duration) (int, error) {
	h := e.history
	oneDay := h.steps(day)
	warm := leastSeasons(season) * h.steps(season)
	rest := len(h.Values) - warm
	if rest < 2*oneDay {
		return 0, fmt.Errorf("a %s pattern takes %s of history, and there are %s",
			season, time.Duration(warm+2*oneDay)*h.Step, time.Duration(len(h.Values))*h.Step)
	}
	return len(h.Values) - min(examDays*oneDay, rest/2), nil
}

// loss is the mean pinball loss at the horizon (Koenker and Bassett, 1978): what is
// too little costs q, what is too much 1−q. NaN if a model cannot say enough.
func (e exam) loss(m model, from int) float64 {
	h := e.history
	expected := m.roll(h, e.horizon)[e.horizon-1]
	errs := residuals(h, expected, e.horizon, m.warm(h), from)
	if len(errs) == 0 {
		return math.NaN()
	}
	shift := quantile(errs, e.quantile)
	sum, n := 0.0, 0
	for t := from - e.horizon; t+e.horizon < len(h.Values); t++ {
		i := t + e.horizon
		y, f := h.at(i), expected[t]+shift
		if math.IsNaN(y) || math.IsNaN(f) || h.least(i) && y < f {
			continue
		}
		n++
		if y > f {
			sum += e.quantile * (y - f)
		} else {
			sum += (1 - e.quantile) * (f - y)
		}
	}
	if n < (len(h.Values)-from)/2 {
		return math.NaN()
	}
	return sum / float64(n)
}

// residuals are by how much more there was than expected, for the steps from..to-1.
func residuals(h History, expected []float64, ahead, from, to int) []float64 {
	var errs []float64
	for i := max(from, ahead); i < to; i++ {
		y, f := h.at(i), expected[i-ahead]
		if math.IsNaN(y) || math.IsNaN(f) || h.least(i) && y < f {
			continue
		}
		errs = append(errs, y-f)
	}
	return errs
}

// quantile is the empirical one of a list that is not empty, which it sorts.
func quantile(list []float64, q float64) float64 {
	slices.Sort(list)
	at := q * float64(len(list)-1)
	i := int(at)
	if i+1 >= len(list) {
		return list[len(list)-1]
	}
	return list[i] + (at-float64(i))*(list[i+1]-list[i])
}

// learn takes the errors of the last days for those to come.
func (f *Fitted) learn(h History) {
	all := f.model.roll(h, f.horizon)
	from := max(f.model.warm(h), len(h.Values)-2*examDays*h.steps(day))
	for i, expected := range all {
		errs := residuals(h, expected, i+1, from, len(h.Values))
		if len(errs) == 0 {
			errs = []float64{0}
		}
		f.low = append(f.low, quantile(errs, outliers))
		f.enough = append(f.enough, quantile(errs, f.quantile))
		f.high = append(f.high, quantile(errs, 1-outliers))
	}
}
