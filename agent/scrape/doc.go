// Package scrape reads the metrics that containers expose themselves, where
// their labels ask for it.
//
// A target is reached from inside its own network namespace and at its own
// addresses only, so that a label can name no other machine and no other
// container. Whatever a target answers, reading it is bounded in bytes, time,
// series and the length of names, each bound counts what it cost, and no target
// disturbs the rhythm of another.
//
//	Add ─ target ─ wait ─ slot ─ network ─ fetch ─ parse ─ book ─ Take
package scrape
