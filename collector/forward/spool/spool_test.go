package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sys/unix"
)

// failer is what testing.T, testing.B and rapid.T share.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func open(t testing.TB, opts Options, readers ...string) *Spool {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.SetReaders(readers)
	t.Cleanup(func() {
		for _, r := range s.readers {
			r.close()
		}
		s.Close()
	})
	return s
}

func series(n int, prefix string) []labels.Labels {
	list := make([]labels.Labels, n)
	for i := range list {
		list[i] = labels.FromStrings("__name__", "container_cpu_usage_seconds_total", "id", "/docker/"+strings.Repeat("f", 64), "name", fmt.Sprint(prefix, i))
	}
	return list
}

// values are told apart by tick and position.
func values(tick, n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = float64(tick) + float64(i)/1024
	}
	return list
}

func put(t failer, s *Spool, at int64, ls []labels.Labels, vs []float64) {
	t.Helper()
	if err := s.Append(at, ls, vs); err != nil {
		t.Fatal(err)
	}
}

// point is a sample with its series, values by their bits.
type point struct {
	Labels string
	At     int64
	Bits   uint64
}

func points(at int64, ls []labels.Labels, vs []float64) []point {
	var all []point
	for i := range ls {
		all = append(all, point{ls[i].String(), at, math.Float64bits(vs[i])})
	}
	return all
}

// drain reads all that there is, and returns how much of it was damaged and
// where it ended.
func drain(t failer, r *Reader) (all []point, damaged uint64, end Place) {
	t.Helper()
	ctx := &untilItWaits{Context: context.Background()}
	for {
		rec, err := r.Next(ctx)
		if errors.Is(err, context.Canceled) {
			return all, damaged, end
		}
		if err != nil {
			t.Fatal(err)
		}
		damaged, end = damaged+rec.Damaged, rec.End
		for i, ref := range rec.Refs {
			all = append(all, point{r.Labels(ref).String(), rec.At, math.Float64bits(rec.Values[i])})
		}
	}
}

// untilItWaits is a context that ends when somebody waits for its end.
type untilItWaits struct {
	context.Context
	waited bool
}

func (c *untilItWaits) Done() <-chan struct{} {
	c.waited = true
	done := make(chan struct{})
	close(done)
	return done
}

func (c *untilItWaits) Err() error {
	if c.waited {
		return context.Canceled
	}
	return nil
}

// abandon leaves the directory as a killed process does.
func abandon(s *Spool) {
	for _, r := range s.readers {
		r.close()
	}
	for _, seg := range s.segments {
		if seg.file != nil {
			seg.file.Close()
			seg.file = nil
		}
	}
	s.lock.Close()
	s.closed = true
}

func TestWhatWasAppendedIsReadBackToTheBit(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir}, "a")
	ls := append(series(3, "c"), labels.FromStrings("__name__", "up"), labels.EmptyLabels())
	odd := []float64{math.Float64frombits(0x7ff0_0000_0000_0002), math.Copysign(0, -1), math.Inf(-1), 1 << 53, -(1 << 53)}
	big := []float64{math.MaxFloat64, 1<<53 + 2, -1, 0, 0.1}
	put(t, s, 1_700_000_000_000, ls, odd)
	put(t, s, -5, ls[1:], big[1:])
	put(t, s, 7, []labels.Labels{ls[4], ls[0], ls[1]}, []float64{1, 2, 3})
	want := append(points(1_700_000_000_000, ls, odd), points(-5, ls[1:], big[1:])...)
	want = append(want, points(7, []labels.Labels{ls[4], ls[0], ls[1]}, []float64{1, 2, 3})...)
	got, _, _ := drain(t, s.Reader("a"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	s.Close()
	again := open(t, Options{Dir: dir}, "a")
	if got, damaged, _ := drain(t, again.Reader("a")); damaged != 0 || !cmp.Equal(want, got) {
		t.Fatalf("after a restart %d damaged: %s", damaged, cmp.Diff(want, got))
	}
}

func TestACallWithMoreThanARecordHoldsIsReadWhole(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()}, "a")
	ls, vs := series(maxSamples+10, "c"), values(1, maxSamples+10)
	put(t, s, 1, ls, vs)
	if got, _, _ := drain(t, s.Reader("a")); !cmp.Equal(points(1, ls, vs), got) {
		t.Fatalf("read %d samples of %d", len(got), len(ls))
	}
}

func TestALabelSetIsWrittenOncePerSegment(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()}, "a")
	ls := series(1000, "c")
	put(t, s, 1, ls, values(1, 1000))
	first := s.Stats().Bytes
	put(t, s, 2, ls, make([]float64, 1000))
	if grown := s.Stats().Bytes - first; grown > 1100 {
		t.Errorf("a thousand known series took %d bytes, want a byte for each and a little", grown)
	}
	if first > 1000*(9+30) {
		t.Errorf("a thousand new series took %d bytes", first)
	}
}

func TestReadersGoOnWhereTheyCommitted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir}, "a", "b")
	ls := series(2, "c")
	put(t, s, 1, ls, values(1, 2))
	_, _, end := drain(t, s.Reader("a"))
	s.Reader("a").Commit(end)
	put(t, s, 2, ls, values(2, 2))
	if got := s.Reader("a").Pending(); got != 2 {
		t.Errorf("a has %d samples pending, want 2", got)
	}
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	abandon(s)
	s = open(t, Options{Dir: dir}, "a", "b", "new")
	for name, want := range map[string]int{"a": 2, "b": 4, "new": 4} {
		if got, damaged, _ := drain(t, s.Reader(name)); len(got) != want || damaged != 0 {
			t.Errorf("%s reads %d samples and %d damaged, want %d and none", name, len(got), damaged, want)
		}
	}
}

func TestARewindReadsAgainWhatWasNotCommitted(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()}, "a")
	ls := series(2, "c")
	put(t, s, 1, ls, values(1, 2))
	r := s.Reader("a")
	first, _, _ := drain(t, r)
	r.Rewind()
	if again, _, _ := drain(t, r); !cmp.Equal(first, again) {
		t.Error(cmp.Diff(first, again))
	}
}

func TestWhatAllHaveDealtWithIsDeleted(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), MaxBytes: 1 << 20, SegmentBytes: 1 << 10}, "a", "b")
	ls := series(20, "c")
	for i := range 100 {
		put(t, s, int64(i), ls, values(i, 20))
	}
	_, _, end := drain(t, s.Reader("a"))
	s.Reader("a").Commit(end)
	if n := s.Stats().Segments; n < 5 {
		t.Fatalf("%d segments, want what b still needs", n)
	}
	s.SetReaders([]string{"a"})
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Segments; n != 1 {
		t.Errorf("%d segments after b has gone, want 1", n)
	}
}

func TestAKillMakesNoLossOfWhatWasDealtWith(t *testing.T) {
	dir := t.TempDir()
	opts := Options{Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 1 << 10}
	s := open(t, opts, "a")
	ls := series(20, "c")
	for i := range 100 {
		put(t, s, int64(i), ls, values(i, 20))
	}
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	_, _, end := drain(t, s.Reader("a"))
	s.Reader("a").Commit(end)
	abandon(s) // before that was noted
	s = open(t, opts, "a")
	if lost := s.Reader("a").Lost(); len(lost) > 0 {
		t.Errorf("counted as lost: %v", lost)
	}
	if got, damaged, _ := drain(t, s.Reader("a")); len(got) != 2000 || damaged != 0 {
		t.Errorf("%d samples are read once more, %d damaged, want all 2000 and none", len(got), damaged)
	}
}

func TestOverItsBoundTheOldestGoAndAreCountedForEachReader(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), MaxBytes: 16 << 10, SegmentBytes: 2 << 10}, "slow", "fast", "stuck")
	ls := series(20, "c")
	put(t, s, 0, ls, values(0, 20))
	_, _, inFlight := drain(t, s.Reader("stuck")) // read, and on its way
	for i := 1; i < 500; i++ {
		put(t, s, int64(i), ls, values(i, 20))
		_, _, end := drain(t, s.Reader("fast"))
		s.Reader("fast").Commit(end)
	}
	if b := s.Stats().Bytes; b > 16<<10 {
		t.Errorf("%d bytes, over the bound", b)
	}
	if n := s.Reader("fast").Lost()[Overflow]; n != 0 {
		t.Errorf("fast lost %d", n)
	}
	got, damaged, _ := drain(t, s.Reader("slow"))
	if lost := s.Reader("slow").Lost()[Overflow]; lost == 0 || lost+uint64(len(got)) != 500*20 || damaged != 0 {
		t.Errorf("slow: %d lost and %d read, %d damaged, of %d", lost, len(got), damaged, 500*20)
	}
	stuck := s.Reader("stuck")
	if lost, pending := stuck.Lost()[Overflow], stuck.Pending(); lost+pending != 500*20 {
		t.Errorf("stuck: %d lost, %d pending, of %d", lost, pending, 500*20)
	}
	stuck.Rewind() // what was on its way is lost now
	got, _, _ = drain(t, stuck)
	if lost := stuck.Lost()[Overflow]; lost+uint64(len(got)) != 500*20 {
		t.Errorf("stuck, started over: %d lost and %d read, of %d", lost, len(got), 500*20)
	}
	stuck.Commit(inFlight) // too late, and of no consequence
	if n := stuck.Pending(); n != uint64(len(got)) {
		t.Errorf("%d pending, want %d", n, len(got))
	}
}

func TestWhatIsTooOldGoesAndIsCounted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Dir: dir, MaxAge: time.Hour}, "a")
		ls := series(3, "c")
		for i := range 90 { // minutes
			put(t, s, int64(i), ls, values(i, 3))
			s.Expire()
			<-time.NewTimer(time.Minute).C
		}
		got, damaged, _ := drain(t, s.Reader("a"))
		lost := s.Reader("a").Lost()[Expired]
		if lost+uint64(len(got)) != 90*3 || damaged != 0 {
			t.Errorf("%d expired and %d read of %d", lost, len(got), 90*3)
		}
		if first := got[0].At; first < 27 || first > 30 {
			t.Errorf("the oldest left is of minute %d, want about 30: an hour back", first)
		}
	})
}

func TestADirectoryHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("got %v", err)
	}
}

func TestASpoolOfANewerVersionIsMovedAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir}, "a")
	put(t, s, 1, series(1, "c"), values(1, 1))
	s.Close()
	places := filepath.Join(dir, placesName)
	data, err := os.ReadFile(places)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(places, bytes.Replace(data, []byte(`"version":1`), []byte(`"version":2`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Dir: dir}, "a")
	if got, _, _ := drain(t, s.Reader("a")); len(got) != 0 {
		t.Errorf("read %d samples of a version it does not know", len(got))
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "aside-*", "*"+segmentSuffix)); len(aside) == 0 {
		t.Error("nothing was moved aside")
	}
}

func TestUnreadablePlacesSendEverythingOnceMore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir}, "a")
	put(t, s, 1, series(2, "c"), values(1, 2))
	_, _, end := drain(t, s.Reader("a"))
	s.Reader("a").Commit(end)
	s.Close()
	if err := os.WriteFile(filepath.Join(dir, placesName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s = open(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))}, "a")
	if got, _, _ := drain(t, s.Reader("a")); len(got) != 2 || !strings.Contains(log.String(), "once more") {
		t.Errorf("read %d samples, said %q", len(got), log.String())
	}
}

// On a full disk fresh samples push out old ones, nothing panics, and every
// sample is read, waits, or is counted.
func TestAFullDiskCostsTheOldestAndIsCounted(t *testing.T) {
	if os.Getuid() != 0 {
		lacking(t, "needs root to mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=96k"); err != nil {
		lacking(t, "cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	var log bytes.Buffer
	s := open(t, Options{Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 16 << 10, Log: slog.New(slog.NewTextHandler(&log, nil))}, "a")
	ls := series(100, "c")
	var handed uint64
	fill := func(n int) {
		for i := range n {
			_ = s.Append(int64(i), ls, values(i, len(ls)))
			handed += uint64(len(ls))
		}
	}
	sum := func() (n uint64) {
		for _, lost := range s.Reader("a").Lost() {
			n += lost
		}
		return n
	}
	fill(300)
	if s.Reader("a").Lost()[DiskFull] == 0 {
		t.Fatalf("nothing was dropped for the full disk: %v", s.Reader("a").Lost())
	}
	stone := filepath.Join(dir, "stone")
	if err := os.WriteFile(stone, make([]byte, 96<<10), 0o600); err != nil && !noSpace(err) {
		t.Fatal(err)
	}
	fill(300) // somebody else takes all there is
	if pending := s.Reader("a").Pending(); sum()+pending != handed {
		t.Errorf("%d lost and %d pending, of %d", sum(), pending, handed)
	}
	if err := os.Remove(stone); err != nil {
		t.Fatal(err)
	}
	fill(1)
	got, damaged, _ := drain(t, s.Reader("a"))
	if sum()+uint64(len(got)) != handed || damaged != 0 {
		t.Errorf("%d lost and %d read, %d damaged, of %d", sum(), len(got), damaged, handed)
	}
	s.Reader("a").Rewind() // or the file system could not be unmounted
	last := points(0, ls, values(0, len(ls)))
	if !cmp.Equal(last, got[len(got)-len(last):]) {
		t.Error("the samples after the disk was free again are not there")
	}
	if n := strings.Count(log.String(), "written to again"); n > 2 {
		t.Errorf("said so %d times", n)
	}
}

// lacking skips a test for want of something, which fails where all is to be there.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
