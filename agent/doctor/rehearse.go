package doctor

import (
	"context"
	"io"
	"time"

	"github.com/plimsoll-io/plimsoll/agent"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// rehearsal is how a source of the agent fared.
type rehearsal struct {
	there, absent, waiting []string // of the files that it wants
	err                    error    // of the last tick: what is there and cannot be read
}

// rehearse has a source of the agent read everything until all is well and it has
// told of all its files whether they are there, for so many ticks at most. From one
// to the next it takes 50 ms at first, then twice as long each time: what a source reads aside
// is an error as long as it is not back.
func rehearse(ctx context.Context, s agent.Source, ticks uint64) rehearsal {
	if c, ok := s.(io.Closer); ok {
		defer c.Close()
	}
	pause := 50 * time.Millisecond
	var r rehearsal
	var b sample.Batch
	for tick := range ticks {
		if tick > 0 {
			select {
			case <-ctx.Done():
				return r
			case <-time.After(pause):
				pause *= 2
			}
		}
		// A minute each, lest anything waits for containers to get their names.
		b.Reset(tick, time.Now().Add(time.Duration(tick)*time.Minute))
		r.err = s.Collect(ctx, &b)
		r.there, r.absent, r.waiting = available(&b)
		if len(r.waiting) == 0 && r.err == nil && tick > 0 {
			break
		}
	}
	return r
}

// available is what a source tells of its files; of those that it waits for it
// does not know yet.
func available(b *sample.Batch) (there, absent, waiting []string) {
	for _, c := range b.Columns {
		for i, s := range c.Group.Series {
			if s.Metric.Name != "plimsoll_agent_source_available" {
				continue
			}
			file := s.Labels[0].Value
			switch {
			case sample.IsAbsent(c.Values[i]):
				waiting = append(waiting, file)
			case c.Values[i] == 0:
				absent = append(absent, file)
			default:
				there = append(there, file)
			}
		}
	}
	return there, absent, waiting
}
