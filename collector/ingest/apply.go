package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/storage"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// store brings the frame just decoded into the store: its samples, its ends
// and its number in one transaction. A frame that is there already is counted,
// not stored again.
func (x *session) store(f *plimsollv1.Frame) error {
	s, now := x.server, time.Now()
	s.hear(x, now)
	switch late := s.opts.Limits.late(time.UnixMilli(f.GetTimestampMs()), now); {
	case f.GetSeq() <= x.spool.applied:
		x.repeat(f)
		s.metrics.repeatedFrames.Inc()
		return nil
	case late != "":
		// Its number is not stored either: the sequence has a time like any
		// sample. Should the collector end before later frames are stored,
		// this one is asked for again, and refused again.
		for i, c := range x.decoder.cells {
			if !isStale(x.decoder.values[i]) {
				x.refuse(late, c)
			}
		}
	default:
		if err := x.commit(f); err != nil {
			return err
		}
		lag := now.Sub(time.UnixMilli(f.GetTimestampMs()))
		s.setClock(x, f.GetTimestampMs(), -lag)
		s.metrics.lag.WithLabelValues(x.node.name).Set(lag.Seconds())
		if x.current == 0 && lag < s.opts.Patience {
			x.current, x.sweep = f.GetTimestampMs(), time.After(x.settling())
		}
	}
	s.advance(x, f.GetSeq())
	x.tell(f)
	return nil
}

// repeat notes what the store has of a frame that came again.
func (x *session) repeat(f *plimsollv1.Frame) {
	for i, c := range x.decoder.cells {
		c.at, c.live = f.GetTimestampMs(), !isStale(x.decoder.values[i])
		if c.live && c.refused == "" {
			x.repeated++
			x.server.metrics.repeatedSamples.Inc()
		}
	}
}

// commit stores the frame. A collector that was killed asks for frames again
// that it may have whole; the store drops what it has.
func (x *session) commit(f *plimsollv1.Frame) error {
	x.node.write.Lock()
	defer x.node.write.Unlock()
	app := x.server.opts.Store.AppenderV2(context.WithoutCancel(x.stream.Context()))
	stored, err := x.append(app, f)
	if err != nil {
		return x.fail("append", errors.Join(err, app.Rollback()))
	}
	if err := app.Commit(); err != nil {
		return x.fail("commit", err)
	}
	if f.GetSeq() <= x.spool.committed {
		x.repeated += stored
		x.server.metrics.repeatedFrames.Inc()
		x.server.metrics.repeatedSamples.Add(float64(stored))
		return nil
	}
	x.spool.at = max(f.GetTimestampMs(), x.spool.at+1)
	x.stored += stored
	x.server.metrics.frames.Inc()
	x.server.metrics.samples.Add(float64(stored))
	return nil
}

func (x *session) append(app storage.AppenderV2, f *plimsollv1.Frame) (stored uint64, err error) {
	at := f.GetTimestampMs()
	for i, c := range x.decoder.cells {
		ok, err := x.put(app, c, at, x.decoder.values[i])
		if err != nil {
			return 0, err
		}
		if ok {
			stored++
		}
	}
	for _, ref := range x.decoder.ended {
		for _, c := range x.decoder.layouts[ref].series {
			if err := x.finish(app, c, at); err != nil {
				return 0, err
			}
		}
	}
	if at > x.node.zeroAt { // a backlog does not change that the agent was away
		if err := write(app, x.node.up, at, 1); err != nil {
			return 0, err
		}
	}
	return stored, x.number(app, f)
}

// put appends one value, and tells whether the store took it.
func (x *session) put(app storage.AppenderV2, c *series, at int64, v float64) (bool, error) {
	if isStale(v) {
		return false, x.finish(app, c, at)
	}
	if c.refused != "" {
		x.refuse(c.refused, c)
		return false, nil
	}
	ref, err := app.Append(c.ref, c.labels, 0, at, v, nil, nil, storage.AOptions{Metadata: c.meta})
	if err != nil {
		reason := refusal(err)
		if reason == "" {
			return false, err
		}
		x.refuse(reason, c)
		return false, nil
	}
	c.ref, c.at, c.live = ref, at, true
	return true, nil
}

// finish ends a series, if the store has a value of it. Of a series that this
// stream has given no value yet, only the store itself can tell.
func (x *session) finish(app storage.AppenderV2, c *series, at int64) error {
	if c.refused != "" {
		return nil
	}
	if !c.live {
		if c.known || c.asked {
			return nil
		}
		c.asked = true
		if !exists(app, c) {
			return nil
		}
	}
	c.live = false
	c.at = max(at, c.at+1) // behind its last value, even if a clock went back
	return write(app, c, c.at, staleNaN)
}

// exists tells whether the store has the series among the recent ones.
func exists(app storage.AppenderV2, c *series) bool {
	known, ok := app.(storage.GetRef)
	if !ok {
		return false
	}
	ref, _ := known.GetRef(c.labels, c.labels.Hash())
	return ref != 0
}

// number writes the frame's number, so that samples and number are stored
// together or not at all. Its time is the frame's, so that a backlog does not
// become out of order by it; only if the agent's clock went back it is a little
// later.
func (x *session) number(app storage.AppenderV2, f *plimsollv1.Frame) error {
	if f.GetSeq() <= x.spool.committed {
		return nil
	}
	x.server.mu.Lock()
	at, durable := max(f.GetTimestampMs(), x.spool.at+1), x.spool.durable
	x.server.mu.Unlock()
	if err := write(app, x.spool.seq, at, float64(f.GetSeq())); err != nil {
		return err
	}
	return write(app, x.spool.safe, at, float64(durable))
}

// write appends a sample of the collector's own. That the store does not want
// it is no reason to refuse the rest.
func write(app storage.AppenderV2, c *series, at int64, v float64) error {
	ref, err := app.Append(c.ref, c.labels, 0, at, v, nil, nil, storage.AOptions{Metadata: c.meta})
	if err != nil {
		if refusal(err) != "" {
			return nil
		}
		return err
	}
	c.ref = ref
	return nil
}

// refusal is why the store does not want a sample; "" if it has failed.
func refusal(err error) string {
	switch {
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		return reasonDuplicate
	case errors.Is(err, storage.ErrOutOfOrderSample):
		return reasonOrder
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds):
		return reasonTooOld
	}
	return ""
}

// tell passes on the events of a frame that was new.
func (x *session) tell(f *plimsollv1.Frame) {
	inventory := x.server.opts.Inventory
	if inventory == nil {
		return
	}
	for i, e := range f.GetEvents() {
		if i == maxEvents {
			return
		}
		inventory.Event(x.node.name, time.UnixMilli(e.GetTimestampMs()), eventKind(e.GetEventKind()),
			cut(e.GetContainer()), cut(e.GetText()))
	}
}

func eventKind(k plimsollv1.EventKind) string {
	switch k {
	case plimsollv1.EventKind_EVENT_KIND_CONTAINER_STARTED:
		return "started"
	case plimsollv1.EventKind_EVENT_KIND_CONTAINER_EXITED:
		return "exited"
	case plimsollv1.EventKind_EVENT_KIND_CONTAINER_OOM:
		return "oom"
	}
	return "other"
}

func cut(s string) string {
	if len(s) > maxEventBytes {
		return s[:maxEventBytes]
	}
	return s
}
