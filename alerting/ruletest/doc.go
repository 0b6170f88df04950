// Package ruletest runs the unit tests of rule files. It takes promtool's format
// as it is and comes to promtool's verdict: samples are made up, rules evaluated
// over them by Prometheus' own engine, and alerts and queries compared with what
// the file expects.
//
//	input_series ── promqltest ── rules.Group.Eval ──┬── alert_rule_test
//	                    │                            └── alerting.Rehearsal ── notification_test
//	                    └── engine ── promql_expr_test
//
// Beyond promtool, a file may test what people are told: notification_test says
// which messages an alertmanager.yml makes of the alerts. And Replay tells how
// often rules would have fired over the history that a collector has.
//
// Everything happens in the time that the file tells, at the speed of the
// machine. The package links testing and testify, which promqltest needs.
package ruletest
