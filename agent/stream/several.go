package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// Streams send one spool to several collectors, to each at its own pace: one
// that is away, or slow, keeps nothing from the others.
type Streams []*Stream

// NewStreams makes a Stream to each target. opts.Target is not used.
func NewStreams(opts Options, targets ...string) (Streams, error) {
	if len(targets) == 0 {
		return nil, errors.New("streams need the address of a collector at least")
	}
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	var all Streams
	for i, target := range targets {
		if slices.Contains(targets[:i], target) {
			return nil, fmt.Errorf("collector %s is named twice", target)
		}
		one := opts
		one.Target = target
		s, err := newStream(one, m)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Resent is how many frames were sent once more that their collector had
// acknowledged: it has lost data.
func (all Streams) Resent() uint64 {
	var n uint64
	for _, s := range all {
		n += s.resent.Load()
	}
	return n
}

// Run sends until ctx ends; then each flushes, for a short time, and says
// goodbye.
func (all Streams) Run(ctx context.Context) error {
	loops := make([]lifecycle.Loop, len(all))
	for i, s := range all {
		loops[i] = lifecycle.Loop{Name: "collector " + s.opts.Target, Run: s.Run}
	}
	return lifecycle.Run(ctx, loops...)
}
