package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/collector/identity"
	"github.com/plimsoll-io/plimsoll/collector/lease"
	"github.com/plimsoll-io/plimsoll/collector/pair"
	"github.com/plimsoll-io/plimsoll/internal/door"
	"github.com/plimsoll-io/plimsoll/scaler"
)

// pairFlags say how collectors that have the same agents agree on who acts.
type pairFlags struct {
	name   string
	ttl    time.Duration
	peer   string // the other's gRPC server
	secret string // file
}

func (f *pairFlags) add(k *kingpin.CmdClause) {
	k.Flag("pair.name", "This collector's name beside others that have the same agents: agents then choose which one scales. It is alone if empty.").
		PlaceHolder("NAME").StringVar(&f.name)
	k.Flag("pair.peer", "Address of the other collector's gRPC server: silences are then shared with it, and each alert is told once. Both tell if empty.").
		PlaceHolder("HOST:PORT").StringVar(&f.peer)
	k.Flag("pair.secret-file", "File with a secret that both collectors of a pair have, 16 bytes or more. Needed with --pair.peer, unless it is this machine.").
		PlaceHolder("FILE").StringVar(&f.secret)
	durationVar(k, "pair.lease", "How long one that is lost is waited for before another scales; 10s at most.", &f.ttl, lease.DefaultTTL.String(), time.Second)
}

// talks tells whether this collector talks with another.
func (f *pairFlags) talks() bool { return f.peer != "" }

// makePair makes the line between the collectors of a pair. It needs alerting,
// whose silences and notification log go through it, and the gRPC server.
func (p *collectorParts) makePair() (err error) {
	f := p.flags.pair
	if !f.talks() {
		return nil
	}
	var secret []byte
	if f.secret != "" {
		if secret, err = os.ReadFile(f.secret); err != nil {
			return usage(fmt.Errorf("read the secret of the pair: %w", err))
		}
		secret = bytes.TrimSpace(secret)
	}
	if len(secret) == 0 && !(door.Loopback(f.peer) && door.Loopback(p.flags.grpc)) {
		return usage(errors.New("--pair.peer needs --pair.secret-file unless both collectors are on this machine; put the same file on both, made by: openssl rand -hex 32"))
	}
	proven := p.flags.identity.proven(f.peer)
	if !proven && !door.Loopback(f.peer) {
		return usage(fmt.Errorf("--pair.peer=%s is another machine, and --grpc.tls=off: without TLS whoever is on the way could silence alerts; give --grpc.tls=auto to both", f.peer))
	}
	p.pair, err = pair.New(pair.Options{
		Name: f.name, Peer: f.peer, Secret: secret, TLS: proven,
		Bind: identity.Bind, Admitted: identity.Admit,
		Talk: p.talk,
		Log:  p.log.With("component", "pair"), Registerer: p.registry,
	})
	if err != nil {
		return usage(err)
	}
	p.pair.Register(p.agents)
	p.add("pair", func(ctx context.Context) error {
		// What alerting still tells while it ends, the other hears of, or it would tell
		// that too.
		err := p.pair.Run(p.telling)
		<-ctx.Done()
		return err
	})
	return nil
}

// alertingPair is what alerting is told of the other collector, nil if there is
// none. It needs the lease.
func (p *collectorParts) alertingPair() (*alerting.PairOptions, error) {
	f := p.flags.pair
	switch {
	case !f.talks():
		return nil, nil
	case f.name == "":
		return nil, usage(errors.New("--pair.peer needs --pair.name, by which the two are told apart"))
	}
	return &alerting.PairOptions{Name: f.name, Leads: func() bool {
		_, held := p.lease.Held()
		return held
	}}, nil
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
