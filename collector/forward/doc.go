// Package forward sends what is stored on to other systems, by Prometheus'
// remote write.
//
//	ingest ─ Stored ─ spool ─┬─ endpoint: gather ─ batches ─ requests ══ target
//	         Sync ───┘       └─ endpoint …
//
// What has been handed over and synced reaches every endpoint, at least once,
// whatever is killed or away in between, within the spool's bounds in bytes and
// age; what does not is counted, by endpoint and reason. Samples of a series
// reach an endpoint in the order in which they were handed over. Nothing that
// happens here stops whoever hands over: a spool that cannot be written to
// costs what would have been forwarded, and no more.
package forward
