package stream

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 5 * time.Second
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
// something, and what that would be.
func remedy(err error) (string, bool) {
	switch status.Code(err) {
	case codes.Unimplemented:
		return "check that the address is a Plimsoll collector's gRPC port", true
	case codes.Unauthenticated, codes.PermissionDenied:
		return "check the agent's certificate or token", true
	case codes.FailedPrecondition:
		return "bring agent and collector to versions that go together", true
	case codes.InvalidArgument:
		return "the collector takes this for a mistake of the agent: update both, and report it if it stays", true
	}
	return "", false
}
