package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/gate"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// store brings the frame just decoded into the store: its samples, its ends
// and its number in one transaction. A frame that is there already is counted,
// not stored again.
func (x *session) store(f *plimsollv1.Frame) error {
	s := x.server
	s.hear(x, x.now)
	s.mu.Lock()
	repeated := x.spool.done.has(f.GetSeq())
	s.mu.Unlock()
	if repeated {
		x.repeat(f)
		if x.lane == live {
			s.advance(x, f.GetSeq(), false)
		}
		return nil
	}
	if late := s.opts.Limits.Window(x.now).Check(f.GetTimestampMs()); late != "" {
		// Its number is not stored either: the sequence has a time like any
		// sample. Should the collector end before later frames are stored,
		// this one is asked for again, and refused again.
		for i, c := range x.decoder.cells {
			if !isStale(x.decoder.values[i]) {
				x.refuse(late, c)
			}
		}
		s.advance(x, f.GetSeq(), false)
		x.tell(f)
		return nil
	}
	if err := x.commit(f); err != nil {
		return err
	}
	if x.lane == live {
		x.present(f)
	}
	s.advance(x, f.GetSeq(), true)
	x.tell(f)
	return nil
}

// present takes note of a live frame that has been stored.
func (x *session) present(f *plimsollv1.Frame) {
	s, at := x.server, time.UnixMilli(f.GetTimestampMs())
	lag := x.now.Sub(at)
	s.setClock(x, f.GetTimestampMs(), -lag)
	s.metrics.lag.WithLabelValues(x.node.name).Set(lag.Seconds())
	if x.current == 0 && lag < s.opts.Patience {
		x.current, x.sweep = f.GetTimestampMs(), time.After(x.settling())
	}
	if s.opts.Arrived != nil {
		s.opts.Arrived(x.node.name, at)
	}
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
	x.server.metrics.repeatedFrames.Inc()
}

// commit stores the frame. A collector that was killed asks for frames again
// that it may have whole; the store drops what it has.
func (x *session) commit(f *plimsollv1.Frame) (err error) {
	x.node.write.Lock()
	defer x.node.write.Unlock()
	app := x.server.opts.Store.AppenderV2(context.WithoutCancel(x.stream.Context()))
	open := true
	defer func() {
		if open { // a fault came in between
			_ = app.Rollback()
		}
	}()
	s, sp := x.server, x.spool
	if err := s.renewed(); err != nil { // it is not while a transaction is open
		s.fail("append", err)
		return unavailable(err)
	}
	s.mu.Lock()
	known := sp.stored.has(f.GetSeq())
	s.mu.Unlock()

	x.draft.reset()
	stored, err := x.append(app, f)
	if err == nil && !known {
		err = x.number(app, f)
	}
	if err != nil {
		open = false
		return x.fail("append", errors.Join(err, app.Rollback()))
	}
	open = false
	if err := app.Commit(); err != nil {
		return x.fail("commit", err)
	}
	s.give(&x.draft)
	if known {
		x.repeated += stored
		s.metrics.repeatedFrames.Inc()
		s.metrics.repeatedSamples.Add(float64(stored))
		return nil
	}
	x.stored += stored
	s.metrics.frames.Inc()
	s.metrics.samples.Add(float64(stored))
	if x.lane == backfill {
		s.metrics.pastFrames.Inc()
	}
	return nil
}

func (x *session) append(app storage.AppenderV2, f *plimsollv1.Frame) (stored uint64, err error) {
	at := f.GetTimestampMs()
	x.allowance = x.node.allow(x, at)
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
		if err := x.draft.write(app, x.node.up, at, 1); err != nil {
			return 0, err
		}
	}
	return stored, nil
}

// put appends one value, and tells whether the store took it.
func (x *session) put(app storage.AppenderV2, c *series, at int64, v float64) (bool, error) {
	if isStale(v) {
		return false, x.finish(app, c, at)
	}
	if why := x.unwanted(app, c, at); why != "" {
		x.refuse(why, c)
		return false, nil
	}
	ref, err := app.Append(c.ref, c.labels, 0, at, v, nil, nil, storage.AOptions{})
	if err != nil {
		reason := gate.Refusal(err)
		if reason == "" {
			return false, err
		}
		x.refuse(reason, c)
		return false, nil
	}
	c.ref, c.at, c.live = ref, at, true
	x.draft.add(at, c, v)
	return true, nil
}

// finish ends a series, if the store has a value of it. Of a series that this
// lane has given no value yet, only the store itself can tell.
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
	return x.draft.write(app, c, c.at, staleNaN)
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

// number writes the frame's number in its lane's sequence, so that samples and
// number are stored together or not at all. Its time is the frame's, so that a
// backlog does not become out of order by it; only if the agent's clock went
// back it is a little later.
func (x *session) number(app storage.AppenderV2, f *plimsollv1.Frame) error {
	s := x.server
	s.mu.Lock()
	l := &x.spool.lanes[x.lane]
	l.at = max(f.GetTimestampMs(), l.at+1)
	at, durable, shift, shifted := l.at, l.durable, x.spool.shift, l.shifted
	l.shifted = shifted || shift != 0
	s.mu.Unlock()
	if err := write(app, l.seq, at, float64(f.GetSeq())); err != nil {
		return err
	}
	if shift != 0 || shifted {
		if err := write(app, l.shift, at, shift.Seconds()); err != nil {
			return err
		}
	}
	return write(app, l.safe, at, float64(durable))
}

// write appends a sample of the collector's own. That the store does not want
// it is no reason to refuse the rest.
func write(app storage.AppenderV2, c *series, at int64, v float64) error {
	ref, err := app.Append(c.ref, c.labels, 0, at, v, nil, nil, storage.AOptions{})
	if err != nil {
		if gate.Refusal(err) != "" {
			return nil
		}
		return err
	}
	c.ref = ref
	return nil
}

// tell passes on the events of a frame that was new.
func (x *session) tell(f *plimsollv1.Frame) {
	inventory := x.server.opts.Inventory
	if inventory == nil {
		return
	}
	for i, e := range f.GetEvents() {
		if i == maxEvents {
			x.server.metrics.droppedEvents.Add(float64(len(f.GetEvents()) - i))
			return
		}
		inventory.Event(x.node.name, time.UnixMilli(saturated(e.GetTimestampMs(), x.shift)), eventKind(e.GetEventKind()),
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
