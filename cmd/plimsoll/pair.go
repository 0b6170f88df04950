package main

import (
	"context"
	"errors"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/collector/identity"
	"github.com/plimsoll-io/plimsoll/collector/lease"
	"github.com/plimsoll-io/plimsoll/scaler"
)

// pairFlags say how collectors that have the same agents agree on who acts.
type pairFlags struct {
	name string
	ttl  time.Duration
}

func (f *pairFlags) add(k *kingpin.CmdClause) {
	k.Flag("pair.name", "This collector's name beside others that have the same agents: agents then choose which one scales. It is alone if empty.").
		PlaceHolder("NAME").StringVar(&f.name)
	durationVar(k, "pair.lease", "How long one that is lost is waited for before another scales; 10s at most.", &f.ttl, lease.DefaultTTL.String(), time.Second)
}

// makeLease needs the inventory, and the gRPC server.
func (p *collectorParts) makeLease() (err error) {
	if p.flags.pair.name == "" {
		return nil
	}
	p.lease, err = lease.New(lease.Options{
		Name: p.flags.pair.name, TTL: p.flags.pair.ttl, Known: p.lately, Identify: identity.Identify,
		Log: p.log.With("component", "lease"), Registerer: p.registry,
	})
	if err != nil {
		return usage(err)
	}
	p.lease.Register(p.agents)
	p.add("lease", p.lease.Run)
	return nil
}

// lately are the nodes that have been here not long ago.
func (p *collectorParts) lately(context.Context) ([]string, error) {
	if !p.inventory.Recalled() {
		return nil, errors.New("the nodes of before this start have not been read yet")
	}
	var names []string
	for _, n := range p.inventory.Nodes() {
		if n.Connected() || time.Since(n.Seen) < lease.Forget {
			names = append(names, n.Name)
		}
	}
	return names, nil
}

// mayScale is the scaler's lease.
func (p *collectorParts) mayScale() scaler.Lease {
	if p.lease == nil {
		return nil
	}
	return p.lease
}
