// Package differential compares the collector with a Prometheus of a
// distribution: the same samples, the same questions, the same answers. It is
// for the build tag e2e, and needs prometheus and promtool.
package differential
