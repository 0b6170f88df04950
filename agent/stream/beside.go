package stream

import (
	"context"

	"github.com/plimsoll-io/plimsoll/agent/spool"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// beside does what goes on beside the live frames: it sends those of the past
// that the collector asks for, and tells it of another tick that some other
// collector has brought about. It returns once ctx ends, or what ends the
// stream.
func (x *session) beside(ctx context.Context) error {
	if x.opts.Settings != nil && x.revision >= 1 {
		defer x.opts.Settings.tell(x.ticks)()
	}
	var f *filler
	defer func() { f.close() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-x.ticks:
			if err := x.repace(); err != nil {
				return err
			}
		case c := <-x.credits:
			if f == nil {
				var err error
				if f, err = x.newFiller(c); err != nil {
					return err
				}
			}
			if err := f.fill(ctx, c); err != nil {
				return err
			}
		}
	}
}

// filler is the backfill lane of a stream.
type filler struct {
	*session
	reader  *spool.Reader
	encoder *Encoder
	packer  *Packer
}

func (x *session) newFiller(c *plimsollv1.Credit) (*filler, error) {
	p, err := NewPacker()
	if err != nil {
		return nil, err
	}
	if c.GetFrom() <= x.had {
		x.opts.Log.Warn("the collector asks for frames that it had acknowledged: it has lost data, which is sent again as far as it is kept",
			"target", x.opts.Target, "from", c.GetFrom(), "acknowledged", x.had)
	}
	f := &filler{session: x, reader: x.opts.Spool.NewReader(), encoder: NewEncoder(), packer: p}
	f.encoder.lane = plimsollv1.Lane_LANE_BACKFILL
	return f, nil
}

func (f *filler) close() {
	if f != nil {
		f.reader.Close()
	}
}

// fill sends all frames of a range that the spool still holds.
func (f *filler) fill(ctx context.Context, c *plimsollv1.Credit) error {
	until := min(c.GetUntil(), f.opts.Spool.NextSeq())
	for seq := c.GetFrom(); seq < until; {
		if f.encoder.Worn() {
			return errAgain
		}
		rec, err := f.reader.Next(ctx, seq)
		if err != nil {
			return err
		}
		if rec.Seq >= until {
			break
		}
		req, wire, err := f.pack(rec, f.encoder, f.packer)
		if err != nil {
			return err
		}
		if err := f.say(req); err != nil {
			return err
		}
		f.sent(rec, wire)
		f.metrics.backfilled.Inc()
		seq = rec.Seq + 1
	}
	return f.say(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Filled{Filled: &plimsollv1.Filled{Until: c.GetUntil()}}})
}
