package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/collector/ingest"
	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/web"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/swarm"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// makePlatform makes what speaks with a Swarm, which the inventory does as well.
func (p *collectorParts) makePlatform() (err error) {
	p.platform, err = swarm.New(swarm.Options{Host: p.flags.swarmHost})
	if err != nil {
		return usage(fmt.Errorf("--scaler.swarm-host, or else --docker.host: %w", err))
	}
	p.opened = append(p.opened, p.platform)
	return nil
}

func (p *collectorParts) makeScaler() error {
	apps, err := p.loadPolicies()
	if err != nil {
		return err
	}
	if p.labelled != nil {
		apps = p.labelled.first(apps)
	}
	dir, log := filepath.Join(p.flags.data, "scaler"), p.log.With("component", "scaler")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	decisions, err := journal.Open(journal.Options{
		Dir: filepath.Join(dir, "journal"), MaxBytes: int64(p.flags.journalBytes), Program: programVersion(), Log: log,
	})
	if err != nil {
		return err
	}
	p.opened = append(p.opened, decisions)
	p.scaler, err = scaler.New(scaler.Options{
		Policies: apps, Query: p.asks(p.engine("scaler")), Drivers: map[string]driver.Driver{"swarm": p.platform},
		StateFile: filepath.Join(dir, "state.json"), HandFile: filepath.Join(dir, "hand.json"), Journal: decisions,
		Who: p.server.User, History: p.remembers(),
		Ceiling: p.flags.ceiling, Lease: p.mayScale(), Watch: p.waits(), Nodes: p.heard(),
		Log: log, Registerer: p.registry,
	})
	if err != nil {
		return err
	}
	p.add("scaler", p.scaler.Run)
	if p.labelled != nil {
		p.add("labels", p.labelled.run)
	}
	return nil
}

// makeLabelled has policies read from labels, if they are to be.
func (p *collectorParts) makeLabelled(ctx context.Context) {
	if !p.flags.labels {
		return
	}
	options := p.policyOptions()
	options.CheckQuery = queryFacts()
	p.labelled = newLabelled(p.platform.Services, func(apps []policy.App) error { return p.scaler.Reload(apps) }, options,
		p.log.With("component", "scaler"), p.registry)
	// Those of before the start go on at once.
	if err := p.labelled.look(ctx); err != nil && !errors.Is(err, swarm.ErrNoManager) {
		p.log.Warn("labels of services not read", "err", err)
	}
}

// policyOptions are what policies are checked against.
func (p *collectorParts) policyOptions() policy.Options {
	return policy.Options{Ceiling: p.flags.ceiling, Retention: max(p.flags.retentionTime, p.flags.rollupTime)}
}

// waits is who is told what policies wait for, or nil.
func (p *collectorParts) waits() func([]scaler.Watched) {
	if p.samples == nil {
		return nil
	}
	return p.samples.watch
}

// heard tells the scaler which agents are. With an upstream not all of them are
// heard here, and nobody tells.
func (p *collectorParts) heard() scaler.Nodes {
	if p.upstream != nil {
		return nil
	}
	return agentsHeard{p.ingest, p.inventory}
}

type agentsHeard struct {
	ingest    *ingest.Server
	inventory *inventory.Inventory
}

func (a agentsHeard) Lost(node string) bool {
	lost, _ := a.ingest.Away(node)
	return lost
}

func (a agentsHeard) Agents() (heard int, lost []time.Time) {
	return countAgents(a.inventory.Nodes(), a.ingest.Left)
}

// longUnheard is for how long an agent that is given up was not heard at most, if it
// is now that it was lost: a collector that begins gives up those of before, too.
const longUnheard = 10 * time.Minute

// countAgents leaves out those that have said goodbye, as a node does that is taken
// away.
func countAgents(nodes []inventory.Node, left func(node string) bool) (heard int, lost []time.Time) {
	for _, n := range nodes {
		switch {
		case n.Connected():
			heard++
		case !n.Lost.IsZero() && n.Lost.Sub(n.Seen) <= longUnheard && !left(n.Name):
			lost = append(lost, n.Lost)
		}
	}
	return heard, lost
}

// loadPolicies reads the policies of the file; none without it.
func (p *collectorParts) loadPolicies() ([]policy.App, error) {
	var apps []policy.App
	if p.flags.policies != "" {
		f, problems := readPolicies(p.flags.policies, p.policyOptions())
		if err := problems.Err(); err != nil {
			return nil, err
		}
		for _, w := range f.Warnings {
			p.log.Warn("policy file", "component", "scaler", "warning", w)
		}
		apps = f.Apps
	}
	return apps, nil
}

func (p *collectorParts) reloadPolicies() error {
	if p.flags.policies == "" {
		return nil
	}
	apps, err := p.loadPolicies()
	if err != nil {
		return err
	}
	if p.labelled != nil {
		return p.labelled.reload(apps)
	}
	return p.scaler.Reload(apps)
}

// decided is the last tick of each policy, for the page.
func (p *collectorParts) decided() []web.Decision {
	var list []web.Decision
	for _, s := range p.scaler.Policies() {
		d := web.Decision{Policy: s.Policy.Name, Mode: string(s.Policy.Mode)}
		if s.Hand != (scaler.Hand{}) {
			var said strings.Builder
			writeHand(&said, s.Hand)
			d.Mode += ", " + said.String()
		}
		if e := s.Last; e != nil {
			d.At, d.From, d.To, d.Why = e.At(), strconv.Itoa(e.Decision.From), strconv.Itoa(e.Decision.To), e.Decision.Why()
		}
		list = append(list, d)
	}
	return list
}
