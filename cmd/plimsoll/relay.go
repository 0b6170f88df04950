package main

import (
	"context"
	"errors"

	"github.com/plimsoll-io/plimsoll/collector/relay"
)

// makeRelay binds the address of agents that are passed on, if there is one.
func (p *collectorParts) makeRelay(ctx context.Context) error {
	if p.flags.relay == "" && p.flags.relayUpstream == "" {
		return nil
	}
	if p.flags.relay == "" || p.flags.relayUpstream == "" {
		return usage(errors.New("--grpc.relay.listen-address and --grpc.relay.upstream need each other; give both, or neither"))
	}
	passing, err := relay.Listen(ctx, relay.Options{
		Address: p.flags.relay, Upstream: p.flags.relayUpstream,
		Log: p.log.With("component", "relay"), Registerer: p.registry,
	})
	if err != nil {
		return err
	}
	p.opened = append(p.opened, passing)
	p.add("relay", passing.Run)
	return nil
}
