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
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

var (
	usage  = &sample.Metric{Name: "container_cpu_usage_seconds_total", Help: "CPU time used.", Type: sample.Counter, Unit: "seconds", Divisor: 1e6}
	memory = &sample.Metric{Name: "container_memory_usage_bytes", Help: "Memory in use.", Type: sample.Gauge, Unit: "bytes"}
)

func group(name string) *sample.Group {
	return &sample.Group{
		Labels: []sample.Label{{Name: "name", Value: name}},
		Series: []sample.Series{{Metric: usage, Labels: []sample.Label{{Name: "cpu", Value: "total"}}}, {Metric: memory}},
	}
}

func open(t testing.TB, opts Options) *Spool {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// tick is a batch of one value per series of the groups, told apart by n.
func tick(n int, groups ...*sample.Group) *sample.Batch {
	var b sample.Batch
	b.Reset(uint64(n), time.UnixMilli(1_700_000_000_000+1000*int64(n)))
	for i, g := range groups {
		for j, v := 0, b.Add(g); j < len(v); j++ {
			v[j] = float64(n) + float64(i)/10 + float64(j)/100
		}
	}
	return &b
}

func put(t testing.TB, s *Spool, b *sample.Batch) {
	t.Helper()
	if err := s.Append(b); err != nil {
		t.Fatal(err)
	}
}

// failer is what testing.T and rapid.T share.
type failer interface {
	Helper()
	Fatal(args ...any)
}

// drain reads all that s holds from seq on.
func drain(t failer, s *Spool, seq uint64) []Record {
	t.Helper()
	r := s.NewReader()
	defer r.Close()
	ctx := &untilItWaits{Context: context.Background()}
	var all []Record
	for {
		rec, err := r.Next(ctx, seq)
		if errors.Is(err, context.Canceled) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, clone(rec))
		seq = rec.Seq + 1
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

func clone(r *Record) Record {
	c := Record{Seq: r.Seq, Time: r.Time}
	for _, col := range r.Columns {
		c.Columns = append(c.Columns, sample.Column{Group: col.Group, Values: append([]float64(nil), col.Values...)})
	}
	c.Ended = append(c.Ended, r.Ended...)
	c.Events = append(c.Events, r.Events...)
	return c
}

// sameRecord compares values by their bits.
var sameRecord = cmp.Options{
	cmpopts.IgnoreUnexported(Record{}),
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
}

func TestWhatWasAppendedIsReadBackToTheBit(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	a, b := group("a"), group("b")
	one := tick(1, a, b)
	one.Columns[0].Values[0] = math.Float64frombits(0x7ff8_0000_dead_beef)
	one.Columns[0].Values[1] = math.Copysign(0, -1)
	one.Columns[1].Values[0] = sample.Absent
	two := tick(2, a)
	two.End(b)
	two.Happened(sample.Event{Time: two.Time, Kind: sample.ContainerExited, Container: "b", Text: "exit code 1"})
	put(t, s, one)
	put(t, s, two)

	want := []Record{
		{Seq: 1, Time: one.Time, Columns: one.Columns},
		{Seq: 2, Time: two.Time, Columns: two.Columns, Ended: two.Ended, Events: two.Events},
	}
	for _, when := range []string{"at once", "after a restart"} {
		if diff := cmp.Diff(want, drain(t, s, 0), sameRecord); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
		if when == "at once" {
			id := s.ID()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, Options{Dir: dir})
			if s.ID() != id {
				t.Error("a restart changed the spool's identity")
			}
		}
	}
	if got := s.NextSeq(); got != 3 {
		t.Errorf("next batch after a restart is %d, want 3", got)
	}
}

func TestAReaderWaitsForTheNextBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Dir: t.TempDir()})
		got := make(chan uint64)
		go func() {
			r := s.NewReader()
			defer r.Close()
			rec, err := r.Next(t.Context(), 1)
			if err != nil {
				t.Error(err)
			}
			got <- rec.Seq
			_, err = r.Next(t.Context(), 2)
			if !errors.Is(err, ErrClosed) {
				t.Errorf("error %v, want ErrClosed", err)
			}
			close(got)
		}()
		synctest.Wait()
		put(t, s, tick(1, group("a")))
		if seq := <-got; seq != 1 {
			t.Errorf("read batch %d, want 1", seq)
		}
		synctest.Wait()
		s.Close()
		<-got
	})
}

func TestAGroupKeepsItsIdentityUntilItEnds(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), SegmentBytes: 300}) // a segment holds two batches
	a := group("a")
	for n := range 6 {
		put(t, s, tick(n, a))
	}
	b := tick(6, a)
	b.End(a)
	put(t, s, b)
	put(t, s, tick(7, group("a")))
	if st := s.Stats(); st.Segments < 3 {
		t.Fatalf("%d segments, want several", st.Segments)
	}
	all := drain(t, s, 0)
	for _, rec := range all[:7] {
		if rec.Columns[0].Group != all[0].Columns[0].Group {
			t.Errorf("batch %d: the group has another identity", rec.Seq)
		}
	}
	if all[7].Columns[0].Group == all[0].Columns[0].Group {
		t.Error("a group that ended came back under the same identity")
	}
}

func TestAcknowledgedSegmentsAreDeletedAndNumbersGoOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, SegmentBytes: 300, Keep: -1})
	c := s.Cursor("c")
	for n := range 10 {
		put(t, s, tick(n, group("a")))
	}
	c.Ack(7)
	if oldest := s.Oldest(); oldest > 8 || oldest < 5 {
		t.Errorf("oldest is %d: want all whole segments up to 7 gone and 8 kept", oldest)
	}
	c.Ack(1000) // of batches that never were
	if s.Oldest() > 8 {
		t.Error("an acknowledgement from nowhere deleted batches")
	}
	c.Ack(10)
	st := s.Stats()
	if st.Segments != 1 || st.Dropped != (Count{}) {
		t.Errorf("after all is acknowledged: %+v", st)
	}
	s.Close()
	if s = open(t, Options{Dir: dir}); s.NextSeq() != 11 {
		t.Errorf("next is %d, want 11", s.NextSeq())
	}
}

func TestOverTheBoundTheOldestGoAndAreCounted(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), MaxBytes: 4000, SegmentBytes: 1000})
	a, b := group("a"), group("b")
	c := s.Cursor("c")
	for n := range 100 {
		put(t, s, tick(n, a, b))
		c.Ack(min(uint64(n), 10)) // ten have been delivered
	}
	st := s.Stats()
	if st.Bytes > 4000 {
		t.Errorf("%d bytes held, over the bound", st.Bytes)
	}
	held := len(drain(t, s, 0))
	if got := uint64(100 - 10 - held); st.Dropped != (Count{got, 4 * got}) {
		t.Errorf("dropped %+v, want %d batches of 4 samples: %d are held", st.Dropped, got, held)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	r := s.NewReader()
	defer r.Close()
	b := tick(1, group("a"), group("b"))
	put(t, s, b)
	if n := testing.AllocsPerRun(100, func() { put(t, s, b) }); n > 0 {
		t.Errorf("%v allocations per batch, want none", n)
	}
}

func TestMemoryOfGroupsEndsWithThem(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	for n := range 50 {
		g := group(fmt.Sprint("c", n))
		put(t, s, tick(n, g))
		var end sample.Batch
		end.Reset(0, time.UnixMilli(0))
		end.End(g)
		put(t, s, &end)
	}
	if len(s.refs) != 0 {
		t.Errorf("%d groups remembered after all have ended", len(s.refs))
	}
	r := s.NewReader()
	defer r.Close()
	for seq := uint64(1); seq <= 100; seq++ {
		if _, err := r.Next(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.known) != 0 || len(r.keys) != 0 || len(r.groups) != 0 {
		t.Errorf("a reader remembers %d, %d and %d groups after all have ended", len(r.known), len(r.keys), len(r.groups))
	}
}

func TestASecondAgentIsToldWhoOwnsTheSpool(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir})
	if want := fmt.Sprintf("process %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want one that names the directory and %s", err, want)
	}
}

func TestAnUnusableDirectoryIsNamedWithARemedy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Options{Dir: filepath.Join(file, "spool")})
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "choose another directory") {
		t.Errorf("error %v", err)
	}
}

func TestASpoolOfANewerAgentIsMovedAside(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"the identity": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identityName), []byte("plimsoll-spool 2\nwho knows\n"), 0o600)
		},
		"a segment": func(dir string) error {
			seg := segment{first: 1}
			b := seg.appendOpening(nil)
			b[8] = 2
			sum := openingSum(b)
			b[12], b[13], b[14], b[15] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
			return os.WriteFile(filepath.Join(dir, segmentName(1)), b, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, Options{Dir: dir})
			put(t, s, tick(1, group("a")))
			id := s.ID()
			s.Close()
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s = open(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if s.ID() == id || s.NextSeq() != 1 {
				t.Error("the spool went on in a format it does not know")
			}
			kept, _ := filepath.Glob(filepath.Join(dir, "aside-*", segmentName(1)))
			if len(kept) != 1 || !strings.Contains(log.String(), "newer agent") {
				t.Errorf("kept %v, said %s", kept, &log)
			}
		})
	}
}

// A crash of the machine may take the last second: numbers that were sent would
// be given again.
func TestTheIdentityChangesWhenNumbersMayBeGivenTwice(t *testing.T) {
	tests := map[string]struct {
		clean   bool
		between func(t *testing.T, dir string)
		boot    string
		renewed bool
	}{
		"killed and restarted":         {boot: "boot-1"},
		"closed, then another boot":    {clean: true, boot: "boot-2"},
		"the machine went down":        {boot: "boot-2", renewed: true},
		"its segments were deleted":    {clean: true, boot: "boot-1", between: removeSegments, renewed: true},
		"its identity file is garbage": {clean: true, boot: "boot-1", between: spoilIdentity, renewed: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, Options{Dir: dir, BootID: "boot-1"})
			put(t, s, tick(1, group("a")))
			id := s.ID()
			if tt.clean {
				s.Close()
			} else {
				dir = killed(t, s)
			}
			if tt.between != nil {
				tt.between(t, dir)
			}
			s = open(t, Options{Dir: dir, BootID: tt.boot})
			if renewed := s.ID() != id; renewed != tt.renewed {
				t.Errorf("identity renewed: %v, want %v", renewed, tt.renewed)
			}
		})
	}
}

func removeSegments(t *testing.T, dir string) {
	if err := os.Remove(filepath.Join(dir, segmentName(1))); err != nil {
		t.Fatal(err)
	}
}

func spoilIdentity(t *testing.T, dir string) {
	if err := os.WriteFile(filepath.Join(dir, identityName), []byte{0, 1, 2}, 0o600); err != nil {
		t.Fatal(err)
	}
}

// killed returns a copy of what the kernel holds of s's directory, which is
// what a process finds that starts after s's was killed.
func killed(t testing.TB, s *Spool) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.opts.Dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAFullDiskCostsTheOldestAndIsSurvived(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("a full disk takes a file system of its own: mount: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, 0) })
	s := open(t, Options{Dir: dir, SegmentBytes: 16 << 10})
	t.Cleanup(func() { s.Close() })
	g := group("a")
	wrote := 0
	for n := range 1000 {
		if s.Append(tick(n, g)) == nil {
			wrote++
		}
	}
	// Somebody else takes the rest, page by page, and gives it back.
	hog, err := os.Create(filepath.Join(dir, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	for page := make([]byte, 4096); err == nil; {
		_, err = hog.Write(page)
	}
	for n := range 200 {
		if s.Append(tick(1000+n, g)) == nil {
			wrote++
		}
	}
	hog.Close()
	os.Remove(hog.Name())
	put(t, s, tick(2000, g))
	wrote++

	st := s.Stats()
	all := drain(t, s, 0)
	if st.Appended.Batches != uint64(wrote) || st.Failed.Batches != uint64(1201-wrote) {
		t.Errorf("counted %d written and %d failed, want %d and %d", st.Appended.Batches, st.Failed.Batches, wrote, 1201-wrote)
	}
	if got := uint64(wrote) - st.Dropped.Batches; got != uint64(len(all)) || st.Dropped.Samples != 2*st.Dropped.Batches {
		t.Errorf("wrote %d, dropped %+v, read %d", wrote, st.Dropped, len(all))
	}
	if last := all[len(all)-1]; last.Columns[0].Values[0] != 2000 {
		t.Errorf("the batch after the disk had room again is %v", last)
	}
	if st.Damaged != (Count{}) {
		t.Errorf("half-written batches were left behind: %+v", s.Stats().Damaged)
	}
	s.Close()
}

func TestRunSyncsOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Dir: t.TempDir()})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		synctest.Wait() // Run waits for its first second
		put(t, s, tick(1, group("a")))
		unsynced := func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.segments[0].unsynced
		}
		if !unsynced() {
			t.Error("synced on the tick")
		}
		<-time.After(1100 * time.Millisecond)
		if unsynced() {
			t.Error("not synced after a second")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s := open(b, Options{Dir: b.TempDir(), MaxBytes: 64 << 20})
	groups := make([]*sample.Group, 40)
	for i := range groups {
		groups[i] = group(fmt.Sprint("c", i))
	}
	batch := tick(1, groups...)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Append(batch); err != nil {
			b.Fatal(err)
		}
	}
}
