package otlp

import (
	"math"
	"slices"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/plimsoll-io/plimsoll/agent/push"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// maxBounds bounds a histogram's buckets and a summary's quantiles.
const maxBounds = 100

// values gathers the values of a point: its buckets or quantiles, sum and count.
type values []float64

// explicit makes cumulative buckets of a histogram point.
func explicit(p *metricspb.HistogramDataPoint, v values) (values, push.Reason) {
	bounds, counts := p.GetExplicitBounds(), p.GetBucketCounts()
	if len(bounds) > maxBounds {
		return v, push.TooLarge
	}
	if len(counts) == 0 && len(bounds) == 0 {
		counts = []uint64{p.GetCount()}
	}
	if len(counts) != len(bounds)+1 || !push.Ascending(bounds) {
		return v, push.Malformed
	}
	v = v[:0]
	for _, n := range counts {
		v = append(v, float64(n))
	}
	return v.total(p.Sum, p.GetCount())
}

// total makes the buckets cumulative and adds sum and count.
func (v values) total(sum *float64, count uint64) (values, push.Reason) {
	for i := 1; i < len(v); i++ {
		v[i] += v[i-1]
	}
	if v[len(v)-1] != float64(count) {
		return v, push.Malformed
	}
	if sum == nil {
		return append(v, sample.Absent, float64(count)), 0
	}
	return append(v, *sum, float64(count)), 0
}

// The buckets of exponential histograms.
const (
	lowest  = -10 // 2^lowest is the first upper bound,
	highest = 30  // and 2^highest the last
)

func powersOfTwo() []float64 {
	var bounds []float64
	for e := lowest; e <= highest; e++ {
		bounds = append(bounds, math.Ldexp(1, e))
	}
	return bounds
}

// exponential makes cumulative buckets, with bounds, of an exponential histogram
// point. Bucket i of scale s holds what is above 2^(i/2^s), up to 2^((i+1)/2^s),
// so at s ≥ 0 it lies between 2^k and 2^(k+1), where k is i/2^s rounded down.
func exponential(p *metricspb.ExponentialHistogramDataPoint, bounds []float64, v values) (values, push.Reason) {
	if p.GetScale() < 0 {
		return v, push.Unsupported
	}
	v = append(v[:0], make(values, len(bounds)+1)...)
	zero, _ := slices.BinarySearch(bounds, p.GetZeroThreshold())
	v[zero] += float64(p.GetZeroCount())
	for _, n := range p.GetNegative().GetBucketCounts() {
		v[0] += float64(n)
	}
	offset := int64(p.GetPositive().GetOffset())
	for i, n := range p.GetPositive().GetBucketCounts() {
		k := (offset + int64(i)) >> p.GetScale()
		v[min(max(k+1-lowest, 0), int64(len(bounds)))] += float64(n)
	}
	return v.total(p.Sum, p.GetCount())
}

// quantiles makes the values of a summary point, and its quantiles.
func quantiles(p *metricspb.SummaryDataPoint, v values) (values, []float64, push.Reason) {
	list := p.GetQuantileValues()
	if len(list) > maxBounds {
		return v, nil, push.TooLarge
	}
	var at []float64
	v = v[:0]
	for _, q := range list {
		at, v = append(at, q.GetQuantile()), append(v, q.GetValue())
	}
	if !push.Ascending(at) {
		return v, nil, push.Malformed
	}
	return append(v, p.GetSum(), float64(p.GetCount())), at, 0
}
