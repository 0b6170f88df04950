package agent

import (
	"context"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// A Source reads one subsystem of the node at every tick. Its methods are
// called by one goroutine only. A source that also has a Close method, as
// io.Closer has, is closed when the agent ends.
type Source interface {
	// Name is the source's label in logs and in the agent's own metrics.
	Name() string
	// Collect adds its readings to b and returns soon after ctx ends. What
	// was added before an error is kept: half a picture beats none. It keeps
	// nothing of b.
	Collect(ctx context.Context, b *sample.Batch) error
}

// A Spooler takes batches over, to be sent when they can be.
type Spooler interface {
	// Append returns once b is safe from the end of this process, or an error
	// if it is lost. b is the caller's again afterwards.
	Append(b *sample.Batch) error
}
