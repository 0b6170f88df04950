package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/plimsoll-io/plimsoll/collector/web"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/swarm"
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
	dir, log := filepath.Join(p.flags.data, "scaler"), p.log.With("component", "scaler")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	journal, err := scaler.OpenJournal(scaler.JournalOptions{Dir: filepath.Join(dir, "journal"), Log: log})
	if err != nil {
		return err
	}
	p.opened = append(p.opened, journal)
	p.scaler, err = scaler.New(scaler.Options{
		Policies: apps, Query: p.asks(p.decisions), Drivers: map[string]driver.Driver{"swarm": p.platform},
		StateFile: filepath.Join(dir, "state.json"), Journal: journal,
		Ceiling: p.flags.ceiling, Lease: p.mayScale(),
		Log: log, Registerer: p.registry,
	})
	if err != nil {
		return err
	}
	p.add("scaler", p.scaler.Run)
	return nil
}

// loadPolicies reads the policies; none without their file.
func (p *collectorParts) loadPolicies() ([]policy.App, error) {
	if p.flags.policies == "" {
		return nil, nil
	}
	apps, problems := loadPolicies(p.flags.policies, p.flags.ceiling)
	return apps, problems.Err()
}

func (p *collectorParts) reloadPolicies() error {
	if p.flags.policies == "" {
		return nil
	}
	apps, err := p.loadPolicies()
	if err != nil {
		return err
	}
	return p.scaler.Reload(apps)
}

// decided is the last tick of each policy, for the page.
func (p *collectorParts) decided() []web.Decision {
	var list []web.Decision
	for _, s := range p.scaler.Policies() {
		d := web.Decision{Policy: s.Policy.Name, Mode: string(s.Policy.Mode)}
		if e := s.Last; e != nil {
			d.At, d.From, d.To, d.Why = e.At(), strconv.Itoa(e.Decision.From), strconv.Itoa(e.Decision.To), e.Decision.Why
		}
		list = append(list, d)
	}
	return list
}
