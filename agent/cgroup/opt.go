package cgroup

import "math"

// Opt is a reading that may be absent; then OK is false and V means nothing.
type Opt[T any] struct {
	V  T
	OK bool
}

func some[T any](v T) Opt[T] { return Opt[T]{v, true} }

// Nanoseconds is an amount of CPU time or of waiting. It is no time.Duration
// because that ends at 292 years, which 512 busy CPUs use up in seven months.
type Nanoseconds uint64

// Seconds is n in seconds. Where n is whole microseconds, as most files count,
// the result is the float nearest to them.
func (n Nanoseconds) Seconds() float64 {
	if us := n / 1e3; us*1e3 == n {
		return float64(us) / 1e6
	}
	return float64(n) / 1e9
}

// Limit is the most a group may use of something.
type Limit uint64

// NoLimit is a limit that is not set.
const NoLimit Limit = math.MaxUint64

// OrZero is l, and 0 where there is no limit, as metrics have it.
func (l Limit) OrZero() uint64 {
	if l == NoLimit {
		return 0
	}
	return uint64(l)
}
