package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/collector/ship"
)

// storeDir is where samples lie below --data.path.
const storeDir = "tsdb"

// nameItself completes what tells this collector from others.
func (p *collectorParts) nameItself() error {
	if p.flags.replica != "" {
		return nil
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("no host name; give the collector a name with --replica.name: %w", err)
	}
	p.flags.replica = name
	return nil
}

// externalLabels are what samples get that leave this collector.
func (p *collectorParts) externalLabels() map[string]string {
	return map[string]string{ship.LabelCluster: p.flags.cluster, ship.LabelReplica: p.flags.replica}
}

// makeShipper makes what copies blocks into a bucket, if a file names one. It
// comes before the store, which asks it what may be merged.
func (p *collectorParts) makeShipper(ctx context.Context) error {
	if p.flags.bucket == "" {
		return nil
	}
	if p.flags.delayCompact != "" {
		return usage(fmt.Errorf("--objstore.config-file and --storage.tsdb.delay-compact-file.path: " +
			"either the collector copies its blocks or a sidecar does, leave one of them out"))
	}
	bucket, err := ship.OpenBucket(ctx, p.flags.bucket)
	if err != nil {
		return usage(fmt.Errorf("--objstore.config-file: %w", err))
	}
	p.opened = append(p.opened, bucket)
	p.shipper, err = ship.New(ship.Options{
		Dir: filepath.Join(p.flags.data, storeDir), Bucket: bucket, ExternalLabels: p.externalLabels(),
		Log: p.log.With("component", "ship"), Registerer: p.registry,
	})
	if err != nil {
		return err
	}
	p.add("ship", p.shipper.Run)
	return nil
}

// holdBack says which blocks must not be merged yet, or is nil.
func (p *collectorParts) holdBack() tsdb.BlockExcludeFilterFunc {
	switch {
	case p.shipper != nil:
		return p.shipper.HoldBack
	case p.flags.delayCompact != "":
		return ship.HoldBack(p.flags.delayCompact)
	}
	return nil
}
