package main

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/common/version"

	"github.com/plimsoll-io/plimsoll/collector/forward"
	"github.com/plimsoll-io/plimsoll/collector/ingest"
)

// makeForward makes what sends samples on, if a file says where to.
func (p *collectorParts) makeForward() error {
	if p.flags.forward == "" {
		return nil
	}
	cfg, problems := forward.LoadFile(p.flags.forward)
	if len(problems) > 0 {
		return problems
	}
	known := &described{list: func() []ingest.Metric { return p.ingest.Metadata() }}
	var err error
	p.forward, err = forward.Open(forward.Options{
		Dir: filepath.Join(p.flags.data, "forward"), MaxBytes: int64(p.flags.forwardBytes), MaxAge: p.flags.forwardAge,
		Keep:     ingest.Durability(p.flags.durability) == ingest.Replica,
		Metadata: known.of, Version: version.Version, Log: p.log.With("component", "forward"), Registerer: p.registry,
	}, cfg)
	if err != nil {
		return err
	}
	p.opened = append(p.opened, p.forward)
	p.add("forward", p.forward.Run)
	return nil
}

// tap is what ingest shows its samples to, or nil.
func (p *collectorParts) tap() ingest.Tap {
	if p.forward == nil {
		return nil
	}
	return p.forward
}

// replicated waits until others have what was stored; nil if there are none.
func (p *collectorParts) replicated() func(context.Context) error {
	if p.forward == nil {
		return nil
	}
	return p.forward.Replicated
}

func (p *collectorParts) reloadForward() error {
	if p.forward == nil {
		return nil
	}
	cfg, problems := forward.LoadFile(p.flags.forward)
	if len(problems) > 0 {
		return problems
	}
	return p.forward.Reload(cfg)
}

// described answers what is known of a metric from a list that is made anew
// every ten seconds at most.
type described struct {
	list func() []ingest.Metric

	mu    sync.Mutex
	known map[string]forward.Metric
	at    time.Time
}

func (d *described) of(metric string) forward.Metric {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.at) > 10*time.Second {
		d.at, d.known = now, map[string]forward.Metric{}
		for _, m := range d.list() {
			d.known[m.Name] = forward.Metric{Type: m.Type, Help: m.Help, Unit: m.Unit}
		}
	}
	return d.known[metric]
}
