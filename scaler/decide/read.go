package decide

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// values are the readings of a signal that count.
type values struct {
	sum    float64
	count  int
	most   float64 // of one replica
	single bool    // one value for all, not one for each replica
	whole  bool    // it is the total, not a mean
	kept   bool    // sum is no reading to find a trend in

	throttled, pressure *float64 // as in Reading
}

func (v values) mean() float64 { return v.sum / float64(v.count) }

// read finds the readings of a signal and adds up the fresh ones. If there are
// none to go by it says what is wrong.
func (t *turn) read(s *policy.Signal) (v values, wrong Reason) {
	r, wrong := t.reading(s.Name)
	if r == nil {
		return v, wrong
	}
	g := t.gather(r.Samples, s.MaxAge)
	switch {
	case g.odd != 0:
		return v, because(CodeNotFinite, decimal(g.odd))
	case g.least < 0:
		return v, because(CodeNegative, decimal(g.least))
	case g.youngest > s.MaxAge:
		return v, because(CodeStale, span(g.youngest), span(s.MaxAge))
	}
	v = g.values
	v.whole, v.throttled, v.pressure = s.Whole(), r.Throttled, r.Pressure
	if v.single = v.single || v.whole; v.single && len(r.Samples) > 1 {
		return v, because(CodeNotOne, count(len(r.Samples)))
	}
	return v, Reason{}
}

// reading is what a signal said; nil, and what is wrong, if it said nothing.
func (t *turn) reading(signal string) (r *Reading, wrong Reason) {
	for i := range t.obs.Signals {
		if t.obs.Signals[i].Signal != signal {
			continue
		}
		if r != nil {
			return nil, because(CodeReadTwice)
		}
		r = &t.obs.Signals[i]
	}
	switch {
	case r == nil:
		return nil, because(CodeUnread)
	case r.Err != "":
		return nil, because(CodeReadFailed, word(r.Err))
	case len(r.Samples) == 0:
		return nil, because(CodeNoSamples)
	}
	return r, Reason{}
}

// gathered is what the samples of a reading come to, in whatever order they are.
type gathered struct {
	values                 // of those that are fresh
	least    float64       // of all
	odd      float64       // one that is no number, if any is; else 0
	youngest time.Duration // age of the newest
}

// gather sums the samples young enough to count, one for each replica, in an order
// that does not depend on the one they came in: sums of floats do. Samples that
// come in the order of their replicas need no sorting.
func (t *turn) gather(samples []Sample, maxAge time.Duration) gathered {
	g := gathered{youngest: math.MaxInt64}
	sorted, last := true, ""
	for i := range samples {
		s := &samples[i]
		if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
			g.odd = odder(g.odd, s.Value)
			continue
		}
		g.least = min(g.least, s.Value)
		old := age(t.obs.Now, s.At)
		g.youngest = min(g.youngest, old)
		if old > maxAge {
			continue
		}
		sorted = sorted && (g.count == 0 || last < s.Replica)
		last = s.Replica
		g.single = g.single || last == ""
		g.sum += s.Value
		g.most = max(g.most, s.Value)
		g.count++
	}
	if !sorted {
		g.sum, g.count = t.sumSorted(samples, maxAge)
	}
	return g
}

// sumSorted sums the fresh samples in the order of their replicas, of each the
// newest.
func (t *turn) sumSorted(samples []Sample, maxAge time.Duration) (sum float64, n int) {
	fresh := t.distinct(samples, maxAge)
	for i := range fresh {
		sum += fresh[i].Value
	}
	return sum, len(fresh)
}

// greatest sums the n greatest of the fresh samples, of each replica the newest.
func (t *turn) greatest(samples []Sample, maxAge time.Duration, n int) (sum float64) {
	fresh := t.distinct(samples, maxAge)
	slices.SortFunc(fresh, func(a, b Sample) int { return cmp.Compare(b.Value, a.Value) })
	for i := range fresh[:min(n, len(fresh))] {
		sum += fresh[i].Value
	}
	return sum
}

// distinct are the fresh samples in the order of their replicas, of each the newest.
func (t *turn) distinct(samples []Sample, maxAge time.Duration) []Sample {
	fresh := t.samples[:0]
	for i := range samples {
		if age(t.obs.Now, samples[i].At) <= maxAge {
			fresh = append(fresh, samples[i])
		}
	}
	t.samples = fresh
	slices.SortFunc(fresh, func(a, b Sample) int {
		return cmp.Or(strings.Compare(a.Replica, b.Replica), b.At.Compare(a.At), cmp.Compare(b.Value, a.Value))
	})
	return slices.CompactFunc(fresh, func(a, b Sample) bool { return a.Replica == b.Replica })
}

// odder is the one of two values that are no numbers which is told.
func odder(a, b float64) float64 {
	if math.IsNaN(a) || math.IsInf(a, +1) && !math.IsNaN(b) {
		return a
	}
	return b
}

// age is how far a sample is from now. One from the future, as after a clock
// that went back, is as doubtful as one that is as old.
func age(now, at time.Time) time.Duration {
	const most = math.MaxInt64/int64(time.Second) - 1
	s := now.Unix() - at.Unix()
	if s > most || s < -most {
		return math.MaxInt64
	}
	return (time.Duration(s)*time.Second + time.Duration(now.Nanosecond()-at.Nanosecond())).Abs()
}
