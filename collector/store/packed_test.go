package store

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/record"
)

// late appends to each of n series one sample at second 82,000 and then, behind
// it, those of the seconds from..to-1, a commit each. No value is like another,
// so that they take space.
func late(t *testing.T, s *Store, n, from, to int) {
	t.Helper()
	chance := rand.New(rand.NewPCG(uint64(from), 0))
	for at := from - 1; at < to; at++ {
		app := s.AppenderV2(t.Context())
		ms := noon.UnixMilli() + int64(at)*1000
		if at < from {
			ms = noon.UnixMilli() + 82_000_000
		}
		for _, l := range series(n) {
			v := chance.Float64()
			if at < from {
				v = 1
			}
			if _, err := app.Append(0, l, 0, ms, v, nil, nil, storage.AOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// has fails the test unless each of n series has want samples.
func has(t *testing.T, s *Store, n, want int) {
	t.Helper()
	q, err := s.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	missing, found := 0, 0
	var it chunkenc.Iterator
	for set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m")); set.Next(); found++ {
		it = set.At().Iterator(it)
		left := want
		for it.Next() == chunkenc.ValFloat {
			left--
		}
		missing += left
	}
	if found != n || missing != 0 {
		t.Errorf("%d series, want %d; %d of %d samples are missing", found, n, missing, n*want)
	}
}

// The TSDB forgets late samples in favour of packed chunks that a kill has taken
// along.
func TestLateSamplesSurviveOneKillAfterAnother(t *testing.T) {
	const many = 5000
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	late(t, s, many, 0, 130)
	for _, sub := range []string{walDir, wblDir} {
		t.Run(sub, func(t *testing.T) {
			dir := copied(t, s.Dir())
			segments, err := numbered(filepath.Join(dir, sub))
			if err != nil {
				t.Fatal(err)
			}
			// The first kill came in the middle of a write.
			damage(t, filepath.Join(dir, sub, segments[len(segments)-1].name), func(b []byte) []byte { return append(b, 2, 1, 1) })
			again := open(t, Options{Dir: dir})
			defer mustClose(t, again)
			after := open(t, Options{Dir: copied(t, dir)})
			defer mustClose(t, after)
			has(t, after, many, 131)
		})
	}
}

func TestLateSamplesSurviveAKillWhileABlockIsMadeOfThem(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	late(t, s, 10, 0, 20)
	if _, err := tsdb.NewOOOCompactionHead(t.Context(), s.life.db.Head()); err != nil {
		t.Fatal(err)
	}
	late(t, s, 10, 30, 50)
	after := open(t, Options{Dir: copied(t, s.Dir())})
	defer mustClose(t, after)
	has(t, after, 10, 41)
}

// A series that was gone from memory and came back has two numbers in the log.
func TestLateSamplesOfASeriesThatCameBackSurviveRestarts(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	mustPut(t, s, series(10), 0, 1)
	other := []labels.Labels{labels.FromStrings("__name__", "other")}
	for minute := range 6 * 60 {
		mustPut(t, s, other, minute*60, minute*60+1)
	}
	if err := s.life.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.HeadSeries(); n != 1 {
		t.Fatalf("%d series are in memory", n)
	}
	mustPut(t, s, series(10), 80_000, 80_001)
	mustClose(t, s)

	s = open(t, Options{Dir: dir})
	late(t, s, 10, 70_000, 70_050)
	mustClose(t, s)

	s = open(t, Options{Dir: dir})
	defer mustClose(t, s)
	has(t, s, 10, 53)
}

// The log of late samples needs the number under which the series came back, and a
// checkpoint drops it (prometheus/prometheus#19744).
func TestLateSamplesOfASeriesThatCameBackSurviveAKillAfterACheckpoint(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	mustPut(t, s, series(10), 0, 1)
	other := []labels.Labels{labels.FromStrings("__name__", "other")}
	for minute := range 6 * 60 {
		mustPut(t, s, other, minute*60, minute*60+1)
	}
	if err := s.life.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, series(10), 80_000, 80_001)
	late(t, s, 10, 70_000, 70_050)
	mustPut(t, s, other, 110_000, 110_001)
	killed := ""
	kill := func() {
		if killed == "" {
			killed = copied(t, dir)
		}
	}
	for range 4 { // a checkpoint is worth it for some segments
		mustClose(t, s)
		s = open(t, Options{Dir: dir, Log: slog.New(onCheckpoint{slog.DiscardHandler, kill})})
	}
	defer mustClose(t, s)
	if err := s.life.upkeepOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if killed == "" {
		t.Fatal("there was no checkpoint")
	}
	after := open(t, Options{Dir: killed})
	defer mustClose(t, after)
	has(t, after, 10, 53)
}

// onCheckpoint calls when the TSDB says that it has made one.
type onCheckpoint struct {
	slog.Handler
	do func()
}

func (o onCheckpoint) Enabled(context.Context, slog.Level) bool { return true }

func (o onCheckpoint) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "WAL checkpoint complete" {
		o.do()
	}
	return nil
}

func (o onCheckpoint) WithAttrs([]slog.Attr) slog.Handler { return o }

func TestWhatIsPackedStaysWhereNothingCameLate(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	mustPut(t, s, series(10), 0, 1000)
	s.life.db.ForceHeadMMap()
	mustClose(t, s)
	packed := filepath.Join(dir, headChunksDir, "000001")
	before, err := os.Stat(packed)
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Dir: dir})
	defer mustClose(t, s)
	if after, err := os.Stat(packed); err != nil || !os.SameFile(before, after) {
		t.Errorf("it has been packed anew, error %v", err)
	}
	each(t, s, 10, 1000)
}

// A power cut may take the names of series and leave their late samples.
func TestLateSamplesWithoutANameAreNobodysAfterAPowerCut(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	late(t, s, 10, 81_000, 81_030)
	dir := copied(t, s.Dir())
	mustClose(t, s)
	if err := os.Truncate(filepath.Join(dir, walDir, "00000000"), 5); err != nil {
		t.Fatal(err)
	}
	if n := size(filepath.Join(dir, wblDir)); n == 0 {
		t.Fatal("nothing came late")
	}
	for range 2 { // it is the start after the numbers were given again that mistakes them
		s = open(t, Options{Dir: dir})
		mustPut(t, s, series(10), 0, 1)
		mustClose(t, s)
	}
	s = open(t, Options{Dir: dir})
	defer mustClose(t, s)
	has(t, s, 10, 1)
}

// Of a record that several series share, only what is lost goes.
func TestLateSamplesOfSeriesThatAreLostGoAlone(t *testing.T) {
	lost := numbers{2: {}}
	for _, st := range []bool{false, true} {
		e := record.Encoder{EnableSTStorage: st}
		h := &histogram.Histogram{Count: 1, Sum: 2, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{1}}
		f := h.ToFloat(nil)
		floats := []record.RefSample{{Ref: 1, T: 10, V: 1}, {Ref: 2, T: 10, V: 2}, {Ref: 3, T: 11, V: 3}}
		whole, _ := e.HistogramSamples([]record.RefHistogramSample{{Ref: 2, T: 10, H: h}, {Ref: 3, T: 12, H: h}}, nil)
		parts, _ := e.FloatHistogramSamples([]record.RefFloatHistogramSample{{Ref: 1, T: 10, FH: f}, {Ref: 2, T: 12, FH: f}}, nil)
		for _, r := range []struct {
			record []byte
			left   []chunks.HeadSeriesRef
		}{{e.Samples(floats, nil), []chunks.HeadSeriesRef{1, 3}}, {e.Samples(floats[1:2], nil), nil}, {whole, []chunks.HeadSeriesRef{3}}, {parts, []chunks.HeadSeriesRef{1}}} {
			l := newLines()
			if err := l.read(r.record); err != nil || !l.of(lost) {
				t.Fatalf("of the lost: %v, error %v", l.of(lost), err)
			}
			var left []chunks.HeadSeriesRef
			if anew := l.without(lost); anew != nil {
				if err := l.read(anew); err != nil {
					t.Fatal(err)
				}
				l.each(func(n chunks.HeadSeriesRef) { left = append(left, n) })
			}
			if !slices.Equal(left, r.left) {
				t.Errorf("%s: left are %v, want %v", l.kind, left, r.left)
			}
		}
	}
}
