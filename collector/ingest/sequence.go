package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// progress is what the store has of a spool's frames.
type progress struct {
	// stored are the frames whose numbers are in the store.
	stored frames
	// done are those that need not be asked for: stored, refused, or lost. The
	// last that were stored before an unclean stop are not among them.
	done frames
	// torn are the ones that may not be whole in the store. While any of them is
	// not done, nothing is said to be durable: another start must find them
	// again.
	torn frames

	lanes     [2]lane
	shift     time.Duration // was taken off the times of the last stream
	forgotten uint64        // frames in more holes than are remembered: they are not asked for
}

// lane is the sequence of what came in one lane.
type lane struct {
	name    string
	at      int64  // of its last number in the store, in ms
	last    uint64 // that number, by order of storing
	durable uint64 // the last that is on stable storage, by the same order

	seq, safe, shift *series // which the session writes
	shifted          bool    // there is something in shift that may be wrong by now
}

// register names the lane's sequences.
func (l *lane) register(node, spoolID string) {
	of := func(name string) *series { return &series{labels: sequenceLabels(name, node, spoolID, l.name)} }
	l.seq, l.safe, l.shift = of(seqName), of(durableName), of(shiftName)
}

// The lanes of progress.
const (
	live = iota
	backfill
)

// numbered is a number with its place in a lane's sequence.
type numbered struct {
	at int64
	n  uint64
}

// readProgress reads back what the store knows of a spool.
func readProgress(ctx context.Context, store Store, spoolID string, unclean bool) (progress, error) {
	p := progress{lanes: [2]lane{{name: liveLane}, {name: backfillLane}}}
	var all, torn []uint64
	shiftAt := int64(math.MinInt64)
	for i := range p.lanes {
		l := &p.lanes[i]
		list, err := sequence(ctx, store, seqName, spoolID, l.name)
		if err != nil {
			return progress{}, err
		}
		for _, s := range list {
			all = append(all, s.n)
			l.at, l.last = max(l.at, s.at), s.n
		}
		safe, err := sequence(ctx, store, durableName, spoolID, l.name)
		if err != nil {
			return progress{}, err
		}
		if len(safe) > 0 {
			l.durable = safe[len(safe)-1].n
			l.at = max(l.at, safe[len(safe)-1].at)
		}
		for _, s := range behind(list, l.durable, unclean) {
			torn = append(torn, s.n)
		}
		at, shift, err := lastShift(ctx, store, spoolID, l.name)
		if err != nil {
			return progress{}, err
		}
		if at > shiftAt {
			shiftAt, p.shift = at, shift
		}
		l.shifted = shift != 0
	}
	p.stored, p.torn = framesOf(all), framesOf(torn)
	for _, r := range p.stored {
		for _, whole := range p.torn.missing(r) {
			p.done.add(whole)
		}
	}
	p.forgotten = p.done.bound(maxRuns) // of somebody who makes holes on purpose
	return p, nil
}

// maxRuns bounds the runs in which a spool's frames are remembered.
const maxRuns = 1024

// behind is what of a lane may not be whole: all that came behind the last frame
// known to be durable and, after an unclean stop, the last always. The store's
// two logs, of samples in and out of order, are not one transaction. It knows
// most of what comes again and drops that.
func behind(list []numbered, durable uint64, unclean bool) []numbered {
	if len(list) == 0 {
		return nil
	}
	most := len(list)
	if unclean {
		most--
	}
	for _, reached := range []func(n uint64) bool{
		func(n uint64) bool { return n == durable },
		func(n uint64) bool { return n <= durable }, // its own number was not stored: all its samples were refused
	} {
		for i := len(list) - 1; i >= 0; i-- {
			if reached(list[i].n) {
				return list[min(i+1, most):]
			}
		}
	}
	return list
}

// whole tells whether all is done that an unclean stop has torn.
func (p *progress) whole() bool {
	for _, r := range p.torn {
		if p.done.first(r) != (run{}) {
			return false
		}
	}
	p.torn = nil
	return true
}

// sequence returns a lane's numbers in the order in which they were stored. It
// looks further back than recent only if there is nothing since.
func sequence(ctx context.Context, store Store, name, spoolID, lane string) (list []numbered, err error) {
	recent := time.Now().Add(-48 * time.Hour).UnixMilli()
	for _, from := range []int64{recent, math.MinInt64} {
		err = eachOf(ctx, store, from, name, spoolID, lane, func(at int64, v float64) {
			if v >= 1 && v <= maxSeq {
				list = append(list, numbered{at, uint64(v)})
			}
		})
		if err != nil || len(list) > 0 {
			break
		}
	}
	// A node that was given another name has more than one series.
	slices.SortStableFunc(list, func(a, b numbered) int { return cmp.Compare(a.at, b.at) })
	return list, err
}

// lastShift is what was taken off the times of a lane last, and when.
func lastShift(ctx context.Context, store Store, spoolID, lane string) (at int64, shift time.Duration, err error) {
	at = math.MinInt64
	err = eachOf(ctx, store, time.Now().Add(-48*time.Hour).UnixMilli(), shiftName, spoolID, lane, func(t int64, v float64) {
		if t >= at && math.Abs(v) < 1e10 {
			at, shift = t, time.Duration(math.Round(v*1000))*time.Millisecond
		}
	})
	return at, shift, err
}

// eachOf calls do with each sample of what the collector has written about a
// lane since a time.
func eachOf(ctx context.Context, store Store, from int64, name, spoolID, lane string, do func(at int64, v float64)) error {
	err := eachSeries(ctx, store, from, math.MaxInt64, func(_ labels.Labels, it chunkenc.Iterator) error {
		for it.Next() == chunkenc.ValFloat {
			do(it.At())
		}
		return nil
	}, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name),
		labels.MustNewMatcher(labels.MatchEqual, agentLabel, spoolID),
		labels.MustNewMatcher(labels.MatchEqual, laneLabel, lane))
	if err != nil {
		return fmt.Errorf("read back %s of agent %s: %w", name, spoolID, err)
	}
	return nil
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
