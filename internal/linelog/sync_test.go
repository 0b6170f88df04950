package linelog_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/plimsoll-io/plimsoll/internal/linelog"
)

// A disk that hangs holds up who waits for it, and nobody else; and those that
// wait share its next turn.
func TestAppendingGoesOnWhileTheDiskHangs(t *testing.T) {
	l := open(t, linelog.Options{Dir: t.TempDir()})
	var turns atomic.Int32
	begun, hangs := make(chan struct{}, 9), make(chan struct{})
	l.SetFsync(func(*os.File) error {
		turns.Add(1)
		begun <- struct{}{}
		<-hangs
		return nil
	})
	var waiting sync.WaitGroup
	for i := range 500 {
		put(t, l, fmt.Sprint("line ", i))
		waiting.Go(func() {
			if err := l.Sync(); err != nil {
				t.Error(err)
			}
		})
		if i == 0 {
			<-begun
		}
	}
	close(hangs)
	waiting.Wait()
	if n := turns.Load(); n > 2 {
		t.Errorf("500 that wait took %d turns, want the one that hung and one for all", n)
	}
	before := turns.Load()
	if err := l.Sync(); err != nil || turns.Load() != before {
		t.Errorf("error %v, %d turns for nothing new", err, turns.Load()-before)
	}
}

// What a disk did not take is told to all whose lines were in it, once and later.
func TestWhatTheDiskLostIsToldToAllWhoWait(t *testing.T) {
	l := open(t, linelog.Options{Dir: t.TempDir()})
	broken := errors.New("broken")
	l.SetFsync(func(*os.File) error { return broken })
	put(t, l, "lost")
	for range 2 {
		if err := l.Sync(); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	}
	l.SetFsync((*os.File).Sync)
	put(t, l, "kept")
	if err := l.Sync(); err != nil {
		t.Errorf("what was appended after that: %v", err)
	}
}

// Sync has also what went into a segment that is full by now.
func TestASyncTakesFullSegmentsWithIt(t *testing.T) {
	for _, pack := range []bool{false, true} {
		l := open(t, linelog.Options{Dir: t.TempDir(), MaxBytes: 1 << 20, Pack: pack})
		var mu sync.Mutex
		synced := make(map[string]bool)
		l.SetFsync(func(f *os.File) error {
			mu.Lock()
			defer mu.Unlock()
			synced[filepath.Base(f.Name())] = true
			return nil
		})
		for len(l.Segments()) < 4 {
			put(t, l, strings.Repeat("x", 10_000))
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		l.Settle()
		mu.Lock()
		for i := 1; i <= 4; i++ {
			if name := fmt.Sprintf("%08d.jsonl", i); !synced[name] {
				t.Errorf("pack %v: %s was never synced", pack, name)
			}
		}
		mu.Unlock()
	}
}

// Packing a segment takes as long as the disk takes; the next one is written
// meanwhile.
func TestASegmentIsPackedBesideTheWriting(t *testing.T) {
	l := open(t, linelog.Options{Dir: t.TempDir(), MaxBytes: 1 << 20, Pack: true})
	hangs := make(chan struct{})
	l.SetFsync(func(*os.File) error { <-hangs; return nil })
	var want []string
	for i := 0; len(l.Segments()) < 2 || l.Segments()[1].Size < 60_000; i++ {
		want = append(want, fmt.Sprint(i, " ", strings.Repeat("x", 1000)))
		put(t, l, want[i])
	}
	if got := all(t, l.Segments()); !slices.Equal(got, want) || strings.HasSuffix(l.Segments()[0].Name(), ".gz") {
		t.Errorf("%d lines of %d, first in %s", len(got), len(want), l.Segments()[0].Name())
	}
	close(hangs)
	l.Settle()
	if got := all(t, l.Segments()); !slices.Equal(got, want) || !strings.HasSuffix(l.Segments()[0].Name(), ".gz") {
		t.Errorf("packed: %d lines of %d, first in %s", len(got), len(want), l.Segments()[0].Name())
	}
}

// A log that is opened again with fewer bytes drops what is too much, but says so
// first, where a segment begins.
func TestFewerBytesThanBeforeAreForetold(t *testing.T) {
	for _, to := range []int64{1 << 20, 300 << 10, 90 << 10, 40 << 10} {
		dir := t.TempDir()
		l := open(t, linelog.Options{Dir: dir, MaxBytes: 1 << 20})
		for i := range 900 {
			put(t, l, fmt.Sprint(i, " ", strings.Repeat("x", 1000)))
		}
		for i := 0; l.Segments()[len(l.Segments())-1].Size > 3000; i++ {
			put(t, l, fmt.Sprint(i, " ", strings.Repeat("y", 1000)))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, linelog.Options{Dir: dir, MaxBytes: to})
		for i := range 50 {
			before := l.Segments()[0].Number
			place, err := l.Room(5)
			if err != nil {
				t.Fatal(err)
			}
			put(t, l, "line")
			after := l.Segments()[0].Number
			if after != before && !place.Fresh || after != place.Oldest {
				t.Fatalf("to %d bytes, line %d: Room said %+v, dropped were %d to %d", to, i, place, before, after-1)
			}
		}
		if l.Bytes() > to {
			t.Errorf("%d bytes, may be %d", l.Bytes(), to)
		}
	}
}

// What is there packed and not, as a crash or a disk that refused leaves it, goes
// as one.
func TestWhatIsThereTwiceIsDroppedAsOne(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string][]byte{
		"00000001.jsonl": bytes.Repeat([]byte("old\n"), 100), "00000001.jsonl.gz": nil, "00000001.jsonl.gz.new": nil,
		"00000002.jsonl.gz": nil, "00000003.jsonl": []byte("young\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, linelog.Options{Dir: dir, MaxBytes: 100})
	put(t, l, "new")
	files, err := filepath.Glob(filepath.Join(dir, "00000001*"))
	if err != nil || len(files) > 0 {
		t.Errorf("%v are left of what was dropped, error %v", files, err)
	}
}

// Where no segment can be begun, trying costs nothing that lasts.
func TestASegmentThatCannotBeBegunLeavesNoFileOpen(t *testing.T) {
	dir := t.TempDir()
	l := open(t, linelog.Options{Dir: dir, MaxBytes: 8 << 10})
	line := strings.Repeat("x", 900)
	put(t, l, line)
	if err := os.Mkdir(filepath.Join(dir, "00000002.jsonl"), 0o700); err != nil {
		t.Fatal(err)
	}
	descriptors := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := descriptors()
	for range 50 {
		if err := l.Append([]byte(line)); err == nil {
			t.Fatal("it was appended")
		}
	}
	if now := descriptors(); now > before+5 {
		t.Errorf("%d files are open, %d were before", now, before)
	}
}
