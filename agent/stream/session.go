package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

const (
	protocol         = 1
	handshakeTimeout = 10 * time.Second
	// maxRequest is what a gRPC server takes unless told otherwise, less room
	// for what is around a frame.
	maxRequest = 4<<20 - 1<<10
)

// errAgain ends a session that is to be followed by another, nothing being
// wrong.
var errAgain = errors.New("starting over")

// session is one stream from its hello to its end.
type session struct {
	*Stream
	push    grpc.BidiStreamingClient[plimsollv1.PushRequest, plimsollv1.PushResponse]
	sending sync.Mutex // push sends one thing at a time
	reader  *spool.Reader
	encoder *Encoder
	window  *window
	limit   int    // bytes of a frame
	next    uint64 // frame to send

	refusals map[string]uint64 // samples by reason, as last reported
}

// session connects and sends until the stream breaks or ctx ends. It tells
// whether the collector has acknowledged anything.
func (s *Stream) session(ctx context.Context) (progress bool, err error) {
	// The stream lives a little longer than ctx, to be flushed.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	conn, err := grpc.NewClient(s.opts.Target, s.dial...)
	if err != nil {
		return false, fmt.Errorf("collector %s: %w", s.opts.Target, err)
	}
	defer conn.Close()

	if s.opts.Settings != nil {
		defer s.opts.Settings.leave()
	}
	x := &session{Stream: s, window: newWindow(s.opts.MaxFrames, s.opts.MaxBytes), encoder: NewEncoder(), refusals: map[string]uint64{}}
	if err := x.handshake(ctx, life, end, conn); err != nil {
		return false, err
	}
	s.reachable(x.next)
	x.reader = s.opts.Spool.NewReader()
	defer x.reader.Close()

	received := make(chan error, 1)
	acked := s.opts.Spool.Stats().Acked
	go func() {
		received <- x.receive()
		end()
	}()
	work, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(life, stop)()

	err = x.send(work, ^uint64(0))
	switch {
	case errors.Is(err, errAgain):
		err = errors.Join(err, x.finish(life, end, nil))
	case ctx.Err() != nil && life.Err() == nil:
		err = x.drain(life, end)
	}
	end()
	if broken := <-received; !errors.Is(err, errAgain) && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, io.EOF)) {
		err = broken // which says why
	}
	return s.opts.Spool.Stats().Acked > acked, err
}

// handshake says hello and learns where to begin.
func (x *session) handshake(ctx, life context.Context, end func(), conn *grpc.ClientConn) error {
	defer context.AfterFunc(ctx, end)()
	late := time.AfterFunc(handshakeTimeout, end)
	w, err := x.greet(life, conn)
	if !late.Stop() && err != nil {
		return fmt.Errorf("no answer to hello within %s: %w", handshakeTimeout, err)
	}
	if err != nil {
		return err
	}
	x.next = max(w.GetResumeFrom(), 1)
	x.window.last = x.next - 1
	x.limit = int(w.GetLimits().GetFrameBytes())
	if err := x.heed(w.GetSettings()); err != nil {
		return err
	}
	next := x.opts.Spool.NextSeq()
	if x.next <= next {
		return nil
	}
	x.opts.Log.Warn("the collector knows more batches of this spool than it holds: a copy of it was put back, or the machine crashed; starting a new identity",
		"collector_wants", x.next, "next", next)
	if err := x.opts.Spool.Renew(); err != nil {
		return err
	}
	return errAgain
}

func (x *session) greet(life context.Context, conn *grpc.ClientConn) (w *plimsollv1.Welcome, err error) {
	if x.push, err = plimsollv1.NewIngestServiceClient(conn).Push(life); err != nil {
		return nil, err
	}
	if err := x.say(x.hello()); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	resp, err := x.push.Recv()
	if err != nil {
		return nil, err
	}
	if w = resp.GetWelcome(); w == nil {
		return nil, errors.New("the collector did not answer hello with welcome")
	}
	return w, nil
}

// say sends a request. Frames, answers to settings and the last word come from
// different goroutines.
func (x *session) say(req *plimsollv1.PushRequest) error {
	x.sending.Lock()
	defer x.sending.Unlock()
	return x.push.Send(req)
}

func (x *session) hello() *plimsollv1.PushRequest {
	return &plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Hello{Hello: &plimsollv1.Hello{
		Protocol:     protocol,
		Node:         x.opts.Node,
		SpoolId:      x.opts.Spool.ID(),
		BootId:       x.opts.BootID,
		WallClockMs:  time.Now().UnixMilli(),
		AgentVersion: x.opts.Version,
		OldestSeq:    x.opts.Spool.Oldest(),
		NextSeq:      x.opts.Spool.NextSeq(),
		IntervalMs:   x.intervalMs(),
		RoundTicks:   x.opts.Round,
	}}}
}

// intervalMs is the agent's tick as it is in force.
func (x *session) intervalMs() uint32 {
	interval := x.opts.Interval
	if x.opts.Settings != nil {
		interval *= time.Duration(x.opts.Settings.InForce().Slowdown)
	}
	return uint32(interval.Milliseconds())
}

// heed applies what the collector wants, nothing if w is nil, and tells it what
// has become of that. The answer does not wait for the next frame: a collector
// that did not know of a slower tick would give the agent up.
func (x *session) heed(w *plimsollv1.Settings) error {
	if x.opts.Settings == nil {
		return nil
	}
	before := x.opts.Settings.InForce()
	refused := x.opts.Settings.apply(w)
	now := x.opts.Settings.InForce()
	if now.Slowdown != before.Slowdown {
		x.opts.Log.Info("the collector has this node tick at another pace", "intervals", now.Slowdown, "before", before.Slowdown)
	}
	if len(refused) > 0 {
		x.opts.Log.Warn("the collector wants settings that this agent refuses", "refused", refused)
	}
	if w == nil {
		return nil
	}
	return x.say(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Applied{Applied: &plimsollv1.Applied{
		Version: w.GetVersion(), IntervalMs: x.intervalMs(), Refused: refused,
	}}})
}

// send sends frames up to, but not including, the one numbered until.
func (x *session) send(ctx context.Context, until uint64) error {
	for x.next < until {
		if x.encoder.Worn() {
			return errAgain
		}
		// What has been encoded must be sent, so wait before.
		if err := x.window.room(ctx); err != nil {
			return err
		}
		rec, err := x.reader.Next(ctx, x.next)
		if err != nil {
			return err
		}
		if rec.Seq == x.skip {
			x.empty(rec)
		}
		req, frame, wire, err := x.packer.Pack(x.encoder.Encode(rec))
		if err != nil {
			return err
		}
		if wire > maxRequest || x.limit > 0 && frame > x.limit {
			// The encoder has moved on by then: begin anew, without it.
			x.opts.Log.Error("a batch is too large for the collector and is left out; raise the interval or lower the number of series",
				"seq", rec.Seq, "bytes", frame, "limit", x.limit)
			x.skip = rec.Seq
			return errAgain
		}
		x.window.add(rec.Seq, wire)
		if err := x.say(req); err != nil {
			return err
		}
		x.metrics.frames.Inc()
		x.metrics.bytes.Add(float64(wire))
		x.next = rec.Seq + 1
	}
	return nil
}

// empty leaves of a record that is too large its number and what it ends.
func (x *session) empty(rec *spool.Record) {
	lost := 0
	for _, c := range rec.Columns {
		for _, v := range c.Values {
			if !sample.IsAbsent(v) {
				lost++
			}
		}
	}
	x.metrics.refused.WithLabelValues("frame_too_large").Add(float64(lost))
	rec.Columns, rec.Events = rec.Columns[:0], rec.Events[:0]
}

// drain sends what is left when the agent ends, and says goodbye.
func (x *session) drain(life context.Context, end func()) error {
	flush, cancel := context.WithTimeout(life, x.opts.Drain)
	defer cancel()
	defer context.AfterFunc(flush, end)()
	if err := x.send(flush, x.opts.Spool.NextSeq()); err != nil && !errors.Is(err, errAgain) {
		return err
	}
	return x.finish(flush, end, &plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Goodbye{Goodbye: &plimsollv1.Goodbye{}}})
}

// finish waits until all that was sent is acknowledged and ends the stream,
// with a last word if there is one.
func (x *session) finish(life context.Context, end func(), last *plimsollv1.PushRequest) error {
	wait, cancel := context.WithTimeout(life, x.opts.Drain)
	defer cancel()
	defer context.AfterFunc(wait, end)()
	err := x.window.empty(wait)
	if last != nil {
		err = errors.Join(err, x.say(last))
	}
	if err == nil {
		x.sending.Lock()
		err = x.push.CloseSend()
		x.sending.Unlock()
	}
	<-life.Done() // when the collector has closed its side, or at the time limit
	return err
}

// receive hears acknowledgements and settings until the stream ends, and says
// why it did.
func (x *session) receive() error {
	for {
		resp, err := x.push.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the collector has closed the stream")
		}
		if err != nil {
			return err
		}
		if ack := resp.GetAck(); ack != nil {
			seq := x.window.acknowledge(ack.GetSeq())
			x.opts.Spool.Ack(seq)
			x.metrics.acked.Set(float64(seq))
			x.report(ack.GetRefused())
		}
		if w := resp.GetSettings(); w != nil {
			_ = x.heed(w) // if it cannot be said, the stream has broken
		}
	}
}

// report counts what the collector did not want, and says so once per reason
// and stream.
func (x *session) report(refusals []*plimsollv1.Refusal) {
	for _, r := range refusals {
		before, known := x.refusals[r.GetReason()]
		if !known {
			if len(x.refusals) >= 100 {
				return // reasons are few and fixed
			}
			x.opts.Log.Warn("collector refuses samples", "reason", r.GetReason(), "samples", r.GetSamples(), "example", r.GetExample())
		}
		x.refusals[r.GetReason()] = r.GetSamples()
		if r.GetSamples() > before {
			x.metrics.refused.WithLabelValues(r.GetReason()).Add(float64(r.GetSamples() - before))
		}
	}
}
