package store

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

func TestSeriesThatHaveEndedLeaveTheMemoryAndStayReadable(t *testing.T) {
	const all, ended = 60_000, 50_000
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	many := series(all)
	for n := range 3 {
		mustPut(t, s, many, n*60, n*60+1)
	}
	app := s.AppenderV2(t.Context())
	for _, l := range many[:ended] {
		if _, err := app.Append(0, l, 0, noon.UnixMilli()+180_000, math.Float64frombits(value.StaleNaN), nil, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := s.HeadSeries(); got != all {
		t.Fatalf("%d series in memory", got)
	}
	if err := s.life.upkeepOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.HeadSeries(); got != all-ended {
		t.Errorf("%d series in memory, want %d", got, all-ended)
	}
	q, err := s.Querier(0, noon.Add(179*time.Second).UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	samples := 0
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
	for set.Next() {
		for it := set.At().Iterator(nil); it.Next() != 0; samples++ {
		}
	}
	if set.Err() != nil || samples != 3*all {
		t.Errorf("%d samples, want %d, error %v", samples, 3*all, set.Err())
	}
}

func TestRetentionChangesWhileTheStoreIsOpen(t *testing.T) {
	tests := map[string]struct {
		age    time.Duration
		bytes  func(blocks, logs int64) int64
		blocks int
	}{
		"as long as before":               {0, func(_, _ int64) int64 { return 0 }, 2},
		"shorter than the blocks":         {time.Hour, func(_, _ int64) int64 { return 0 }, 1},
		"all that is there":               {0, func(blocks, logs int64) int64 { return blocks + logs + 1<<20 }, 2},
		"less, as the logs count as well": {0, func(blocks, logs int64) int64 { return blocks + logs - 1 }, 1},
		"next to nothing":                 {0, func(_, _ int64) int64 { return 1 }, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir, _ := twoBlocks(t)
			s := open(t, Options{Dir: dir})
			defer mustClose(t, s)
			mustPut(t, s, series(20), 6*3600, 6*3600+1000) // some log
			var blocks int64
			for _, b := range s.life.db.Blocks() {
				blocks += b.Size()
			}
			if err := s.SetRetention(tt.age, tt.bytes(blocks, s.life.db.Head().Size())); err != nil {
				t.Fatal(err)
			}
			if err := s.life.upkeepOnce(t.Context()); err != nil {
				t.Fatal(err)
			}
			if metas, err := s.BlockMetas(); err != nil || len(metas) != tt.blocks {
				t.Errorf("%d blocks are left, want %d, error %v", len(metas), tt.blocks, err)
			}
			if err := s.Reopen(t.Context()); err != nil { // what was set stays
				t.Fatal(err)
			}
			if metas, err := s.BlockMetas(); err != nil || len(metas) > tt.blocks { // the log has grown
				t.Errorf("opened anew: %d blocks, error %v", len(metas), err)
			}
		})
	}
}

func TestLateSamplesAreStillTakenAfterRetentionHasChanged(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	if err := s.SetRetention(48*time.Hour, 1<<30); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, series(1), 10_000, 10_001)
	mustPut(t, s, series(1), 0, 10)
	each(t, s, 1, 11)
}

func TestASnapshotIsAStoreOfItsOwn(t *testing.T) {
	for withHead, want := range map[bool]int{true: 6*60 + 1, false: 4 * 60} {
		dir, _ := twoBlocks(t)
		s := open(t, Options{Dir: dir})
		mustPut(t, s, series(20), 30, 31) // late
		copied := filepath.Join(t.TempDir(), "copy")
		if err := s.Snapshot(copied, withHead); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		s = open(t, Options{Dir: copied})
		each(t, s, 20, want)
		mustClose(t, s)
	}
}

func TestWhatIsDeletedIsGoneAndItsSpaceAsWell(t *testing.T) {
	dir, _ := twoBlocks(t)
	s := open(t, Options{Dir: dir})
	defer mustClose(t, s)
	blocks := func() (sum int64) {
		for _, b := range s.life.db.Blocks() {
			sum += b.Size()
		}
		return sum
	}
	before := blocks()
	err := s.Delete(t.Context(), 0, math.MaxInt64, labels.MustNewMatcher(labels.MatchRegexp, "n", "1.*"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CleanTombstones(); err != nil {
		t.Fatal(err)
	}
	counts := count(t, s)
	for i := range 20 {
		want := 6 * 60
		if fmt.Sprint(i)[0] == '1' {
			want = 0
		}
		if got := counts[series(20)[i].String()]; got != want {
			t.Errorf("series %d has %d samples, want %d", i, got, want)
		}
	}
	if after := blocks(); after >= before {
		t.Errorf("the blocks had %d bytes and have %d", before, after)
	}
}

func TestABlockThatIsHeldBackIsNotMergedYet(t *testing.T) {
	dir, _ := twoBlocks(t)
	var copied atomic.Bool
	s := open(t, Options{Dir: dir, HoldBack: func(*tsdb.BlockMeta) bool { return !copied.Load() }})
	defer mustClose(t, s)
	mustPut(t, s, series(20), 30, 31) // late: they become a block over another
	if err := s.life.packLate(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{3, 2} {
		if err := s.life.upkeepOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if metas, err := s.BlockMetas(); err != nil || len(metas) != want {
			t.Errorf("%d blocks, want %d, error %v", len(metas), want, err)
		}
		copied.Store(true)
	}
	each(t, s, 20, 6*60+1)
}

func TestWhatOthersKeepInTheDirectoryStaysAsItIs(t *testing.T) {
	dir, block := twoBlocks(t)
	damage(t, filepath.Join(dir, block, "index"), nothing)
	names := []string{"thanos.shipper.json", "thanos.shipper.json.tmp", "rollup/meta"}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, Options{Dir: dir})
	if err := errors.Join(s.life.upkeepOnce(t.Context()), s.Reopen(t.Context())); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	for _, name := range names {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != name {
			t.Errorf("%s: %q, error %v", name, data, err)
		}
	}
}

func TestHowLongBlocksSpan(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), RetentionTime: 20 * 24 * time.Hour})
	defer mustClose(t, s)
	if shortest, longest := s.BlockDurations(); shortest != 2*time.Hour || longest != 48*time.Hour {
		t.Errorf("%v to %v", shortest, longest)
	}
}
