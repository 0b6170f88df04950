package forecast

import (
	"math"
	"slices"
	"time"
)

const (
	// bucket is how much of a day or week is taken together; less is noise.
	bucket = 5 * time.Minute
	// mostSeasons is how many days or weeks are looked at.
	mostSeasons = 7
	// recently is how long back the level of now is compared with that of then.
	recently = 10 * time.Minute
	// A day with less or more load than others is still a day, up to here.
	leastLevel, mostLevel = 0.5, 1.5
)

// median expects what was at the same time of earlier seasons: the median of their
// buckets, times how much more or less there is now than there was then.
type median struct{ season time.Duration }

func (m median) name() string { return "median of " + seasonal(m.season) }

func (m median) warm(h History) int { return leastSeasons(m.season) * h.steps(m.season) }

func (m median) roll(h History, horizon int) [][]float64 {
	usual := m.usual(h, horizon)
	back := h.steps(recently)
	all := make([][]float64, horizon)
	for i := range all {
		all[i] = unknown(len(h.Values))
	}
	for t := range h.Values {
		// A running sum would not get over a huge value.
		var now, then float64
		for i := max(t-back+1, 0); i <= t; i++ {
			if v := h.at(i); !math.IsNaN(v) && !math.IsNaN(usual[i]) {
				now, then = now+v, then+usual[i]
			}
		}
		level := 1.0
		if then > 0 {
			level = min(max(now/then, leastLevel), mostLevel)
		}
		for i := range all {
			all[i][t] = usual[t+i+1] * level
		}
	}
	return all
}

// usual is the median of earlier seasons for each step, and for horizon more.
func (m median) usual(h History, horizon int) []float64 {
	season, wide := h.steps(m.season), h.steps(bucket)
	for season%wide != 0 {
		wide++
	}
	// Buckets begin at whole multiples of their width in the day.
	lead := int(h.Start.Sub(h.Start.Truncate(time.Duration(wide)*h.Step)) / h.Step)
	means := make([]float64, (len(h.Values)+lead)/wide+1)
	for b := range means {
		means[b] = h.mean(b*wide-lead, (b+1)*wide-lead)
	}
	perSeason := season / wide
	out := unknown(len(h.Values) + horizon + 1)
	var seen [mostSeasons]float64
	last, value := -1, math.NaN()
	for i := range out {
		b := (i + lead) / wide
		if b != last {
			last = b
			n := 0
			for k := 1; k <= mostSeasons; k++ {
				if at := b - k*perSeason; at >= 0 && at < len(means) && !math.IsNaN(means[at]) {
					seen[n] = means[at]
					n++
				}
			}
			value = math.NaN()
			if n >= leastSeasons(m.season) {
				slices.Sort(seen[:n])
				value = (seen[(n-1)/2] + seen[n/2]) / 2
			}
		}
		out[i] = value
	}
	return out
}

// leastSeasons is how many of them a model must have seen. A third week is much to
// ask.
func leastSeasons(season time.Duration) int {
	if season > day {
		return 2
	}
	return 3
}

func seasonal(season time.Duration) string {
	if season > day {
		return "weeks"
	}
	return "days"
}

func unknown(n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = math.NaN()
	}
	return list
}
