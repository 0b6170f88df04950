package store

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// readBlock runs queries of several kinds over a block and returns the first
// error.
func readBlock(t *testing.T, dir string) error {
	t.Helper()
	b, err := tsdb.OpenBlock(nil, dir, nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	q, err := tsdb.NewBlockQuerier(b, b.MinTime(), b.MaxTime())
	if err != nil {
		return err
	}
	defer func() { _ = q.Close() }()
	for _, m := range []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"),
		labels.MustNewMatcher(labels.MatchEqual, "n", "7"),
		labels.MustNewMatcher(labels.MatchRegexp, "n", "1.*"),
		labels.MustNewMatcher(labels.MatchNotEqual, "n", "3"),
	} {
		set := q.Select(t.Context(), true, nil, m)
		for set.Next() {
			it := set.At().Iterator(nil)
			for it.Next() != chunkenc.ValNone {
			}
			if it.Err() != nil {
				return it.Err()
			}
		}
		if set.Err() != nil {
			return set.Err()
		}
	}
	_, _, err = q.LabelValues(t.Context(), "n", nil)
	return err
}
