// Package forecast says how much load is to be expected within the time that new
// replicas need to start. It is pure: no clock, no I/O, no chance, so that a
// backtest and the running scaler get the same answer from the same history.
//
// Two models look at what was: the median of the same time of earlier days or
// weeks, and damped Holt-Winters. Fit takes the one that would have been right
// most often, by the pinball loss of its quantile over days that it had not seen,
// and says how much better it is than what anybody could say without it: the same
// as a day or week ago, or the same as now. Without such skill nothing should act
// on it.
//
// What is not known stays unknown: a gap teaches nothing, and minutes in which the
// workload was saturated teach only that there was at least that much.
package forecast
