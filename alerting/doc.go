// Package alerting turns what is stored into messages to people. Prometheus'
// rule manager evaluates rules on the store; Alertmanager, assembled here from
// its own packages and in the same process, groups, mutes and delivers.
//
//	store ── rules.Manager ── notify ── mem.Alerts ──┬── inhibitor
//	           │                           │         └── dispatcher ── pipeline ── receivers
//	           └── ALERTS, back to store   │                             │ silences, notification log
//	                                       └── API v2 ── amtool, Grafana, console
//
// It promises that stock rule files and a stock alertmanager.yml work as they
// are; that a file with a mistake never replaces one in force; and that there
// is no network between a rule and the notification pipeline. A SIGKILL at any
// moment costs no silence that the API has acknowledged, no memory of what was
// told, and no "resolved": each change is in a journal before anybody can act
// on it. What was being sent at that moment may be sent twice, and never not at
// all.
//
// What happens to alerts is kept (package history) beside all that and in
// nobody's way; and Explain tells why somebody was, or was not, told.
//
// Several Alertings may live in one process, each with a registerer of its own.
// Process-wide in Alertmanager, and so shared, is only its syntax for matchers,
// which is always the one it has by default.
package alerting
