package push

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Reason is why something pushed was not taken. The zero Reason is none.
type Reason uint8

// The reasons.
const (
	Malformed     Reason = iota + 1 // not in the protocol's format
	Unsupported                     // in it, but of no kind that is taken
	TooLarge                        // a datagram or message
	BadUTF8                         //
	Reserved                        // a name that only Prometheus or the agent may use
	TooLong                         // a name or the value of a label
	TooManyLabels                   //
	SenderSeries                    // the sender has as many series as it may
	NodeSeries                      // all senders together have
	Memory                          // all series together take as much as they may
	RateLimit                       // more a second than the listener takes
	Busy                            // too many connections, or requests at a time
	Conflict                        // the sender uses the name for something else
	BadValue                        // not a number, infinite, or a counter that counts down
	TooOld                          // by the time it carries
	Future                          //
	OutOfOrder                      // by that time, behind what came before
	QueueFull                       // the kernel had no room; counted in datagrams
	Failed                          // by a bug of the agent
	Reasons                         // is how many there are, none included
)

// String is the value of the label reason.
func (r Reason) String() string {
	return [Reasons]string{
		"", "malformed", "unsupported", "too_large", "invalid_utf8", "reserved_name", "label_too_long", "too_many_labels",
		"sender_series_limit", "series_limit", "memory_limit", "rate_limit", "too_many_requests", "type_conflict", "bad_value",
		"too_old", "future", "out_of_order", "queue_full", "internal_error",
	}[r]
}

// Feed is a listener's way into a Table. Take, Drop and Allow may be called at
// any time; all else, of the feed's senders and points too, only between Begin
// and End.
type Feed struct {
	table    *Table
	listener string
	limiter  *rate.Limiter

	taken   atomic.Uint64
	dropped [Reasons]atomic.Uint64
}

// Feed adds a listener, whose name is a label of what is counted, or returns the
// one of that name. It takes perSecond samples a second, and burst at once. All
// feeds are added before the first is used.
func (t *Table) Feed(listener string, perSecond, burst int) *Feed {
	for _, f := range t.feeds {
		if f.listener == listener {
			return f
		}
	}
	f := &Feed{table: t, listener: listener, limiter: rate.NewLimiter(rate.Limit(perSecond), burst)}
	t.feeds = append(t.feeds, f)
	return f
}

// Take counts samples that were taken.
func (f *Feed) Take(samples int) { f.taken.Add(uint64(samples)) }

// Drop counts samples that were not; for no reason, none.
func (f *Feed) Drop(why Reason, samples int) {
	if why != 0 && samples > 0 {
		f.dropped[why].Add(uint64(samples))
	}
}

// Taken and Dropped are the counts up to now.
func (f *Feed) Taken() uint64 { return f.taken.Load() }

// Dropped counts samples not taken, or datagrams and requests whose samples
// nobody counted.
func (f *Feed) Dropped(why Reason) uint64 { return f.dropped[why].Load() }

// Allow tells whether so many samples may come now, by the feed's rate. If not,
// they are counted as dropped.
func (f *Feed) Allow(samples int) bool {
	if f.limiter.AllowN(time.Now(), samples) {
		return true
	}
	f.Drop(RateLimit, samples)
	return false
}

// Begin opens the table for this feed; End gives it back. In between is no time
// for anything that waits.
func (f *Feed) Begin() {
	f.table.mu.Lock()
	f.table.now = time.Since(f.table.born)
}

// End gives the table back.
func (f *Feed) End() { f.table.mu.Unlock() }

// From is the sender of that origin.
func (f *Feed) From(o Origin) *Sender {
	if s := f.table.senders[o]; s != nil {
		return s
	}
	return newSender(f.table, o) // in the table with its first point
}
