package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// progress is how far a spool's frames have come.
type progress struct {
	// committed is the last frame in the store.
	committed uint64
	// applied is the last frame that need not be asked for again. It is less
	// than committed only after an unclean stop.
	applied uint64
	// durable is the last frame on stable storage, and acknowledged.
	durable uint64
	// at is the time of the last sequence sample, in ms.
	at int64
}

// readProgress reads back what the store knows of a spool. The highest number
// counts, not the latest: the agent's clock may have been set back.
func readProgress(ctx context.Context, store Store, spoolID string, unclean bool) (progress, error) {
	var p progress
	var err error
	if p.committed, p.at, err = highest(ctx, store, seqName, spoolID); err != nil {
		return progress{}, err
	}
	p.applied, p.durable = p.committed, p.committed
	if !unclean || p.committed == 0 {
		return p, nil
	}
	// The store's two logs, of samples in and out of order, are not one
	// transaction: what was committed and not yet durable is asked for again,
	// the last frame always. The store knows most of it and drops that.
	durable, at, err := highest(ctx, store, durableName, spoolID)
	if err != nil {
		return progress{}, err
	}
	p.applied = min(durable, p.committed-1)
	p.durable = p.applied
	p.at = max(p.at, at)
	return p, nil
}

// highest returns the highest value of a spool's sequence and the time of its
// latest sample; zeros if there is none. It looks further back than recent only
// if there is nothing since.
func highest(ctx context.Context, store Store, name, spoolID string) (seq uint64, at int64, err error) {
	recent := time.Now().Add(-48 * time.Hour).UnixMilli()
	if seq, at, err = highestSince(ctx, store, recent, name, spoolID); err != nil || seq > 0 {
		return seq, at, err
	}
	return highestSince(ctx, store, math.MinInt64, name, spoolID)
}

func highestSince(ctx context.Context, store Store, from int64, name, spoolID string) (seq uint64, at int64, err error) {
	err = eachSeries(ctx, store, from, math.MaxInt64, func(_ labels.Labels, it chunkenc.Iterator) error {
		for it.Next() == chunkenc.ValFloat {
			t, v := it.At()
			at = max(at, t)
			if v >= 1 && v <= maxSeq {
				seq = max(seq, uint64(v))
			}
		}
		return nil
	}, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name),
		labels.MustNewMatcher(labels.MatchEqual, agentLabel, spoolID),
		labels.MustNewMatcher(labels.MatchEqual, laneLabel, liveLane))
	if err != nil {
		return 0, 0, fmt.Errorf("read back %s of agent %s: %w", name, spoolID, err)
	}
	return seq, at, nil
}

// maxSeq is the highest number that a sample can hold to the last digit.
const maxSeq = 1 << 53

// eachSeries calls do with each series that matches between two times, in ms.
func eachSeries(ctx context.Context, store Store, from, to int64, do func(labels.Labels, chunkenc.Iterator) error, match ...*labels.Matcher) (err error) {
	q, err := store.Querier(from, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	set := q.Select(ctx, false, &storage.SelectHints{Start: from, End: to}, match...)
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		if err := do(s.Labels(), it); err != nil {
			return err
		}
		if err := it.Err(); err != nil {
			return err
		}
	}
	return set.Err()
}

// lastSeen are the nodes whose frames came between two times, and when the last
// did.
func lastSeen(ctx context.Context, store Store, from, to time.Time) (map[string]int64, error) {
	nodes := map[string]int64{}
	err := eachSeries(ctx, store, from.UnixMilli(), to.UnixMilli(), func(ls labels.Labels, it chunkenc.Iterator) error {
		node := ls.Get(nodeLabel)
		for it.Next() == chunkenc.ValFloat {
			t, _ := it.At()
			nodes[node] = max(nodes[node], t)
		}
		return nil
	}, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, seqName))
	if err != nil {
		return nil, fmt.Errorf("read back the nodes known: %w", err)
	}
	return nodes, nil
}
