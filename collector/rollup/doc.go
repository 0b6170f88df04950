// Package rollup keeps a second store in which of each five minutes only a few
// samples of a series are left, for a year instead of days, and answers from
// both stores as if they were one.
//
// Its promise: what is kept are samples as they came, at their own times, so
// that rate and increase of counters, resets included, and the highest and
// lowest value of a gauge are the same from either store, over ranges that begin
// and end at a multiple of five minutes. While the first store still has the
// samples, a query is answered from rollups only where the answer is the same.
package rollup
