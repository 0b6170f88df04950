package ship

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/objstore/providers/filesystem"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// These make a copy of the test binary one that copies the blocks of a data
// directory and kills itself before it has taken so many pieces.
const (
	childEnv  = "PLIMSOLL_SHIP_TEST_CHILD"
	piecesEnv = "PLIMSOLL_SHIP_TEST_PIECES"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := shipUntilKilled(dir, os.Getenv(piecesEnv)); err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

var ours = map[string]string{LabelCluster: "c", LabelReplica: "r1"}

const (
	hour   = int64(3600_000)
	step   = int64(60_000) // between samples
	perHr  = 60
	series = 5
)

// writeBlock makes a block, as the head does, with samples of the given hours
// since the epoch, and returns its directory.
func writeBlock(t *testing.T, dir string, from, hours int64) string {
	t.Helper()
	var list []storage.Series
	for n := range series {
		var samples []chunks.Sample
		for ts := from * hour; ts < (from+hours)*hour; ts += step {
			samples = append(samples, sample{ts, float64(ts)})
		}
		list = append(list, storage.NewListSeries(labels.FromStrings("__name__", "m", "n", fmt.Sprint(n)), samples))
	}
	at, err := tsdb.CreateBlock(list, dir, 2*hour, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.v }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Copy() chunks.Sample           { return s }

// folder is a bucket in a directory.
func folder(t *testing.T) (objstore.Bucket, string) {
	t.Helper()
	dir := t.TempDir()
	b, err := filesystem.NewBucket(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b, dir
}

func newShipper(t *testing.T, dir string, b objstore.Bucket) *Shipper {
	t.Helper()
	s, err := New(Options{Dir: dir, Bucket: b, ExternalLabels: ours})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustRound(t *testing.T, s *Shipper) {
	t.Helper()
	if err := s.round(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// contents are the samples in all blocks of a directory, each with how often it
// is there. Blocks are read as the TSDB reads them.
func contents(t *testing.T, dir string) map[string]int {
	t.Helper()
	found := map[string]int{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "chunks_head" || e.Name() == "wal" || e.Name() == "wbl" {
			continue
		}
		b, err := tsdb.OpenBlock(nil, filepath.Join(dir, e.Name()), nil, nil)
		if err != nil {
			t.Fatalf("block %s: %v", e.Name(), err)
		}
		q, err := tsdb.NewBlockQuerier(b, 0, 1<<60)
		if err != nil {
			t.Fatal(err)
		}
		set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
		for set.Next() {
			it := set.At().Iterator(nil)
			for it.Next() != chunkenc.ValNone {
				ts, v := it.At()
				found[fmt.Sprint(set.At().Labels(), ts, v)]++
			}
			if it.Err() != nil {
				t.Fatal(it.Err())
			}
		}
		if set.Err() != nil {
			t.Fatal(set.Err())
		}
		_ = q.Close()
		_ = b.Close()
	}
	return found
}

// exactly fails unless a directory holds so many samples, each once.
func exactly(t *testing.T, dir string, want int) {
	t.Helper()
	found := contents(t, dir)
	twice := 0
	for _, n := range found {
		if n != 1 {
			twice++
		}
	}
	if len(found) != want || twice > 0 {
		t.Errorf("%d samples, want %d; %d of them more than once", len(found), want, twice)
	}
}

// shipUntilKilled copies the blocks of dir/data to dir/bucket, as far as it gets.
func shipUntilKilled(dir, pieces string) error {
	n, err := strconv.Atoi(pieces)
	if err != nil {
		return err
	}
	b, err := filesystem.NewBucket(filepath.Join(dir, "bucket"))
	if err != nil {
		return err
	}
	s, err := New(Options{Dir: filepath.Join(dir, "data"), Bucket: &deadly{b, n}, ExternalLabels: ours})
	if err != nil {
		return err
	}
	return s.round(context.Background())
}

// deadly is a bucket that takes pieces of 256 bytes, and kills the process at
// the last of them.
type deadly struct {
	objstore.Bucket
	left int
}

func (d *deadly) Upload(ctx context.Context, name string, r io.Reader, opts ...objstore.ObjectUploadOption) error {
	return d.Bucket.Upload(ctx, name, piecemeal{d, r}, opts...)
}

type piecemeal struct {
	d *deadly
	r io.Reader
}

func (p piecemeal) Read(b []byte) (int, error) {
	if p.d.left--; p.d.left == 0 {
		if err := unix.Kill(os.Getpid(), unix.SIGKILL); err != nil {
			return 0, err
		}
		select {}
	}
	return p.r.Read(b[:min(len(b), 256)])
}

// killed runs shipUntilKilled and reports whether it was killed before it was
// done.
func killed(t *testing.T, dir string, pieces int) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir, fmt.Sprintf("%s=%d", piecesEnv, pieces))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != unix.SIGKILL {
		t.Fatalf("%v\n%s", err, out)
	}
	return true
}
