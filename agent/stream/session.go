package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

const (
	protocol         = 1
	revision         = 1
	handshakeTimeout = 10 * time.Second
	// clockStep is how far the wall clock may move by itself before the times
	// of this stream are no longer of one kind.
	clockStep = 500 * time.Millisecond
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
	push     grpc.BidiStreamingClient[plimsollv1.PushRequest, plimsollv1.PushResponse]
	sending  sync.Mutex // push sends one thing at a time
	id       string     // of the spool, as hello said it
	began    time.Time
	revision uint32 // in force
	had      uint64 // up to here the collector had acknowledged all before
	limit    int    // bytes of a frame

	reader  *spool.Reader
	encoder *Encoder
	window  *window
	next    uint64 // frame to send
	heard   atomic.Bool

	credits chan *plimsollv1.Credit
	ticks   chan struct{} // the agent may tick at another pace

	heeding sync.Mutex // guards what follows
	version uint64     // of the collector's last settings
	tick    uint32     // that it has been told of, in ms

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

	if s.wishes != nil {
		defer s.wishes.leave()
	}
	x := &session{
		Stream: s, window: newWindow(s.opts.MaxFrames, s.opts.MaxBytes), encoder: NewEncoder(), had: s.cursor.Acked(),
		credits: make(chan *plimsollv1.Credit, 1), ticks: make(chan struct{}, 1), refusals: map[string]uint64{},
	}
	if err := x.handshake(ctx, life, end, conn); err != nil {
		return false, err
	}
	s.reachable(x.next)
	x.reader = s.opts.Spool.NewReader()
	defer x.reader.Close()

	received := make(chan error, 1)
	go func() {
		received <- x.receive()
		end()
	}()
	work, stop := context.WithCancelCause(ctx)
	defer context.AfterFunc(life, func() { stop(nil) })()
	if s.opts.Beside != nil {
		beside := make(chan struct{})
		go func() {
			defer close(beside)
			if err := s.opts.Beside(work, conn); err != nil {
				s.opts.Log.Warn("what runs beside the stream has failed", "target", s.opts.Target, "err", err)
			}
		}()
		defer func() {
			stop(nil)
			<-beside
		}()
	}
	aside := make(chan struct{})
	go func() {
		defer close(aside)
		if err := x.beside(work); err != nil {
			stop(err)
		}
	}()

	err = x.send(work, ^uint64(0))
	stop(nil)
	<-aside
	switch {
	case errors.Is(err, errAgain) || errors.Is(context.Cause(work), errAgain):
		err = errors.Join(errAgain, x.finish(life, end, nil))
	case ctx.Err() != nil && life.Err() == nil:
		err = x.drain(life, end)
	}
	end()
	if broken := <-received; !errors.Is(err, errAgain) && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, io.EOF)) {
		err = broken // which says why
	}
	return x.heard.Load(), err
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
	x.revision = min(w.GetRevision(), revision)
	if x.revision >= 1 {
		err := x.say(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Clock{Clock: &plimsollv1.Clock{WallClockMs: time.Now().UnixMilli()}}})
		if err != nil && !errors.Is(err, io.EOF) { // what there is to read says why
			return err
		}
	}
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
	x.began = time.Now()
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
	half := time.Since(x.began) / 2
	x.metrics.offset.Set(x.began.Add(half).Sub(time.UnixMilli(w.GetWallClockMs())).Seconds())
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
	x.id, x.tick = x.opts.Spool.ID(), x.intervalMs()
	return &plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Hello{Hello: &plimsollv1.Hello{
		Protocol:     protocol,
		Node:         x.opts.Node,
		SpoolId:      x.id,
		BootId:       x.opts.BootID,
		WallClockMs:  x.began.UnixMilli(),
		AgentVersion: x.opts.Version,
		OldestSeq:    x.cursor.Oldest(),
		NextSeq:      x.opts.Spool.NextSeq(),
		IntervalMs:   x.tick,
		RoundTicks:   x.opts.Round,
		Revision:     revision,
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
	x.heeding.Lock()
	defer x.heeding.Unlock()
	before := x.opts.Settings.InForce()
	refused := x.wishes.apply(w)
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
	x.version = w.GetVersion()
	return x.pace(refused)
}

// pace tells the collector of the tick and what of its settings is not in force.
func (x *session) pace(refused []string) error {
	x.tick = x.intervalMs()
	return x.say(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Applied{Applied: &plimsollv1.Applied{
		Version: x.version, IntervalMs: x.tick, Refused: refused,
	}}})
}

// repace tells it of a tick that another collector has brought about.
func (x *session) repace() error {
	x.heeding.Lock()
	defer x.heeding.Unlock()
	if x.intervalMs() == x.tick {
		return nil
	}
	return x.pace(nil)
}

// send sends frames in the live lane up to, but not including, the one numbered
// until.
func (x *session) send(ctx context.Context, until uint64) error {
	for x.next < until {
		if x.encoder.Worn() || x.outdated() {
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
		req, wire, err := x.pack(rec, x.encoder, x.packer)
		if err != nil {
			return err
		}
		x.window.add(rec.Seq, wire)
		if err := x.say(req); err != nil {
			return err
		}
		x.sent(rec, wire)
		x.next = rec.Seq + 1
	}
	return nil
}

// outdated tells whether what hello said is no longer so: which spool this is,
// or what the clock shows.
func (x *session) outdated() bool {
	now := time.Now()
	step := now.Round(0).Sub(x.began.Round(0)) - now.Sub(x.began)
	if step.Abs() > clockStep {
		x.opts.Log.Info("the clock of this node was set; starting another stream", "by", step.Round(time.Millisecond))
		return true
	}
	return x.opts.Spool.ID() != x.id
}

// pack makes the request that carries rec, and tells its size on the wire.
func (x *session) pack(rec *spool.Record, e *Encoder, p *Packer) (*plimsollv1.PushRequest, int, error) {
	if rec.Seq == x.skip.Load() {
		x.empty(rec)
	}
	f := e.Encode(rec)
	req, frame, wire, err := p.Pack(f)
	if err != nil {
		return nil, 0, err
	}
	if wire > maxRequest || x.limit > 0 && frame > x.limit {
		// The encoder has moved on by then: begin anew, without it.
		x.opts.Log.Error("a batch is too large for the collector and is left out; raise the interval or lower the number of series",
			"seq", rec.Seq, "bytes", frame, "limit", x.limit)
		x.skip.Store(rec.Seq)
		return nil, 0, errAgain
	}
	return req, wire, nil
}

func (x *session) sent(rec *spool.Record, wire int) {
	x.metrics.frames.Inc()
	x.metrics.bytes.Add(float64(wire))
	if rec.Seq <= x.had {
		x.metrics.healed.Inc()
		x.resent.Add(1)
	}
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
			x.acknowledged(ack)
		}
		if w := resp.GetSettings(); w != nil {
			_ = x.heed(w) // if it cannot be said, the stream has broken
		}
		if c := resp.GetCredit(); c != nil {
			select {
			case x.credits <- c:
			default:
				return errors.New("the collector asks for frames of the past before it has those that it asked for")
			}
		}
	}
}

func (x *session) acknowledged(ack *plimsollv1.Ack) {
	x.heard.Store(true)
	live := ack.GetSeq()
	if x.revision >= 1 {
		live = max(live, ack.GetLiveSeq())
	}
	seq := min(ack.GetSeq(), x.window.acknowledge(live))
	x.cursor.Ack(seq)
	x.metrics.acked.Set(float64(seq))
	x.report(ack.GetRefused())
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
