package agent

import (
	"context"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// EventSource passes on what has happened since it was last asked, such as what
// the engine told of containers.
func EventSource(take func() []sample.Event) Source { return eventSource(take) }

type eventSource func() []sample.Event

func (eventSource) Name() string { return "events" }

func (take eventSource) Collect(_ context.Context, b *sample.Batch) error {
	for _, e := range take() {
		b.Happened(e)
	}
	return nil
}
