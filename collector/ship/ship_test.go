package ship

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/thanos-io/objstore"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestABlockIsCopiedAsItIsWithTheLabelsOfItsCollector(t *testing.T) {
	dir := t.TempDir()
	block := writeBlock(t, dir, 100, 2)
	bucket, at := folder(t)
	s := newShipper(t, dir, bucket)
	mustRound(t, s)

	copied := filepath.Join(at, filepath.Base(block))
	for _, name := range []string{"index", "chunks/000001"} {
		if diff := cmp.Diff(read(t, filepath.Join(block, name)), read(t, filepath.Join(copied, name))); diff != "" {
			t.Errorf("%s differs", name)
		}
	}
	var got struct {
		tsdb.BlockMeta
		Thanos struct {
			Version    int
			Labels     map[string]string
			Downsample struct{ Resolution *int64 }
			Source     string
			Files      []struct {
				Path string `json:"rel_path"`
				Size int64  `json:"size_bytes"`
			}
			Uploaded time.Time `json:"upload_time"`
		}
	}
	if err := json.Unmarshal(read(t, filepath.Join(copied, "meta.json")), &got); err != nil {
		t.Fatal(err)
	}
	var local tsdb.BlockMeta
	if err := json.Unmarshal(read(t, filepath.Join(block, "meta.json")), &local); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(local, got.BlockMeta); diff != "" {
		t.Errorf("what the store says of the block: -want +got:\n%s", diff)
	}
	th := got.Thanos
	if th.Version != 1 || th.Downsample.Resolution == nil || *th.Downsample.Resolution != 0 || th.Source == "" || time.Since(th.Uploaded) > time.Hour {
		t.Errorf("Thanos' section: %+v", th)
	}
	if diff := cmp.Diff(ours, th.Labels); diff != "" {
		t.Error(diff)
	}
	var names []string
	for _, f := range th.Files {
		names = append(names, f.Path)
		if info, err := os.Stat(filepath.Join(block, f.Path)); f.Path != "meta.json" && (err != nil || info.Size() != f.Size) {
			t.Errorf("%s: %d bytes said, %v, error %v", f.Path, f.Size, info.Size(), err)
		}
	}
	if diff := cmp.Diff([]string{"chunks/000001", "index", "meta.json"}, names); diff != "" {
		t.Error(diff)
	}
	exactly(t, at, 2*perHr*series)
}

func TestWhatIsInTheBucketIsNotCopiedAgain(t *testing.T) {
	dir := t.TempDir()
	for n := range int64(3) {
		writeBlock(t, dir, 100+2*n, 2)
	}
	bucket, at := folder(t)
	s := newShipper(t, dir, bucket)
	mustRound(t, s)
	mustRound(t, s)
	mustRound(t, newShipper(t, dir, bucket)) // after a restart
	if n := testutil.ToFloat64(s.metrics.uploads); n != 3 {
		t.Errorf("%v blocks copied, want 3", n)
	}
	exactly(t, at, 6*perHr*series)
}

// merge compacts blocks of a directory into one, as the store does.
func merge(t *testing.T, dir string, blocks ...string) string {
	t.Helper()
	c, err := tsdb.NewLeveledCompactor(t.Context(), nil, nil, []int64{2 * hour, 6 * hour}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := c.Compact(dir, blocks, nil)
	if err != nil || len(ids) != 1 {
		t.Fatalf("%d blocks, error %v", len(ids), err)
	}
	for _, b := range blocks {
		if err := os.RemoveAll(b); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, ids[0].String())
}

// The three ways to know what is in the bucket: our file, none, and that of a
// sidecar, which has forgotten the blocks that were merged.
func TestWhatWasMergedAfterItWasCopiedIsNotCopiedAgain(t *testing.T) {
	tests := map[string]func(t *testing.T, file string){
		"our file": func(*testing.T, string) {},
		"no file":  func(t *testing.T, file string) { must(t, os.Remove(file)) },
		"no JSON":  func(t *testing.T, file string) { must(t, os.WriteFile(file, []byte("{"), 0o600)) },
		"a sidecar's": func(t *testing.T, file string) {
			must(t, os.WriteFile(file, []byte(`{"version":1,"uploaded":[]}`), 0o600))
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			bucket, at := folder(t)
			a, b := writeBlock(t, dir, 100, 2), writeBlock(t, dir, 102, 2)
			mustRound(t, newShipper(t, dir, bucket))
			merge(t, dir, a, b)
			change(t, filepath.Join(dir, StateFile))
			writeBlock(t, dir, 104, 2)
			s := newShipper(t, dir, bucket)
			mustRound(t, s)
			if n := testutil.ToFloat64(s.metrics.uploads); n != 1 {
				t.Errorf("%v blocks copied, want the new one", n)
			}
			exactly(t, at, 6*perHr*series)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHistoryFromBeforeIsCopiedMerged(t *testing.T) {
	dir := t.TempDir()
	merge(t, dir, writeBlock(t, dir, 100, 2), writeBlock(t, dir, 102, 2))
	bucket, at := folder(t)
	mustRound(t, newShipper(t, dir, bucket))
	exactly(t, at, 4*perHr*series)
}

// A block of another collector in the bucket says nothing of ours, even if it
// has the name of one.
func TestBlocksOfOthersInTheBucketAreNotOurs(t *testing.T) {
	dir := t.TempDir()
	a := writeBlock(t, dir, 100, 2)
	bucket, at := folder(t)
	other := newShipper(t, dir, bucket)
	other.opts.ExternalLabels = map[string]string{LabelCluster: "other"}
	mustRound(t, other)
	must(t, os.Remove(filepath.Join(dir, StateFile)))
	b := writeBlock(t, dir, 102, 2)
	merge(t, dir, a, b)
	mustRound(t, newShipper(t, dir, bucket))
	if n := len(contents(t, at)); n != 4*perHr*series {
		t.Errorf("%d samples in the bucket, want all", n)
	}
}

// openTSDB is a store as the collector opens it.
func openTSDB(t *testing.T, dir string, longest int64, hold tsdb.BlockExcludeFilterFunc) *tsdb.DB {
	t.Helper()
	o := tsdb.DefaultOptions()
	o.RetentionDuration = 0
	o.MaxBlockDuration = longest
	o.OutOfOrderTimeWindow = 24 * hour
	o.BlockCompactionExcludeFunc = hold
	db, err := tsdb.Open(dir, nil, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.DisableCompactions()
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// put stores samples from..to, in minutes since hour 100.
func put(t *testing.T, db *tsdb.DB, from, to int64) {
	t.Helper()
	app := db.Appender(context.Background())
	for m := from; m < to; m++ {
		ts := 100*hour + m*step
		if _, err := app.Append(0, labels.FromStrings("__name__", "m"), ts, float64(ts)); err != nil {
			t.Fatal(err)
		}
	}
	must(t, app.Commit())
}

func TestLateSamplesAreCopiedBeforeTheyAreMergedAndOnlyOnce(t *testing.T) {
	dir := t.TempDir()
	bucket, at := folder(t)
	s := newShipper(t, dir, bucket)
	db := openTSDB(t, dir, 36*hour, s.HoldBack)

	put(t, db, 0, 60) // an agent is away from minute 60 to 120
	put(t, db, 120, 480)
	must(t, db.Compact(t.Context()))
	mustRound(t, s)
	put(t, db, 60, 120) // and sends them later
	put(t, db, 480, 600)
	must(t, db.Compact(t.Context()))
	late := 0
	for _, m := range db.BlockMetas() {
		if m.Compaction.FromOutOfOrder() {
			late++
		}
	}
	if late == 0 {
		t.Fatalf("late samples were merged before they were copied: %+v", db.BlockMetas())
	}
	mustRound(t, s)
	must(t, db.Compact(t.Context()))
	merged := false
	for _, m := range db.BlockMetas() {
		merged = merged || m.Compaction.Level > 1
		if m.Compaction.FromOutOfOrder() && m.Compaction.Level == 1 {
			t.Error("late samples were not merged after they were copied")
		}
	}
	if !merged {
		t.Error("nothing was merged after it was copied")
	}
	mustRound(t, s)
	exactly(t, at, inBlocks(db))
}

// Where the store does not ask HoldBack, late samples may come to the bucket
// together with others that are there; but they come. Equal block durations, as
// the sidecar's documentation asks for, do not keep them apart either.
func TestLateSamplesThatWereMergedAreNotLost(t *testing.T) {
	for name, longest := range map[string]int64{"local merging": 36 * hour, "equal durations": 2 * hour} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			bucket, at := folder(t)
			s := newShipper(t, dir, bucket)
			db := openTSDB(t, dir, longest, nil)
			put(t, db, 0, 60)
			put(t, db, 120, 480)
			must(t, db.Compact(t.Context()))
			mustRound(t, s)
			put(t, db, 60, 120)
			put(t, db, 480, 600)
			must(t, db.Compact(t.Context()))
			for _, m := range db.BlockMetas() {
				if m.Compaction.FromOutOfOrder() && m.Compaction.Level == 1 {
					t.Fatal("late samples were not merged at once, and this test says nothing")
				}
			}
			mustRound(t, s)
			if got, want := len(contents(t, at)), inBlocks(db); got != want {
				t.Errorf("%d samples in the bucket, want %d", got, want)
			}
		})
	}
}

// inBlocks is how many samples put has stored before the end of the newest
// block.
func inBlocks(db *tsdb.DB) int {
	var newest int64
	for _, m := range db.BlockMetas() {
		newest = max(newest, m.MaxTime)
	}
	return int((newest - 100*hour) / step)
}

func TestAKillAtAnyMomentLeavesNothingHalfCopied(t *testing.T) {
	data := t.TempDir()
	writeBlock(t, data, 100, 2)
	writeBlock(t, data, 102, 2)
	kills := 0
	for pieces := 1; ; pieces++ {
		dir := t.TempDir()
		must(t, os.CopyFS(filepath.Join(dir, "data"), os.DirFS(data)))
		if !killed(t, dir, pieces) {
			break
		}
		kills++
		whole(t, filepath.Join(dir, "bucket"))
		if killed(t, dir, 0) {
			t.Fatal("killed without reason")
		}
		exactly(t, filepath.Join(dir, "bucket"), 4*perHr*series)
	}
	if kills < 20 {
		t.Errorf("only %d kills", kills)
	}
	t.Logf("killed at each of %d pieces", kills)
}

// whole fails if a block that a reader would take for one lacks anything.
func whole(t *testing.T, bucket string) {
	t.Helper()
	metas, err := filepath.Glob(filepath.Join(bucket, "*", "meta.json"))
	must(t, err)
	for _, m := range metas {
		var meta thanosMeta
		if json.Unmarshal(read(t, m), &meta) != nil {
			continue // cut off: readers pass over it, and the next start copies it again
		}
		for _, f := range meta.Thanos.Files {
			info, err := os.Stat(filepath.Join(filepath.Dir(m), f.Path))
			if err != nil || f.Path != "meta.json" && info.Size() != f.Size {
				t.Errorf("%s of a block that seems whole: %v", f.Path, err)
			}
		}
	}
}

func TestWhatIsLeftOfABlockThatWentMeanwhileIsRemoved(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	must(t, os.MkdirAll(data, 0o750))
	gone := writeBlock(t, data, 100, 2)
	killed(t, dir, 3) // in the middle of its chunks
	left := filepath.Join(dir, "bucket", filepath.Base(gone))
	if _, err := os.Stat(filepath.Join(left, "chunks", "000001")); err != nil {
		t.Fatalf("nothing of it was copied, and this test says nothing: %v", err)
	}
	must(t, os.RemoveAll(gone))
	writeBlock(t, data, 102, 2)
	killed(t, dir, 0)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left in the bucket: %v", err)
	}
	exactly(t, filepath.Join(dir, "bucket"), 2*perHr*series)
}

func TestAMetaThatWasCutOffIsNoBlock(t *testing.T) {
	dir := t.TempDir()
	block := writeBlock(t, dir, 100, 2)
	bucket, at := folder(t)
	copied := filepath.Join(at, filepath.Base(block))
	must(t, os.MkdirAll(copied, 0o750))
	must(t, os.WriteFile(filepath.Join(copied, "meta.json"), read(t, filepath.Join(block, "meta.json"))[:50], 0o600))
	mustRound(t, newShipper(t, dir, bucket))
	exactly(t, at, 2*perHr*series)
}

func TestADamagedBlockDoesNotKeepTheOthers(t *testing.T) {
	dir := t.TempDir()
	bad, worse := writeBlock(t, dir, 100, 2), writeBlock(t, dir, 102, 2)
	writeBlock(t, dir, 104, 2)
	must(t, os.Remove(filepath.Join(bad, "index")))
	must(t, os.WriteFile(filepath.Join(worse, "meta.json"), nil, 0o600))
	bucket, at := folder(t)
	s := newShipper(t, dir, bucket)
	if err := s.round(t.Context()); err == nil {
		t.Error("nobody was told")
	}
	must(t, os.RemoveAll(filepath.Join(at, filepath.Base(bad)))) // chunks without a meta.json
	exactly(t, at, 2*perHr*series)
	if n := testutil.ToFloat64(s.metrics.pending); n != 1 {
		t.Errorf("%v pending", n)
	}
}

// outage is a bucket in memory that can be out of reach.
type outage struct {
	objstore.Bucket
	down atomic.Bool
	asks atomic.Int64
}

// away is such a bucket, out of reach.
func away() *outage {
	o := &outage{Bucket: objstore.NewInMemBucket()}
	o.down.Store(true)
	return o
}

var errDown = errors.New("no route to host")

func (o *outage) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	o.asks.Add(1)
	if o.down.Load() {
		return errDown
	}
	return o.Bucket.Upload(ctx, name, r, opts...)
}

func TestABucketOutOfReachIsAskedLessOftenAndCaughtUpWith(t *testing.T) {
	dir := t.TempDir()
	for n := range int64(8) {
		writeBlock(t, dir, 100+2*n, 2)
	}
	synctest.Test(t, func(t *testing.T) {
		bucket := away()
		registry := prometheus.NewRegistry()
		s, err := New(Options{Dir: dir, Bucket: bucket, ExternalLabels: ours, Registerer: registry})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()

		pass := func(d time.Duration) { <-time.After(d); synctest.Wait() }
		pass(2 * time.Hour)
		if n := bucket.asks.Load(); n == 0 || n > 20*enoughFailures {
			t.Errorf("asked %d times in two hours", n)
		}
		if p, f := testutil.ToFloat64(s.metrics.pending), testutil.ToFloat64(s.metrics.failures); p != 8 || f < 10 {
			t.Errorf("%v pending, %v failures", p, f)
		}
		if testutil.ToFloat64(s.metrics.succeeded) != 0 {
			t.Error("success was noted")
		}
		bucket.down.Store(false)
		pass(longestPause)
		if p, n := testutil.ToFloat64(s.metrics.pending), testutil.ToFloat64(s.metrics.uploads); p != 0 || n != 8 {
			t.Errorf("%v pending, %v copied", p, n)
		}
		if at := testutil.ToFloat64(s.metrics.succeeded); time.Since(time.Unix(int64(at), 0)) > longestPause {
			t.Errorf("last success at %v", at)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestABlockThatIsDeletedBeforeItWasCopiedIsCounted(t *testing.T) {
	dir := t.TempDir()
	block := writeBlock(t, dir, 100, 2)
	s := newShipper(t, dir, away())
	if s.round(t.Context()) == nil {
		t.Fatal("the outage was not noticed")
	}
	must(t, os.RemoveAll(block))
	_ = s.round(t.Context())
	_ = s.round(t.Context())
	if n := testutil.ToFloat64(s.metrics.missed); n != 1 {
		t.Errorf("%v blocks missed, want 1", n)
	}
}

func TestOptionsThatCannotWorkSayWhy(t *testing.T) {
	bucket, _ := folder(t)
	for name, o := range map[string]Options{
		"no directory": {Bucket: bucket, ExternalLabels: ours},
		"no bucket":    {Dir: t.TempDir(), ExternalLabels: ours},
		"no labels":    {Dir: t.TempDir(), Bucket: bucket},
		"empty value":  {Dir: t.TempDir(), Bucket: bucket, ExternalLabels: map[string]string{LabelCluster: ""}},
		"empty name":   {Dir: t.TempDir(), Bucket: bucket, ExternalLabels: map[string]string{"": "x"}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestASidecarsFileHoldsBackWhatItDoesNotName(t *testing.T) {
	id, other := ulid.MustNew(1, nil), ulid.MustNew(2, nil)
	file := filepath.Join(t.TempDir(), StateFile)
	hold := HoldBack(file)
	meta := func(id ulid.ULID, level int) *tsdb.BlockMeta {
		return &tsdb.BlockMeta{ULID: id, Compaction: tsdb.BlockMetaCompaction{Level: level}}
	}
	if !hold(meta(id, 1)) {
		t.Error("without a file, a block may be merged before the sidecar has seen it")
	}
	must(t, os.WriteFile(file, []byte(`{"version":1,"uploaded":["`+id.String()+`"]}`), 0o600))
	for name, tt := range map[string]struct {
		meta *tsdb.BlockMeta
		want bool
	}{
		"one that it names":    {meta(id, 1), false},
		"one that it does not": {meta(other, 1), true},
		"one that is merged":   {meta(other, 2), false},
	} {
		if got := hold(tt.meta); got != tt.want {
			t.Errorf("%s: held back %v", name, got)
		}
	}
	must(t, os.WriteFile(file, []byte("?"), 0o600))
	if !hold(meta(id, 1)) {
		t.Error("with a file that makes no sense, a block may be merged too early")
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"version":1,"uploaded":["01JB0000000000000000000000"],"plimsoll_complete":true}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := parseState(data); err == nil && r.Version != stateVersion {
			t.Fatalf("%+v", r)
		}
	})
}

func FuzzParseMeta(f *testing.F) {
	id := ulid.MustParseStrict("01JB0000000000000000000000")
	f.Add([]byte(`{"ulid":"01JB0000000000000000000000","minTime":1,"maxTime":2,"version":1,"compaction":{"level":1,"sources":["01JB0000000000000000000000"]},"thanos":{"labels":{"a":"b"}}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseMeta(data, id); err == nil && (m.ULID != id || m.Version != blockVersion) {
			t.Fatalf("%+v", m)
		}
	})
}
