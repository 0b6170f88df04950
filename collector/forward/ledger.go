package forward

import (
	"maps"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/collector/forward/spool"
)

// Reasons for which an endpoint drops samples, besides those of the spool and
// the "http_…" of an answer.
const (
	reasonAge         = "too_old"     // older than the endpoint's sample_age_limit
	reasonExpired     = "expired"     // on their way for longer than the spool's age
	reasonPartial     = "partial"     // the target wrote less than it was sent, and says so
	reasonUnconfirmed = "unconfirmed" // the target does not confirm, as version 2 requires
)

// ledger is what is counted of an endpoint. It outlives a reload.
type ledger struct {
	mu        sync.Mutex
	sent      uint64
	filtered  uint64
	bytes     uint64
	retries   uint64
	requests  map[string]uint64 // by code
	dropped   map[string]uint64 // by reason
	shards    int
	waiting   time.Time // when the oldest sample on its way was appended; zero if none is
	lastSent  time.Time
	lastError string
	failedAt  time.Time
	failing   bool // the latest request was not accepted
}

func newLedger() *ledger {
	return &ledger{requests: map[string]uint64{}, dropped: map[string]uint64{}}
}

func (l *ledger) with(f func(*ledger)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

func (l *ledger) drop(reason string, samples int) {
	if samples > 0 {
		l.with(func(l *ledger) { l.dropped[reason] += uint64(samples) })
	}
}

// asked notes a request and its answer, and tells whether that is another state
// than before.
func (l *ledger) asked(a answer, bytes int, now time.Time) (turned bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests[a.code()]++
	l.bytes += uint64(bytes)
	failing := a.err != nil
	turned = failing != l.failing
	l.failing = failing
	if failing {
		l.lastError, l.failedAt = a.err.Error(), now
	} else {
		l.lastSent = now
	}
	return turned
}

// Endpoint is what is known of a target, for people.
type Endpoint struct {
	Name, URL string // the URL without user, password and query
	Protocol  string // "1.0" or "2.0"

	Sent     uint64            // samples that the target has accepted, repeated ones included
	Filtered uint64            // samples that write_relabel_configs leave out
	Dropped  map[string]uint64 // samples lost, by reason
	Pending  uint64            // samples in the spool or on their way
	Lag      time.Duration     // how long the oldest of them that has been read waits
	Retries  uint64            // requests sent again
	Shards   int               // requests at a time

	Failing             bool      // the latest request was not accepted
	LastError           string    // of any request since the start; empty if there was none
	LastErrorAt, SentAt time.Time // zero if never

	bytes    uint64
	requests map[string]uint64
}

// status puts together what ledger and spool know.
func (l *ledger) status(e Endpoint, r *spool.Reader, now time.Time) Endpoint {
	l.mu.Lock()
	e.Sent, e.Filtered, e.Retries, e.Shards = l.sent, l.filtered, l.retries, l.shards
	e.Failing, e.LastError, e.LastErrorAt, e.SentAt = l.failing, l.lastError, l.failedAt, l.lastSent
	e.Dropped, e.bytes, e.requests = maps.Clone(l.dropped), l.bytes, maps.Clone(l.requests)
	if !l.waiting.IsZero() {
		e.Lag = max(0, now.Sub(l.waiting))
	}
	l.mu.Unlock()
	if r != nil {
		for reason, n := range r.Lost() {
			e.Dropped[string(reason)] += n
		}
		e.Pending = r.Pending()
	}
	return e
}
