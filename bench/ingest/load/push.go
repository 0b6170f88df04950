package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	"github.com/plimsoll-io/plimsoll/agent/stream"
)

// pusher is as many of our agents as there are nodes, without their sources.
type pusher struct {
	*fleet
	traffic
	start  time.Time
	spools []*spool.Spool
	sent   int // rounds

	loops *errgroup.Group
	end   context.CancelFunc
}

func newPusher(f *fleet, start time.Time, to, dir string) (*pusher, error) {
	ctx, end := context.WithCancel(context.Background())
	p := &pusher{fleet: f, start: start, end: end}
	p.loops, ctx = errgroup.WithContext(ctx)
	for _, n := range f.nodes {
		if err := p.agent(ctx, n, to, dir); err != nil {
			return nil, fmt.Errorf("agent of %s: %w", n.name, err)
		}
	}
	return p, nil
}

func (p *pusher) agent(ctx context.Context, n *node, to, dir string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	sp, err := spool.Open(spool.Options{Dir: filepath.Join(dir, n.name), Log: log})
	if err != nil {
		return err
	}
	p.spools = append(p.spools, sp)
	s, err := stream.New(stream.Options{
		Spool: sp, Target: to, Node: n.name, Interval: p.interval, Log: log,
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(p.dial)},
	})
	if err != nil {
		return err
	}
	p.loops.Go(func() error { return sp.Run(ctx) })
	p.loops.Go(func() error { return s.Run(ctx) })
	return nil
}

func (p *pusher) send(_ context.Context, until int) error {
	var b sample.Batch
	for ; p.sent < until; p.sent++ {
		for i, n := range p.nodes {
			b.Reset(uint64(p.sent), p.at(p.start, p.sent))
			values := n.rounds[p.sent]
			for _, g := range n.groups {
				values = values[copy(b.Add(g), values):]
			}
			if err := p.spools[i].Append(&b); err != nil {
				return err
			}
		}
	}
	for _, sp := range p.spools {
		for deadline := time.Now().Add(5 * time.Minute); ; <-time.After(5 * time.Millisecond) {
			st := sp.Stats()
			if st.Dropped.Batches+st.Failed.Batches > 0 {
				return fmt.Errorf("the spool has lost batches: %+v", st)
			}
			if st.Acked == st.Next-1 {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("nothing is acknowledged any more: %+v", st)
			}
		}
	}
	return nil
}

func (p *pusher) report() report {
	return report{Samples: p.sent * p.samples(), Sent: p.out.Load(), Answered: p.in.Load()}
}

func (p *pusher) close() error {
	p.end()
	err := p.loops.Wait()
	for _, sp := range p.spools {
		if e := sp.Close(); err == nil {
			err = e
		}
	}
	return err
}
