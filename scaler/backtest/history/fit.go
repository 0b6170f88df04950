package history

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Boot is how long replicas took until they were ready.
type Boot struct {
	Usual, P95 time.Duration // the median, and the 95th percentile
	Starts     int           // how many times the workload grew
	Step       time.Duration // each may be off by that much
}

// leastStarts is how often a workload must have grown before its boot time can be
// told.
const leastStarts = 3

// Boot tells how long replicas took, if the history has enough to tell: from the step
// in which more were asked for to the one in which so many were ready. A growth that
// was overtaken by another number tells nothing.
func (h History) Boot() (Boot, bool) {
	var took []float64
	want, at := math.NaN(), 0
	n := min(len(h.Desired.Values), len(h.Ready.Values))
	for i := range n {
		d, r := h.Desired.Values[i], h.Ready.Values[i]
		before := math.NaN()
		if i > 0 {
			before = h.Desired.Values[i-1]
		}
		switch {
		case !fine(d) || !fine(r) || i > 0 && d < before:
			want = math.NaN()
		case d > before && h.Ready.Values[i-1] >= before:
			want, at = d, i // all of before were there
		case d > before:
			want = math.NaN()
		}
		if r >= want {
			took = append(took, float64(time.Duration(i-at)*h.Ready.Step))
			want = math.NaN()
		}
	}
	if len(took) < leastStarts {
		return Boot{}, false
	}
	slices.Sort(took)
	return Boot{
		Usual: time.Duration(median(took)), P95: time.Duration(took[min(len(took)-1, len(took)*95/100)]),
		Starts: len(took), Step: h.Ready.Step,
	}, true
}

// String tells where a boot time comes from.
func (b Boot) String() string {
	return fmt.Sprintf("%s, the median of %d starts, ± %s", policy.Short(b.Usual), b.Starts, policy.Short(b.Step))
}

// median of a list, which it sorts; 0 if the list is empty.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	if n := len(list); n%2 == 0 {
		return (list[n/2-1] + list[n/2]) / 2
	}
	return list[len(list)/2]
}
