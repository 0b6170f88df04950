package main

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// raw is the least that can be: a TSDB with the settings of ours, its references
// kept, and a transaction for each node and round.
type raw struct {
	*fleet
	start  time.Time
	db     *tsdb.DB
	labels [][]labels.Labels // by node
	refs   [][]storage.SeriesRef
	sent   int // rounds
}

func newRaw(f *fleet, start time.Time, dir string) (*raw, error) {
	o := tsdb.DefaultOptions()
	o.WALCompression = compression.Snappy
	o.OutOfOrderTimeWindow = (24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(dir, nil, nil, o, nil)
	if err != nil {
		return nil, err
	}
	r := &raw{fleet: f, start: start, db: db}
	for _, n := range f.nodes {
		all := make([]labels.Labels, 0, n.series())
		n.each(func(_ int, g *sample.Group, s sample.Series) { all = append(all, labelsOf(n, g, s)) })
		r.labels = append(r.labels, all)
		r.refs = append(r.refs, make([]storage.SeriesRef, len(all)))
	}
	return r, nil
}

func (r *raw) send(ctx context.Context, until int) error {
	for ; r.sent < until; r.sent++ {
		at := r.at(r.start, r.sent).UnixMilli()
		for i, n := range r.fleet.nodes {
			app := r.db.AppenderV2(ctx)
			for j, v := range n.rounds[r.sent] {
				ref, err := app.Append(r.refs[i][j], r.labels[i][j], 0, at, v, nil, nil, storage.AOptions{})
				if err != nil {
					return err
				}
				r.refs[i][j] = ref
			}
			if err := app.Commit(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *raw) report() report { return report{Samples: r.sent * r.samples()} }

func (r *raw) close() error { return r.db.Close() }
