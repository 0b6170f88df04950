package linelog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/linelog"
)

func open(t *testing.T, opts linelog.Options) *linelog.Log {
	t.Helper()
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 1 << 20
	}
	l, err := linelog.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func put(t *testing.T, l *linelog.Log, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := l.Append([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
	}
}

// all are the whole lines of segments, the oldest first, read both ways.
func all(t *testing.T, segments []linelog.Segment) (texts []string) {
	t.Helper()
	var back []string
	for _, s := range segments {
		for line, err := range s.Forward() {
			if err != nil {
				t.Fatal(err)
			}
			if !line.Torn {
				texts = append(texts, string(line.Text))
			}
		}
	}
	for _, s := range slices.Backward(segments) {
		for line, err := range s.Backward() {
			if err != nil {
				t.Fatal(err)
			}
			if !line.Torn {
				back = append(back, string(line.Text))
			}
		}
	}
	slices.Reverse(back)
	if !slices.Equal(texts, back) {
		t.Fatalf("forward %q\nbackward %q", texts, back)
	}
	return texts
}

func size(t *testing.T, dir string) (sum int64) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // packed meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

func TestWhatWasAppendedIsReadInItsOrder(t *testing.T) {
	dir := t.TempDir()
	l := open(t, linelog.Options{Dir: dir})
	long := strings.Repeat("x", 300_000) // more than is read at once
	want := []string{"a", "", long, "b", long + long, "c"}
	put(t, l, want...)
	if got := all(t, l.Segments()); !slices.Equal(got, want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
	list, err := linelog.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, list); !slices.Equal(got, want) {
		t.Errorf("who only reads finds %d lines, want %d", len(got), len(want))
	}
}

func TestItNeverTakesMoreThanItMayAndCountsWhatItDrops(t *testing.T) {
	plain := 0 // lines
	for _, pack := range []bool{false, true} {
		dir := t.TempDir()
		const most, total = 1 << 20, 9000
		noise := make([]byte, 150)
		r := rand.NewChaCha8([32]byte{1})
		l := open(t, linelog.Options{Dir: dir, MaxBytes: most, Pack: pack})
		for i := range total {
			_, _ = r.Read(noise)
			put(t, l, fmt.Sprintf("%06d %x", i, noise[:100+i%50]))
			if l.Bytes() > most {
				t.Fatalf("pack %v: %d bytes after %d lines, may be %d", pack, l.Bytes(), i+1, most)
			}
			if i%50 > 0 {
				continue
			}
			if n := size(t, dir); n > most || !pack && n != l.Bytes() {
				t.Fatalf("pack %v: %d bytes on disk after %d lines, Bytes says %d, may be %d", pack, n, i+1, l.Bytes(), most)
			}
		}
		l.Settle()
		if n := size(t, dir); n != l.Bytes() {
			t.Errorf("pack %v: %d bytes on disk, Bytes says %d", pack, n, l.Bytes())
		}
		if n := l.Bytes(); n < most*5/8 {
			t.Errorf("pack %v: %d bytes are left, want most of %d", pack, n, most)
		}
		got := all(t, l.Segments())
		for i, text := range got {
			if want := fmt.Sprintf("%06d", total-len(got)+i); text[:6] != want {
				t.Fatalf("pack %v: line %d is %s, want %s: there is a gap", pack, i, text[:6], want)
			}
		}
		if l.Dropped()+int64(len(got)) != total || l.Dropped() == 0 {
			t.Errorf("pack %v: %d lines are there and %d were counted as dropped, of %d", pack, len(got), l.Dropped(), total)
		}
		if was := plain; pack && len(got) < was*5/4 {
			t.Errorf("packed, there are %d lines, %d without", len(got), was)
		}
		plain = len(got)
	}
}

// packed is a directory with one packed segment of a text, and the log.
func packed(t *testing.T, text []byte) (string, *linelog.Log) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), text, 0o640); err != nil {
		t.Fatal(err)
	}
	// The first is full, by its age.
	l := open(t, linelog.Options{Dir: dir, MaxBytes: 64 << 20, MaxAge: time.Hour, Pack: true, TimeOf: func([]byte) time.Time { return time.Now().Add(-time.Hour) }})
	put(t, l, "new")
	l.Settle()
	return dir, l
}

func TestAPackedSegmentReadsAsBeforeAndByZcat(t *testing.T) {
	var text []byte
	var want []string
	for i := range 20_000 {
		line := fmt.Sprintf("%d %s", i, strings.Repeat("y", i%97))
		if i%5000 == 7 {
			line += strings.Repeat("long", 150_000) // over several blocks
		}
		want, text = append(want, line), append(text, line+"\n"...)
	}
	dir, l := packed(t, text)
	if got := all(t, l.Segments()); !slices.Equal(got, append(want, "new")) {
		t.Errorf("%d lines, want %d and the new one", len(got), len(want))
	}
	file := filepath.Join(dir, "00000001.jsonl.gz")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o640 || info.Size() > int64(len(text)/4) {
		t.Errorf("%v, %d bytes of %d", info.Mode(), info.Size(), len(text))
	}
	if zcat, err := exec.LookPath("zcat"); err == nil {
		out, err := exec.Command(zcat, file).Output()
		if err != nil || !bytes.Equal(out, text) {
			t.Errorf("zcat reads %d bytes of %d, error %v", len(out), len(text), err)
		}
	}
	// A start after a crash in between finds both.
	if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := linelog.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, list); len(list) != 2 || len(got) != len(want)+1 {
		t.Errorf("%d segments with %d lines when one is there twice", len(list), len(got))
	}
}

// Who listed a segment before it was packed reads what there was then.
func TestASegmentThatIsPackedMeanwhileIsRead(t *testing.T) {
	l := open(t, linelog.Options{Dir: t.TempDir(), MaxBytes: 8 << 20, Pack: true})
	var want []string
	for i := 0; len(l.Segments()) < 2; i++ {
		if i%500 == 499 {
			before := l.Segments()
			want = all(t, before)
			for range 2000 {
				put(t, l, strings.Repeat("z", 700))
			}
			if got := all(t, before); !slices.Equal(got, want) {
				t.Fatalf("%d lines, there were %d when it was listed", len(got), len(want))
			}
			return
		}
		put(t, l, fmt.Sprintf("%d %s", i, strings.Repeat("z", 1000)))
	}
	t.Error("it was packed too early")
}

func TestAPackedSegmentThatIsDamagedIsAnErrorAndGoesAsAny(t *testing.T) {
	dir, l := packed(t, []byte(strings.Repeat("line\n", 200_000)))
	file := filepath.Join(dir, "00000001.jsonl.gz")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 3, 13, 16, 30, len(data) / 2, len(data) - 6} {
		other := bytes.Clone(data)
		other[at] ^= 0x41
		if err := os.WriteFile(file, other, 0o600); err != nil {
			t.Fatal(err)
		}
		var forward, backward error
		seg := l.Segments()[0]
		for _, forward = range seg.Forward() {
		}
		for _, backward = range seg.Backward() {
		}
		if backward == nil || forward == nil && at > 16 {
			t.Errorf("byte %d: forward %v, backward %v", at, forward, backward)
		}
	}
	if err := os.WriteFile(file, data[:10], 0o600); err != nil {
		t.Fatal(err)
	}
	old := open(t, linelog.Options{Dir: dir, MaxBytes: 1})
	if err := old.Trim(); err != nil || len(old.Segments()) != 0 {
		t.Errorf("%d segments are left, error %v", len(old.Segments()), err)
	}
}

// Who writes the first line of a segment knows what will be dropped for it, and
// is obeyed before anything is.
func TestRoomForetellsWhatAppendDrops(t *testing.T) {
	dir := t.TempDir()
	l := open(t, linelog.Options{Dir: dir, MaxBytes: 16 << 10})
	fresh := 0
	for i := range 1000 {
		line := fmt.Appendf(nil, "%d %s\n", i, strings.Repeat("y", i%300))
		before := l.Segments()
		place, err := l.Room(len(line))
		if err != nil {
			t.Fatal(err)
		}
		if len(before) > 0 && l.Segments()[0].Number != before[0].Number {
			t.Fatal("Room has dropped something")
		}
		if err := l.Append(line); err != nil {
			t.Fatal(err)
		}
		after := l.Segments()
		if place.Fresh {
			fresh++
			if place.Segment != after[len(after)-1].Number {
				t.Errorf("line %d went into %d, Room said %d", i, after[len(after)-1].Number, place.Segment)
			}
		}
		if after[0].Number != place.Oldest {
			t.Fatalf("after line %d the oldest is %d, Room said %d", i, after[0].Number, place.Oldest)
		}
		if !place.Fresh && len(before) > 0 && before[0].Number != after[0].Number {
			t.Fatalf("line %d, not the first of its segment, dropped something", i)
		}
	}
	if fresh < 20 {
		t.Fatalf("only %d segments were begun", fresh)
	}
}

// However a crash tears the last line, it costs that line only, and what comes
// after is whole.
func TestATornLineCostsItself(t *testing.T) {
	whole := []byte("first line\nsecond line\n")
	for cut := range len(whole) + 1 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000007.jsonl"), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, linelog.Options{Dir: dir})
		want := strings.Split(string(whole[:cut]), "\n")
		want = want[:len(want)-1]
		if got := all(t, l.Segments()); !slices.Equal(got, want) {
			t.Fatalf("cut after %d bytes, before writing: %q, want %q", cut, got, want)
		}
		put(t, l, "new")
		if got := all(t, l.Segments()); !slices.Equal(got, append(want, "new")) || len(l.Segments()) != 1 {
			t.Fatalf("cut after %d bytes: %q in %d segments, want %q and the new one in one", cut, got, len(l.Segments()), want)
		}
	}
}

func TestWhatIsTooOldGoes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, linelog.Options{Dir: dir, MaxAge: 8 * time.Hour})
		for hour := range 20 {
			put(t, l, fmt.Sprint(hour))
			<-time.After(time.Hour + time.Minute) // virtual
		}
		got := all(t, l.Segments())
		if len(got) < 8 || len(got) > 10 || got[len(got)-1] != "19" || l.Dropped() != int64(20-len(got)) {
			t.Errorf("%q are left and %d dropped, want eight to ten of 20", got, l.Dropped())
		}
		<-time.After(9 * time.Hour)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Trim(); err != nil {
			t.Fatal(err)
		}
		if n := len(l.Segments()); n != 0 || l.Bytes() != 0 {
			t.Errorf("%d segments are left of what is all too old", n)
		}
	})
}

func TestTheFirstLineTellsHowOldASegmentIs(t *testing.T) {
	dir := t.TempDir()
	began := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	text := began.Format(time.RFC3339) + "\nlater\n"
	if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, linelog.Options{Dir: dir, MaxAge: 8 * time.Hour, TimeOf: func(line []byte) time.Time {
		at, _ := time.Parse(time.RFC3339, string(line))
		return at
	}})
	if got := l.Segments()[0].Oldest; !got.Equal(began) {
		t.Errorf("began %v, want %v", got, began)
	}
	put(t, l, "new")
	if n := len(l.Segments()); n != 2 {
		t.Errorf("%d segments: one that has its eighth of the age must not go on", n)
	}
}

// tiny is a directory on a disk of some kilobytes.
func tiny(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("a full disk takes a file system of its own: mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestAFullDiskCostsOnlyWhatDoesNotFit(t *testing.T) {
	dir := tiny(t, "64k")
	l := open(t, linelog.Options{Dir: dir})
	var want []string
	lost := 0
	for i := range 400 {
		line := fmt.Sprintf("%d %s", i, strings.Repeat("z", i*7%900))
		if l.Append([]byte(line+"\n")) == nil {
			want = append(want, line)
		} else {
			lost++
		}
	}
	if len(want) == 0 || lost == 0 {
		t.Fatalf("%d lines kept and %d lost: the disk was never full", len(want), lost)
	}
	if got := all(t, l.Segments()); !slices.Equal(got, want) {
		t.Errorf("%d lines can be read, %d were kept", len(got), len(want))
	}
}

func TestALineThatCanNeverFitIsRefused(t *testing.T) {
	l := open(t, linelog.Options{Dir: t.TempDir(), MaxBytes: 1000})
	put(t, l, "before")
	if l.Append(bytes.Repeat([]byte("x"), 1001)) == nil {
		t.Error("no error")
	}
	put(t, l, "after")
	if got := all(t, l.Segments()); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("%q", got)
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"notes.txt", "1.jsonl", "x.jsonl", "00000002.jsonl.bz2", "-0000001.jsonl"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("theirs\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, linelog.Options{Dir: dir, MaxBytes: 100})
	for range 50 {
		put(t, l, "ours, which is dropped again and again")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if theirs := len(files) - len(l.Segments()); theirs != 5 {
		t.Errorf("%d of 5 other files are left: %v", theirs, files)
	}
}

func TestWhatCannotBeOpenedIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, opts := range []linelog.Options{{Dir: file, MaxBytes: 1}, {Dir: t.TempDir()}} {
		if _, err := linelog.Open(opts); err == nil {
			t.Errorf("%+v: no error", opts)
		}
	}
	if _, err := linelog.List(filepath.Join(file, "no")); err == nil {
		t.Error("no error for a directory that is none")
	}
	if _, err := linelog.List(filepath.Join(t.TempDir(), "no")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v for a directory that is not there", err)
	}
}

// Readers see whole lines in their order, while lines are written and dropped.
func TestReadersGoOnBesideWritingAndDropping(t *testing.T) {
	l := open(t, linelog.Options{Dir: t.TempDir(), MaxBytes: 32 << 10})
	ended := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for reading := true; reading; {
				select {
				case <-ended:
					reading = false
				default:
				}
				last := -1
				for _, s := range l.Segments() {
					for line, err := range s.Forward() {
						var n int
						if err != nil || line.Torn {
							t.Errorf("line %+v, error %v", line, err)
							return
						}
						if _, err := fmt.Sscanf(string(line.Text), "%d", &n); err != nil || n <= last {
							t.Errorf("%q after %d", line.Text, last)
							return
						}
						last = n
					}
				}
			}
		})
	}
	for i := range 3000 {
		put(t, l, fmt.Sprintf("%d %s", i, strings.Repeat("x", i%100)))
	}
	close(ended)
	readers.Wait()
	if l.Dropped() == 0 {
		t.Error("nothing was dropped meanwhile")
	}
}

// FuzzSegment: whatever is in a file, both ways of reading it end with the same
// lines, which are all of its bytes, and what is appended is found.
func FuzzSegment(f *testing.F) {
	f.Add([]byte("a\nb\n"))
	f.Add([]byte("\n\n\x00"))
	f.Add([]byte("no end"))
	f.Add([]byte(strings.Repeat("long ", 30_000) + "\nshort\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, linelog.Options{Dir: dir, MaxBytes: 64 << 20})
		var joined []byte
		for _, s := range l.Segments() {
			for line, err := range s.Forward() {
				if err != nil || line.At != int64(len(joined)) {
					t.Fatalf("line at %d after %d bytes, error %v", line.At, len(joined), err)
				}
				joined = append(joined, line.Text...)
				if !line.Torn {
					joined = append(joined, '\n')
				}
			}
		}
		if !bytes.Equal(joined, data) {
			t.Errorf("%d bytes in the lines of a file of %d", len(joined), len(data))
		}
		before := all(t, l.Segments())
		put(t, l, "new")
		if after := all(t, l.Segments()); !slices.Equal(after, append(before, "new")) {
			t.Errorf("%d lines after %d and a new one", len(after), len(before))
		}
		if _, l := packed(t, data); !slices.Equal(all(t, l.Segments()), append(before, "new")) {
			t.Error("packed it reads differently")
		}
	})
}

// FuzzPacked: whatever is in a packed file, reading it ends.
func FuzzPacked(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x04"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl.gz"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := linelog.List(dir)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		for range list[0].Forward() {
		}
		for range list[0].Backward() {
		}
	})
}
