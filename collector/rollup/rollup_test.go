package rollup

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// steps makes samples at a regular interval from a rule.
func steps(from, to, interval int64, value func(i int) float64) []point {
	var samples []point
	for t := from; t < to; t += interval {
		samples = append(samples, point{t: t, v: value(len(samples))})
	}
	return samples
}

// counting is a counter that begins anew now and then.
func counting(seed uint64, resets float64) func(int) float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	v := 0.0
	return func(int) float64 {
		if r.Float64() < resets {
			v = 0
		}
		v += math.Floor(r.Float64() * 40)
		return v
	}
}

// wandering is a gauge with peaks.
func wandering(seed uint64) func(int) float64 {
	r := rand.New(rand.NewPCG(seed, 2))
	v := 1000.0
	return func(int) float64 {
		v += math.Floor(r.Float64()*9) - 4 + math.Round((1000-v)/100)
		if r.Float64() < 0.002 {
			return v + 500
		}
		return v
	}
}

func TestRollupsAreTheReducedSamples(t *testing.T) {
	end := today()
	from := end - 3*slice
	raw := openRaw(t, t.TempDir())
	c := trace{named("c_total", "Host", "a"), steps(from, end+slice, 15_000, counting(1, 0.01))}
	g := trace{named("g", "n", "1"), steps(from, end+slice, 15_000, wandering(1))}
	raw.store(t, c, g)
	s, _ := rolled(t, t.TempDir(), raw, func(o *Options) { o.Types = func() map[string]string { return map[string]string{"g": "gauge"} } })

	got := contents(t, s.db, math.MinInt64, math.MaxInt64)
	if len(got) != 3 {
		t.Fatalf("%d series, want the counter, the gauge and its sums", len(got))
	}
	before := func(all []point) []point {
		for i, p := range all {
			if p.t >= end {
				return all[:i]
			}
		}
		return all
	}
	if want, got := format(before(reduced(c.samples, counter))), format(got[c.labels.String()]); got != want {
		t.Errorf("counter\n got %.300s\nwant %.300s", got, want)
	}
	if want, got := format(before(reduced(g.samples, gauge))), format(got[g.labels.String()]); got != want {
		t.Errorf("gauge\n got %.300s\nwant %.300s", got, want)
	}
	var sum, want float64
	var n int64
	for _, p := range got[labels.NewBuilder(g.labels).Set(sumLabel, sumValue).Labels().String()] {
		v, k := ofTotal(p)
		sum, n = sum+v, n+k
	}
	whole := before(g.samples)[1:] // the last window, and the first sample's, are cut by the slices
	for _, p := range whole {
		want += p.v
	}
	if n < int64(len(whole))-1 || n > int64(len(whole))+1 || math.Abs(sum-want) > 2000 {
		t.Errorf("sums are of %d samples and %v, want about %d and %v", n, sum, len(whole), want)
	}
}

func TestRollingUpAgainChangesNothing(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t, trace{named("c_total"), steps(end-2*slice, end+slice, 15_000, counting(2, 0.01))})
	dir := t.TempDir()
	s, _ := rolled(t, dir, raw, nil)
	want := contents(t, s.db, math.MinInt64, math.MaxInt64)
	blocks := len(s.db.Blocks())
	if blocks != 2 {
		t.Fatalf("%d blocks, want one for each of two slices", blocks)
	}
	again, reg := rolled(t, dir, raw, nil)
	if n := len(again.db.Blocks()); n != blocks {
		t.Errorf("%d blocks after another run, want %d", n, blocks)
	}
	if got := contents(t, again.db, math.MinInt64, math.MaxInt64); format(got[`{__name__="c_total"}`]) != format(want[`{__name__="c_total"}`]) {
		t.Error("the samples have changed")
	}
	if got := testutil.ToFloat64(again.metrics.in); got != 0 {
		t.Errorf("%v samples were read again", got)
	}
	const watermark = "plimsoll_rollup_watermark_timestamp_seconds"
	if n, err := testutil.GatherAndCount(reg, watermark, "plimsoll_rollup_lag_seconds", "plimsoll_rollup_bytes"); err != nil || n != 3 {
		t.Errorf("%d metrics of three, %v", n, err)
	}
	if got := again.watermark(); got != end-window {
		t.Errorf("rollups stand in until %v, want %v", time.UnixMilli(got).UTC(), time.UnixMilli(end-window).UTC())
	}
	if again.lag() != 0 {
		t.Errorf("lag %v, want 0", again.lag())
	}
}

// failing is a store that breaks off in the middle of a slice.
type failing struct {
	rawDB
	after int
}

func (f failing) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := f.rawDB.Querier(mint, maxt)
	return failingQuerier{q, f.after}, err
}

type failingQuerier struct {
	storage.Querier
	after int
}

func (f failingQuerier) Select(ctx context.Context, sorted bool, h *storage.SelectHints, m ...*labels.Matcher) storage.SeriesSet {
	return &failingSet{f.Querier.Select(ctx, sorted, h, m...), f.after}
}

type failingSet struct {
	storage.SeriesSet
	left int
}

func (f *failingSet) Next() bool { f.left--; return f.left >= 0 && f.SeriesSet.Next() }
func (f *failingSet) Err() error {
	if f.left < 0 {
		return errors.New("broken off")
	}
	return f.SeriesSet.Err()
}

func TestASliceThatBreaksOffLeavesNothing(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t,
		trace{named("a_total"), steps(end-slice, end+slice, 15_000, counting(1, 0))},
		trace{named("b_total"), steps(end-slice, end+slice, 15_000, counting(2, 0))})
	dir := t.TempDir()
	s, _ := open(t, dir, failing{raw, 1}, nil)
	if err := s.catchUp(t.Context()); err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Errorf("error %v, want that it broke off", err)
	}
	shut(t, s)
	left, err := filepath.Glob(filepath.Join(dir, "0*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	s, _ = rolled(t, dir, raw, nil)
	if got := contents(t, s.db, math.MinInt64, math.MaxInt64); len(got) != 2 {
		t.Errorf("%d series afterwards, want 2", len(got))
	}
}

var errFull = errors.New("the disk is filling")

// disk is full now and then.
type disk struct{ full atomic.Bool }

func (d *disk) refuse() error {
	if d.full.Load() {
		return errFull
	}
	return nil
}

func TestNothingIsWrittenWhileItIsHeld(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t, trace{named("a_total"), steps(end-slice, end+slice, 15_000, counting(1, 0))})
	var d disk
	d.full.Store(true)
	s, _ := open(t, t.TempDir(), raw, func(o *Options) { o.Hold = d.refuse })
	defer func() { shut(t, s) }()
	if err := s.catchUp(t.Context()); !errors.Is(err, errFull) {
		t.Errorf("error %v, want %v", err, errFull)
	}
	if got := testutil.ToFloat64(s.metrics.in); got != 0 {
		t.Errorf("%v samples were read", got)
	}
	d.full.Store(false)
	if err := s.catchUp(t.Context()); err != nil || testutil.ToFloat64(s.metrics.out) == 0 {
		t.Errorf("afterwards nothing is rolled up either: %v", err)
	}
}

func TestWhatIsDeletedIsGoneWithItsSums(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t,
		trace{named("secret"), steps(end-slice, end+slice, 15_000, wandering(1))},
		trace{named("other"), steps(end-slice, end+slice, 15_000, wandering(1))})
	s, _ := rolled(t, t.TempDir(), raw, nil)
	if err := s.Delete(t.Context(), math.MinInt64, math.MaxInt64, labels.MustNewMatcher(labels.MatchEqual, "__name__", "secret")); err != nil {
		t.Fatal(err)
	}
	if err := s.CleanTombstones(); err != nil {
		t.Fatal(err)
	}
	for name := range contents(t, s.db, math.MinInt64, math.MaxInt64) {
		if strings.Contains(name, "secret") {
			t.Errorf("%s is still there", name)
		}
	}
}

// A killed process leaves a directory that the next start must not take for a
// block.
func TestWhatAKilledProcessWasWritingIsForgotten(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t, trace{named("a_total"), steps(end-slice, end+slice, 15_000, counting(1, 0))})
	dir := t.TempDir()
	b, err := newBlock(dir, end-slice, end)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.add(named("half"), []point{{t: end - 1}}); err != nil {
		t.Fatal(err)
	}
	if err := b.spill.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ := rolled(t, dir, raw, nil)
	if got := contents(t, s.db, math.MinInt64, math.MaxInt64); len(got) != 1 {
		t.Errorf("%d series, want one", len(got))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+tmpSuffix)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestADamagedBlockIsMadeAnew(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t, trace{named("a_total"), steps(end-3*slice, end+slice, 15_000, counting(1, 0))})
	dir := t.TempDir()
	s, _ := rolled(t, dir, raw, nil)
	want := format(contents(t, s.db, math.MinInt64, math.MaxInt64)[`{__name__="a_total"}`])
	victim := s.db.Blocks()[1].Dir()
	other := t.TempDir()
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(other, filepath.Base(victim), "index"), 100); err != nil {
		t.Fatal(err)
	}

	broken, _ := open(t, other, raw, nil)
	if broken.lost != 1 {
		t.Errorf("%d lost blocks, want 1", broken.lost)
	}
	if got := broken.watermark(); got != end-2*slice-window {
		t.Errorf("rollups stand in until %v, beyond the hole", time.UnixMilli(got).UTC())
	}
	shut(t, broken)
	healed, _ := rolled(t, other, raw, nil)
	if got := format(contents(t, healed.db, math.MinInt64, math.MaxInt64)[`{__name__="a_total"}`]); got != want {
		t.Error("what was made anew differs")
	}
	if _, err := os.Stat(filepath.Join(other, quarantine, filepath.Base(victim))); err != nil {
		t.Errorf("the damaged block was not kept: %v", err)
	}
}

func TestLateSamplesAreRolledUpToo(t *testing.T) {
	now := time.Now().UnixMilli()
	raw := openRaw(t, t.TempDir())
	// The node was away for the 23 hours before the last, and delivers them late.
	late := steps(now-ms(23*time.Hour), now-ms(time.Hour), 15_000, counting(1, 0.01))
	raw.store(t, trace{named("a_total"), steps(now-ms(time.Hour), now, 15_000, func(int) float64 { return 1e9 })})
	app := raw.AppenderV2(t.Context())
	for _, p := range late {
		if _, err := app.Append(0, named("a_total"), 0, p.t, p.v, nil, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := raw.CompactOOOHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, t.TempDir(), raw, nil)
	defer func() { shut(t, s) }()
	first := floor(late[0].t, slice)
	if lacking, err := s.todo(time.UnixMilli(now)); err != nil || len(lacking) > 0 {
		t.Errorf("%d slices are taken to be complete while samples may come, %v", len(lacking), err)
	}
	tomorrow := time.UnixMilli(now + ms(25*time.Hour))
	lacking, err := s.todo(tomorrow)
	if err != nil || len(lacking) < 3 || lacking[0] != first {
		t.Fatalf("slices %v, %v; want all from %d on", lacking, err, first)
	}
	want := 0
	for _, p := range late {
		if p.t < s.due(tomorrow) {
			want++
		}
	}
	for _, from := range lacking {
		if err := s.rollSlice(t.Context(), from); err != nil {
			t.Fatal(err)
		}
	}
	if got := testutil.ToFloat64(s.metrics.in); got < float64(want) || want < 3000 {
		t.Errorf("%v samples were read of the %d that came late and are due", got, want)
	}
}

func TestATimeWithoutSamplesIsPassed(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	c := counting(1, 0)
	raw.store(t, trace{named("a_total"), append(steps(end-8*slice, end-7*slice, 15_000, c), steps(end-slice, end+slice, 15_000, c)...)})
	s, _ := rolled(t, t.TempDir(), raw, nil)
	if n := len(s.db.Blocks()); n > 3 {
		t.Errorf("%d blocks, want none for the time without samples", n)
	}
	if got := s.watermark(); got != end-window {
		t.Errorf("rollups stand in until %v, want %v", time.UnixMilli(got).UTC(), time.UnixMilli(end-window).UTC())
	}
}

// In virtual time: what becomes due while it runs is rolled up and seen.
func TestRunKeepsUp(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		raw := openRaw(t, dirs[0])
		now := time.Now().UnixMilli()
		raw.store(t, trace{named("a_total"), steps(now-ms(50*time.Hour), now, 15_000, counting(1, 0))})
		s, _ := open(t, dirs[1], raw, func(o *Options) { o.Share = 0.2 })
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ran; err != nil {
				t.Error(err)
			}
			shut(t, s)
		}()
		<-time.After(10 * time.Minute)
		first := s.watermark()
		if want := s.due(time.Now()) - window; first != want {
			t.Errorf("rollups stand in until %v, want %v", time.UnixMilli(first).UTC(), time.UnixMilli(want).UTC())
		}
		<-time.After(7 * time.Hour)
		if got := s.watermark(); got < first+slice {
			t.Errorf("seven hours later they still end at %v", time.UnixMilli(got).UTC())
		}
	})
}

func TestPaceRestsAsLongAsItsShareSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		p := newPace(0.25, d.refuse)
		began := time.Now()
		for range 10 {
			<-time.After(30 * time.Millisecond) // the work
			if err := p.rest(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 1200*time.Millisecond {
			t.Errorf("300 ms of work took %v, want 1.2 s at a quarter of the time", took)
		}
		if p.worked() != 300*time.Millisecond {
			t.Errorf("worked %v, want 300 ms", p.worked())
		}
		d.full.Store(true)
		<-time.After(30 * time.Millisecond)
		if err := p.rest(t.Context()); !errors.Is(err, errFull) {
			t.Errorf("error %v in the middle of work, want %v", err, errFull)
		}
	})
}

func TestRollupsAreCompactedIntoLargerBlocks(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t, trace{named("a_total"), steps(end-20*slice, end+slice, 60_000, counting(1, 0.01))})
	s, _ := rolled(t, t.TempDir(), raw, nil)
	want := contents(t, s.db, math.MinInt64, math.MaxInt64)
	blocks := len(s.db.Blocks())
	if err := s.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.db.Blocks()); n > blocks/2 {
		t.Errorf("%d blocks of %d after compaction", n, blocks)
	}
	if got := contents(t, s.db, math.MinInt64, math.MaxInt64); format(got[`{__name__="a_total"}`]) != format(want[`{__name__="a_total"}`]) {
		t.Error("compaction has changed the samples")
	}
	if lacking, err := s.todo(time.Now()); err != nil || len(lacking) > 0 {
		t.Errorf("%d slices are to be rolled up again, %v", len(lacking), err)
	}
}

// A merged block says that it covers all from its begin to its end: a hole in it
// would never be filled.
func TestBlocksAroundAHoleAreNotMergedBeforeItIsFilled(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t, trace{named("a_total"), steps(end-12*slice, end+slice, 60_000, counting(1, 0.01))})
	dir := t.TempDir()
	s, _ := open(t, dir, raw, nil)
	if err := s.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s, _ = open(t, dir, raw, nil)
	want := contents(t, s.db, math.MinInt64, math.MaxInt64)
	victim := s.db.Blocks()[5].Dir()
	shut(t, s)
	if err := os.Truncate(filepath.Join(victim, "index"), 100); err != nil {
		t.Fatal(err)
	}

	s, _ = open(t, dir, raw, nil)
	blocks := len(s.db.Blocks())
	if err := s.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.db.Blocks()); n != blocks {
		t.Errorf("%d blocks of %d are left while one is to be made anew", n, blocks)
	}
	if err := s.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.db.Blocks()); n >= blocks {
		t.Errorf("%d blocks of %d are left once all are there", n, blocks)
	}
	if got := contents(t, s.db, math.MinInt64, math.MaxInt64); format(got[`{__name__="a_total"}`]) != format(want[`{__name__="a_total"}`]) {
		t.Error("what was made anew differs")
	}
	shut(t, s)
}

func TestNothingIsMergedWhileItIsHeld(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t, trace{named("a_total"), steps(end-20*slice, end+slice, 60_000, counting(1, 0.01))})
	var d disk
	s, _ := rolled(t, t.TempDir(), raw, func(o *Options) { o.Hold = d.refuse })
	blocks := len(s.db.Blocks())
	d.full.Store(true)
	if err := s.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.db.Blocks()); n != blocks {
		t.Errorf("%d blocks of %d after a compaction that was held", n, blocks)
	}
	d.full.Store(false)
	if err := s.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.db.Blocks()); n == blocks {
		t.Errorf("still %d blocks", n)
	}
}

// A sender may call a label what it likes.
func TestWhatLooksLikeSumsIsLeftOut(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t,
		trace{named("g"), steps(end-slice, end+slice, 60_000, wandering(1))},
		trace{named("g", sumLabel, sumValue), steps(end-slice, end+slice, 60_000, wandering(2))},
		trace{named("g", sumLabel, "x"), steps(end-slice, end+slice, 60_000, wandering(3))})
	s, _ := rolled(t, t.TempDir(), raw, nil)
	got := contents(t, s.db, math.MinInt64, math.MaxInt64)
	if len(got) != 2 {
		t.Errorf("%d series, want the gauge and its sums", len(got))
	}
}

func TestASnapshotOfRollupsIsAStore(t *testing.T) {
	end := today()
	raw := openRaw(t, t.TempDir())
	raw.store(t, trace{named("a_total"), steps(end-2*slice, end+slice, 60_000, counting(1, 0.01))})
	s, _ := rolled(t, t.TempDir(), raw, nil)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := s.Snapshot(dir, true); err != nil {
		t.Fatal(err)
	}
	db, err := tsdb.OpenDBReadOnly(dir, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	blocks, err := db.Blocks()
	if err != nil || len(blocks) != 2 {
		t.Errorf("%d blocks, %v; want 2", len(blocks), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	raw := openRaw(t, t.TempDir())
	for name, tt := range map[string]struct {
		opts Options
		want string
	}{
		"no directory":          {Options{Raw: raw}, "a directory and a store"},
		"nothing to read":       {Options{Dir: t.TempDir()}, "a directory and a store"},
		"more than a core":      {Options{Dir: t.TempDir(), Raw: raw, Share: 2}, "not between 0 and 1"},
		"a retention of a bit":  {Options{Dir: t.TempDir(), Raw: raw, Retention: time.Hour}, "less than two slices"},
		"a directory that isnt": {Options{Dir: "rollup_test.go", Raw: raw}, "rollup_test.go"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(tt.opts)
			if err == nil {
				shut(t, s)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}
