package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/scaler/driver/swarm"
)

// makeInventory needs the store and the platform.
func (p *collectorParts) makeInventory() error {
	engine := p.engine("inventory")
	p.inventory = inventory.New(inventory.Options{
		Query: func(ctx context.Context, promql string, at time.Time) ([]query.Sample, error) {
			return query.Instant(ctx, engine, p.store, promql, at, 0)
		},
		Declarers: map[string]inventory.Declarer{"swarm": &declarer{platform: p.platform}},
		Log:       p.log.With("component", "inventory"), Registerer: p.registry,
	})
	p.add("inventory", p.inventory.Run)
	return nil
}

// declarer is how the inventory sees a Swarm.
type declarer struct {
	platform *swarm.Swarm
	managed  atomic.Bool // it has been one
}

// Declared takes an engine that has never managed a Swarm for one that has none:
// most collectors have no Swarm, and that is no trouble. One that did and does not
// any more cannot tell.
func (d *declarer) Declared(ctx context.Context) ([]inventory.Declared, error) {
	services, err := d.platform.Services(ctx)
	switch {
	case errors.Is(err, swarm.ErrNoManager) && !d.managed.Load():
		return nil, nil
	case err != nil:
		return nil, err
	}
	d.managed.Store(true)
	list := make([]inventory.Declared, len(services))
	for i, s := range services {
		list[i] = inventory.Declared{Name: s.Name, Desired: s.Desired, Ready: s.Ready}
	}
	return list, nil
}
