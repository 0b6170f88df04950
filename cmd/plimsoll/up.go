package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// upCommand runs everything on this machine: the parts of an agent and of a
// collector, made by the same constructors, over the same wire.
type upCommand struct {
	*cli
	collectorFlags
	agentFlags
}

func (c *cli) up() {
	cmd := &upCommand{cli: c}
	k := c.command("up", "Run everything on this machine: agent, collector, alerting and scaler.", cmd.run)
	c.configurable(k)
	cmd.collectorFlags.add(k)
	cmd.agentFlags.add(k)
}

func (c *upCommand) run(ctx context.Context) error {
	if c.swarmHost == "" {
		c.swarmHost = c.dockerHost
	}
	p, err := newCollector(ctx, c.collectorFlags, c.flagValues("up"), c.log())
	if err != nil {
		return unlessTold(ctx, err)
	}
	a, err := c.newAgent(ctx, p)
	if err != nil {
		return unlessTold(ctx, errors.Join(err, p.close()))
	}
	fmt.Fprintf(c.stdout, "Plimsoll is up: %s\n%s", p.server.URL(), p.invitation())
	collect := func(ctx context.Context) error { return p.run(ctx, c.hangup) }
	return errors.Join(runInTurn(ctx, collect, a.run), a.close(), p.close())
}

// newAgent makes the agent of this machine.
func (c *upCommand) newAgent(ctx context.Context, p *collectorParts) (*agentParts, error) {
	node, err := c.nodeName()
	if err != nil {
		return nil, err
	}
	opts := agentOptions{
		agentFlags: c.agentFlags, data: c.data, insecure: c.insecure, settings: c.settings(), registerer: p.beside, log: c.log(),
	}
	address, joins, err := p.own(ctx, node)
	if err != nil {
		return nil, err
	}
	opts.collectors, opts.joins = []string{address}, joins
	if len(opts.joins) > 0 { // what was held before is of no use to a collector on loopback
		opts.identity = identityIn(c.data)
	}
	return newAgent(opts)
}

// runInTurn runs a collector and an agent. At the end the agent goes first, so
// that its last words are heard.
func runInTurn(ctx context.Context, collector, agent func(context.Context) error) error {
	later, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	failed, stop := context.WithCancel(ctx)
	defer stop()
	return lifecycle.Run(later,
		lifecycle.Loop{Name: "collector", Run: func(ctx context.Context) error {
			defer stop()
			return collector(ctx)
		}},
		lifecycle.Loop{Name: "agent", Run: func(context.Context) error {
			defer hangUp()
			return agent(failed)
		}},
	)
}
