package main

import (
	"context"
	"errors"

	"github.com/plimsoll-io/plimsoll/collector/relay"
)

// makeRelay binds the address of agents that are passed on, if there is one.
func (p *collectorParts) makeRelay(ctx context.Context) (err error) {
	if p.flags.relay == "" && p.flags.relayUpstream == "" {
		return nil
	}
	if p.flags.relay == "" || p.flags.relayUpstream == "" {
		return usage(errors.New("--grpc.relay.listen-address and --grpc.relay.upstream need each other"))
	}
	p.relay, err = relay.Listen(ctx, relay.Options{
		Address: p.flags.relay, Upstream: p.flags.relayUpstream,
		Log: p.log.With("component", "relay"), Registerer: p.registry,
	})
	return err
}

// passOn passes agents on until ctx ends.
func (p *collectorParts) passOn(ctx context.Context) error {
	if p.relay == nil {
		<-ctx.Done()
		return nil
	}
	return p.relay.Run(ctx)
}
