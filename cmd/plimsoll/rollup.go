package main

import (
	"path/filepath"

	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/rollup"
)

// rollupDir is where rollups lie below --data.path.
const rollupDir = "rollup"

// makeRollups opens the second store, which long queries of people read.
func (p *collectorParts) makeRollups() error {
	if p.flags.rollupTime == 0 {
		return nil
	}
	var err error
	p.rollups, err = rollup.Open(rollup.Options{
		Dir: filepath.Join(p.flags.data, rollupDir), Raw: p.store,
		Retention: p.flags.rollupTime, RetentionBytes: int64(p.flags.rollupBytes),
		Hold: p.store.Refuse, Types: p.types,
		Log: p.log.With("component", "rollup"), Registerer: p.registry,
	})
	if err != nil {
		return err
	}
	p.opened = append(p.opened, p.rollups)
	p.add("rollup", p.rollups.Run)
	return nil
}

// types are those of the metrics that agents have told about, by name.
func (p *collectorParts) types() map[string]string {
	types := map[string]string{}
	for _, m := range p.ingest.Metadata() {
		types[m.Name] = m.Type
	}
	return types
}

// history is what people query: both stores, if there are two. Rules and the
// scaler read the first alone, where what they need always is.
func (p *collectorParts) history() storage.SampleAndChunkQueryable {
	if p.rollups == nil {
		return p.store
	}
	return p.rollups
}
