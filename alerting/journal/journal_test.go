package journal_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/plimsoll-io/plimsoll/alerting/journal"
)

// keeper collects what a journal gives back.
type keeper []string

func (k *keeper) take(data []byte) { *k = append(*k, string(data)) }

func open(t *testing.T, path string) (*journal.Journal, keeper) {
	t.Helper()
	var got keeper
	j, damage, err := journal.Open(path, got.take)
	if err != nil {
		t.Fatal(err)
	}
	if damage != (journal.Damage{}) {
		t.Errorf("damage %+v in a journal that is sound", damage)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j, got
}

func add(t *testing.T, j *journal.Journal, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := j.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

// replay is what a process finds that starts now.
func replay(t *testing.T, path string) (keeper, journal.Damage) {
	t.Helper()
	var got keeper
	damage, err := journal.Replay(path, got.take)
	if err != nil {
		t.Fatal(err)
	}
	return got, damage
}

func TestWhatWasAppendedIsReadInItsOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "silences.journal")
	j, got := open(t, path)
	if len(got) != 0 {
		t.Fatalf("a new journal holds %q", got)
	}
	add(t, j, "a", "b")
	// The process is killed: nobody closes the first.
	j, got = open(t, path)
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("read %q", got)
	}
	add(t, j, "c")
	if err := j.Sync(); err != nil {
		t.Error(err)
	}
	if got, _ := replay(t, path); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("read %q", got)
	}
}

func TestASnapshotReplacesWhatCameBeforeIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "j")
	j, _ := open(t, path)
	add(t, j, "before")
	drop, err := j.Rotate([]byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	add(t, j, "after")
	if got, _ := replay(t, path); !slices.Equal(got, []string{"before", "head", "after"}) {
		t.Errorf("before the snapshot is on disk: %q", got)
	}
	if err := drop(); err != nil {
		t.Fatal(err)
	}
	if got, _ := replay(t, path); !slices.Equal(got, []string{"head", "after"}) {
		t.Errorf("after it: %q", got)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("files %v, error %v; want one segment", files, err)
	}
	info, _ := files[0].Info()
	if j.Size() != info.Size() {
		t.Errorf("size %d, want %d", j.Size(), info.Size())
	}
}

// written is the bytes of a segment that holds some records.
func written(t *testing.T, records ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "j")
	j, _ := open(t, path)
	add(t, j, records...)
	data, err := os.ReadFile(path + ".00000001")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDamageCostsWhatIsDamaged(t *testing.T) {
	whole := written(t, "one", "two", "three")
	second := 8 + len("one")
	flip := func(at int) []byte {
		data := bytes.Clone(whole)
		data[at] ^= 0x10
		return data
	}
	tests := map[string]struct {
		data   []byte
		want   []string
		damage journal.Damage
	}{
		"the last record is torn":            {whole[:len(whole)-2], []string{"one", "two"}, journal.Damage{Tail: 8 + 3}},
		"even its header is torn":            {whole[:len(whole)-8], []string{"one", "two"}, journal.Damage{Tail: 5}},
		"garbage follows":                    {append(bytes.Clone(whole), "\xde\xad\xbe\xef\xde\xad\xbe\xef!"...), []string{"one", "two", "three"}, journal.Damage{Tail: 9}},
		"zeros follow, as after a power cut": {append(bytes.Clone(whole), make([]byte, 4096)...), []string{"one", "two", "three"}, journal.Damage{Tail: 4096}},
		"a byte of data is flipped":          {flip(second + 9), []string{"one", "three"}, journal.Damage{Records: 1}},
		"a byte of a sum is flipped":         {flip(second + 5), []string{"one", "three"}, journal.Damage{Records: 1}},
		"nothing but garbage":                {[]byte(strings.Repeat("\xff", 100)), nil, journal.Damage{Tail: 100}},
		"an empty file":                      {nil, nil, journal.Damage{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "j")
			if err := os.WriteFile(path+".00000001", tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			var got keeper
			j, damage, err := journal.Open(path, got.take)
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			if !slices.Equal(got, tt.want) || damage != tt.damage {
				t.Errorf("read %q with damage %+v, want %q with %+v", got, damage, tt.want, tt.damage)
			}

			add(t, j, "new")
			if again, _ := replay(t, path); !slices.Equal(again, append(slices.Clone(tt.want), "new")) {
				t.Errorf("then %q: what is appended must not hide behind the damage", again)
			}
			drop, err := j.Rotate()
			if err == nil {
				err = drop()
			}
			if err != nil {
				t.Fatal(err)
			}
			aside, err := os.ReadFile(path + ".damaged")
			if tt.damage == (journal.Damage{}) {
				if err == nil {
					t.Errorf("a sound segment was set aside")
				}
			} else if !bytes.Equal(aside, tt.data) {
				t.Errorf("set aside %d bytes, error %v; want the %d of the segment", len(aside), err, len(tt.data))
			}
		})
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

func TestAFullDiskCostsWhatCouldNotBeWrittenAndIsSaidUntilASnapshotCoversIt(t *testing.T) {
	dir := tiny(t, "64k")
	path := filepath.Join(dir, "j")
	j, _ := open(t, path)
	add(t, j, "first")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 60<<10), 0o600); err == nil {
		t.Log("the ballast fits")
	}
	kept := 1
	var full error
	for ; kept < 1000 && full == nil; kept++ {
		full = j.Append(bytes.Repeat([]byte{'x'}, 3000))
	}
	if full == nil {
		t.Fatal("the disk does not fill")
	}
	if err := j.Sync(); err == nil {
		t.Error("Sync says that all is on disk")
	}
	if got, damage := replay(t, path); len(got) != kept-1 || damage != (journal.Damage{}) {
		t.Errorf("%d records with damage %+v, want the %d that were taken and no half one", len(got), damage, kept-1)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	add(t, j, "there is room again")
	if j.Sync() == nil {
		t.Error("Sync forgets what was lost")
	}
	drop, err := j.Rotate()
	if err == nil {
		err = drop()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Sync(); err != nil {
		t.Errorf("after a snapshot: %v", err)
	}
}

func TestAJournalWithoutADirectoryGoesOnOnceThereIsOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	j, _ := open(t, filepath.Join(dir, "j"))
	if j.Append([]byte("a")) == nil || j.Err() == nil {
		t.Error("nothing is said")
	}
	if _, err := j.Rotate(); err == nil {
		t.Error("a segment where there is no directory")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	drop, err := j.Rotate()
	if err == nil {
		err = drop()
	}
	if err != nil || j.Err() != nil {
		t.Errorf("error %v, then %v", err, j.Err())
	}
	add(t, j, "b")
}

func TestAChangeThatIsTooLongIsRefused(t *testing.T) {
	j, _ := open(t, filepath.Join(t.TempDir(), "j"))
	for _, data := range [][]byte{nil, make([]byte, 16<<20+1)} {
		if j.Append(data) == nil {
			t.Errorf("%d bytes are taken", len(data))
		}
	}
}

func TestManyWritersShareAJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, _ := open(t, path)
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 100 {
				if err := j.Append(fmt.Appendf(nil, "%d %d", w, i)); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					if err := j.Sync(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	writers.Go(func() { // a snapshot that is never done drops nothing
		for range 5 {
			if _, err := j.Rotate(); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	got, damage := replay(t, path)
	slices.Sort(got)
	if len(slices.Compact(got)) != 800 || damage != (journal.Damage{}) {
		t.Errorf("%d records with damage %+v, want 800", len(got), damage)
	}
}

// FuzzSegment feeds a journal any file. It must not fail on it, must keep what
// is appended behind it, and must count each byte as read or as damage.
func FuzzSegment(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("\x03\x00\x00\x00????abc"))
	f.Add(binary.LittleEndian.AppendUint32(nil, 1<<31))
	f.Add(append(binary.LittleEndian.AppendUint64(nil, 3), "abc\x00\x00\x00\x00\x00\x00\x00\x00"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path+".00000001", data, 0o600); err != nil {
			t.Fatal(err)
		}
		var got keeper
		j, damage, err := journal.Open(path, got.take)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		read := int64(0)
		for _, r := range got {
			read += 8 + int64(len(r))
		}
		rest := int64(len(data)) - read - damage.Tail
		if rest < int64(9*damage.Records) || damage.Records == 0 && rest != 0 {
			t.Errorf("of %d bytes %d were read, %d are a tail, and %d are left for %d records", len(data), read, damage.Tail, rest, damage.Records)
		}
		add(t, j, "new")
		if again, _ := replay(t, path); len(again) != len(got)+1 || again[len(got)] != "new" {
			t.Errorf("%d records after %d and a new one", len(again), len(got))
		}
	})
}

// BenchmarkAppend is what a change costs whoever makes it, and what it costs to
// wait until it survives a power cut too.
func BenchmarkAppend(b *testing.B) {
	for _, flush := range []bool{false, true} {
		b.Run(fmt.Sprintf("flush=%v", flush), func(b *testing.B) {
			j, _, err := journal.Open(filepath.Join(b.TempDir(), "j"), func([]byte) {})
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			data := make([]byte, 300)
			for b.Loop() {
				if err := j.Append(data); err != nil {
					b.Fatal(err)
				}
				if flush {
					if err := j.Sync(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func TestSnapshotsThatOverlapDropEachSegmentOnce(t *testing.T) {
	j, _, err := journal.Open(filepath.Join(t.TempDir(), "j"), func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	var drops []func() error
	for range 3 {
		if err := j.Append([]byte("x")); err != nil {
			t.Fatal(err)
		}
		drop, err := j.Rotate()
		if err != nil {
			t.Fatal(err)
		}
		drops = append(drops, drop)
	}
	for i := range drops { // the newest first
		if err := drops[len(drops)-1-i](); err != nil {
			t.Error(err)
		}
	}
	if n := j.Size(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
