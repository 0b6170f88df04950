package main

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/plimsoll-io/plimsoll/collector/pair"
	"github.com/plimsoll-io/plimsoll/scaler"
)

// forked is a line between two collectors that alerting and the scaler share. Each
// payload says whose it is by how it begins. Alerting does the reading; what is the
// scaler's it is not shown.
//
//	tube ─┬─ {"leads":…  alerting
//	      └─ {"acts":…   actTube ── scaler
type forked struct {
	pair.Tube
	ctx     context.Context // of the conversation
	sending sync.Mutex
	acts    chan []byte
}

func fork(ctx context.Context, tube pair.Tube) *forked {
	return &forked{Tube: tube, ctx: ctx, acts: make(chan []byte, 16)}
}

// Send is for both.
func (f *forked) Send(payload []byte) error {
	f.sending.Lock()
	defer f.sending.Unlock()
	return f.Tube.Send(payload)
}

// Recv is for alerting.
func (f *forked) Recv() ([]byte, error) {
	for {
		payload, err := f.Tube.Recv()
		if err != nil || !bytes.HasPrefix(payload, []byte(scaler.TalkPrefix)) {
			return payload, err
		}
		select {
		case f.acts <- payload:
		case <-f.ctx.Done():
			return nil, f.ctx.Err()
		}
	}
}

// actTube is the scaler's end.
type actTube struct{ *forked }

// Recv returns what is the scaler's.
func (t actTube) Recv() ([]byte, error) {
	select {
	case payload := <-t.acts:
		return payload, nil
	case <-t.ctx.Done():
		return nil, io.EOF
	}
}

// talk has alerting and the scaler talk with the other collector, until either has
// ended.
func (p *collectorParts) talk(ctx context.Context, peer string, tube pair.Tube) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := fork(ctx, tube)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() {
		defer cancel()
		_ = p.scaler.Talk(ctx, peer, actTube{f}) // what ends it ends alerting's as well, which tells
	})
	return p.alerting.Talk(ctx, peer, f)
}
