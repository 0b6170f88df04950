package forward

import (
	"cmp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// series is what an endpoint makes of a series of the spool.
type series struct {
	labels  labels.Labels // as they are sent
	hash    uint64
	leftOut bool // by write_relabel_configs
	metric  Metric
	samples []sample // of the round that is being gathered
}

// Metric is what is known of a metric besides its samples. Type is as
// Prometheus spells it; all three are empty where nothing is known.
type Metric struct{ Type, Help, Unit string }

type sample struct {
	at    int64 // ms
	value float64
}

// part is some samples of one series, oldest first.
type part struct {
	*series
	samples []sample
}

// batch is what a request holds.
type batch struct {
	parts   []part
	samples int
	arrived int64 // when the oldest was appended, in ms
}

func (b *batch) add(p part) {
	b.parts = append(b.parts, p)
	b.samples += len(p.samples)
}

// halves divides a batch between two series or, if it has but one, in time.
func (b batch) halves() []batch {
	left, right := batch{arrived: b.arrived}, batch{arrived: b.arrived}
	if len(b.parts) == 1 {
		p := b.parts[0]
		n := len(p.samples) / 2
		left.add(part{p.series, p.samples[:n]})
		right.add(part{p.series, p.samples[n:]})
		return []batch{left, right}
	}
	for i, p := range b.parts {
		if i < len(b.parts)/2 {
			left.add(p)
		} else {
			right.add(p)
		}
	}
	return []batch{left, right}
}

// without takes out the samples that are older than limit, in ms, and returns
// how many those were.
func (b batch) without(limit int64) (younger batch, old int) {
	younger.arrived = b.arrived
	for _, p := range b.parts {
		n, _ := slices.BinarySearchFunc(p.samples, limit, func(s sample, limit int64) int { return cmp.Compare(s.at, limit) })
		old += n
		if n < len(p.samples) {
			younger.add(part{p.series, p.samples[n:]})
		}
	}
	return younger, old
}

// divide makes of a round's series one list of batches for each shard, none
// with more than limit samples. A series has its samples in one shard, in order.
func divide(all []*series, shards, limit int, arrived int64) [][]batch {
	lists := make([][]batch, shards)
	for _, s := range all {
		if !slices.IsSortedFunc(s.samples, byTime) { // a backlog beside live samples
			slices.SortStableFunc(s.samples, byTime)
		}
		list := &lists[s.hash%uint64(shards)]
		for rest := s.samples; len(rest) > 0; {
			if n := len(*list); n == 0 || (*list)[n-1].samples >= limit {
				*list = append(*list, batch{arrived: arrived})
			}
			last := &(*list)[len(*list)-1]
			n := min(len(rest), limit-last.samples)
			last.add(part{s, rest[:n]})
			rest = rest[n:]
		}
	}
	return lists
}

func byTime(a, b sample) int { return cmp.Compare(a.at, b.at) }
