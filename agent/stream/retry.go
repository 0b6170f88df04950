package stream

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An attempt ends after connectTimeout, and the next begins maxDelay later at
// most: a network that has healed is found within 6 s even if the first packet
// of an attempt was the last to be lost.
const (
	firstDelay     = 100 * time.Millisecond
	maxDelay       = 3 * time.Second
	connectTimeout = 5 * time.Second
	// busyDelay follows the answer that there is no room at present.
	busyDelay = 5 * time.Second
	// refusedDelay follows an answer that trying again does not change.
	refusedDelay = 30 * time.Second
)

// backoff spaces attempts: twice as far each time, with enough chance in it
// that the agents of a fleet do not all come at once.
type backoff struct{ delay time.Duration }

func (b *backoff) next() time.Duration {
	b.delay = min(max(2*b.delay, firstDelay), maxDelay)
	return jitter(b.delay)
}

func (b *backoff) reset() { b.delay = 0 }

// jitter returns between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// remedy tells whether a collector's answer is final as long as nobody does
// something, what that would be, and how long to leave the collector alone.
func remedy(err error) (what string, delay time.Duration, final bool) {
	switch status.Code(err) {
	case codes.Unimplemented:
		return "check that the address is a Plimsoll collector's gRPC port", refusedDelay, true
	case codes.Unauthenticated, codes.PermissionDenied:
		return "check the agent's certificate or token, and that it is for this node", refusedDelay, true
	case codes.FailedPrecondition:
		return "bring agent and collector to versions that go together", refusedDelay, true
	case codes.InvalidArgument:
		return "the collector takes this for a mistake of the agent: update both, and report it if it stays", refusedDelay, true
	case codes.ResourceExhausted:
		return "it has no room at present and says why; see to the collector", busyDelay, true
	}
	return "", 0, false
}
