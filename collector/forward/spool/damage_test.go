package spool

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"github.com/plimsoll-io/plimsoll/internal/records"
)

// A kill may cut the last write anywhere.
func TestATornEndCostsTheLastRecordAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir}, "a")
	put(t, s, 1, series(2, "a"), values(1, 2))
	whole := s.last().size
	put(t, s, 2, series(2, "b"), values(2, 2)) // brings label sets with it
	path := s.last().path
	abandon(s)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := points(1, series(2, "a"), values(1, 2))
	for cut := whole; cut < int64(len(data)); cut++ {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, Options{Dir: dir}, "a")
		put(t, s, 3, series(1, "c"), values(3, 1))
		got, damaged, _ := drain(t, s.Reader("a"))
		if diff := cmp.Diff(append(want[:2:2], points(3, series(1, "c"), values(3, 1))...), got); diff != "" || damaged != 0 {
			t.Fatalf("cut at %d, %d damaged: %s", cut, damaged, diff)
		}
		s.Close()
	}
}

// Whatever byte is flipped, all samples are read or counted, and none twice.
func TestADamagedByteIsSteppedOverAndCounted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 256}, "a")
	var want []point
	for i := range 40 {
		ls := series(3, string(rune('a'+i/20)))
		put(t, s, int64(i), ls, values(i, 3))
		want = append(want, points(int64(i), ls, values(i, 3))...)
	}
	s.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d segments, %v", len(files), err)
	}
	content := map[string][]byte{}
	for _, f := range append(files, filepath.Join(dir, placesName)) {
		if content[filepath.Base(f)], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	worst := 0
	for _, victim := range files {
		name := filepath.Base(victim)
		for at := range content[name] {
			dir, err := os.MkdirTemp(ram(), "forward")
			if err != nil {
				t.Fatal(err)
			}
			for n, data := range content {
				if n == name {
					data = bytes.Clone(data)
					data[at] ^= 0x10
				}
				if err := os.WriteFile(filepath.Join(dir, n), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := open(t, Options{Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 256}, "a")
			put(t, s, 100, series(1, "z"), []float64{1}) // by which damage at the end is noticed
			got, damaged, _ := drain(t, s.Reader("a"))
			if len(got)+int(damaged) != len(want)+1 {
				t.Fatalf("%s byte %d: %d read, %d damaged, of %d", name, at, len(got), damaged, len(want)+1)
			}
			inOrder(t, want, got[:len(got)-1])
			worst = max(worst, int(damaged))
			s.Reader("a").close()
			s.Close()
			os.RemoveAll(dir)
		}
	}
	if worst == 0 || worst > 60 {
		t.Errorf("one byte cost up to %d samples, want at most a segment's", worst)
	}
}

// inOrder wants got to be want with some left out.
func inOrder(t failer, want, got []point) {
	t.Helper()
	i := 0
	for _, p := range got {
		for i < len(want) && want[i] != p {
			i++
		}
		if i == len(want) {
			t.Fatalf("%+v was never written, or not there", p)
		}
		i++
	}
}

func TestASegmentDeletedByHandIsCounted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 256}, "a")
	for i := range 30 {
		put(t, s, int64(i), series(3, "a"), values(i, 3))
	}
	s.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	for _, f := range []string{files[0], files[3], files[len(files)-1]} {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, Options{Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 256}, "a")
	put(t, s, 100, series(1, "z"), []float64{1})
	got, damaged, _ := drain(t, s.Reader("a"))
	missing := s.Reader("a").Lost()[Missing]
	if missing == 0 || damaged == 0 || uint64(len(got))+damaged+missing != 91 {
		t.Errorf("%d read, %d damaged, %d missing, of 91", len(got), damaged, missing)
	}
}

// TestModel walks at random through a spool's life: whatever a reader is handed
// was written, in order, and each sample is read, waits or is counted, once.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		defer m.close()
		t.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"read":    m.read,
			"commit":  m.commit,
			"rewind":  m.rewind,
			"kill":    m.kill,
			"restart": m.restart,
			"corrupt": m.corrupt,
			"":        m.check,
		})
	})
}

type model struct {
	dir     string
	s       *Spool
	tick    int
	written uint64 // samples, ever
	opened  uint64 // of them dealt with when the spool was opened
	settled uint64 // read or damaged, and committed, since
	flight  uint64 // read or damaged, not committed
	end     Place
	last    int64 // time of the sample read last
}

func newModel(t *rapid.T) *model {
	dir, err := os.MkdirTemp(ram(), "forward")
	if err != nil {
		t.Fatal(err)
	}
	m := &model{dir: dir}
	m.open(t)
	return m
}

func (m *model) close() {
	m.s.Reader("a").close()
	m.s.Close()
	os.RemoveAll(m.dir)
}

// ram is a place where a sync costs nothing, if there is one.
func ram() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func (m *model) open(t *rapid.T) {
	s, err := Open(Options{Dir: m.dir, MaxBytes: 6000, SegmentBytes: 700})
	if err != nil {
		t.Fatal(err)
	}
	s.SetReaders([]string{"a"})
	m.s, m.settled, m.flight, m.end, m.last = s, 0, 0, Place{}, -1
	m.opened = s.Reader("a").committed.Samples - s.Reader("a").lost[Missing]
}

func (m *model) append(t *rapid.T) {
	m.tick++
	var ls []labels.Labels
	for range rapid.IntRange(1, 12).Draw(t, "series") {
		ls = append(ls, labels.FromStrings("__name__", "m", "n", fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "n"))))
	}
	put(t, m.s, int64(m.tick), ls, values(m.tick, len(ls)))
	m.written += uint64(len(ls))
}

func (m *model) read(t *rapid.T) {
	got, damaged, end := drain(t, m.s.Reader("a"))
	for _, p := range got {
		if p.At < m.last {
			t.Fatalf("time %d after %d", p.At, m.last)
		}
		m.last = p.At
	}
	if end != (Place{}) {
		m.flight += uint64(len(got)) + damaged
		m.end = end
	}
}

func (m *model) commit(*rapid.T) {
	if m.end == (Place{}) {
		return
	}
	m.s.Reader("a").Commit(m.end)
	m.settled, m.flight, m.end = m.settled+m.flight, 0, Place{}
}

func (m *model) rewind(*rapid.T) {
	m.s.Reader("a").Rewind()
	m.flight, m.end, m.last = 0, Place{}, -1
}

// kill leaves the directory as it is; what was synced and noted is all that a
// reader may rely on.
func (m *model) kill(t *rapid.T) {
	if err := m.s.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := m.s.Save(); err != nil {
		t.Fatal(err)
	}
	abandon(m.s)
	m.open(t)
}

func (m *model) restart(t *rapid.T) {
	m.s.Reader("a").close()
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

// corrupt flips a byte of a file while nobody has it open.
func (m *model) corrupt(t *rapid.T) {
	m.s.Reader("a").close()
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(m.dir, "*"+segmentSuffix))
	path := rapid.SampledFrom(files).Draw(t, "file")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 0 {
		data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= 0x40
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.open(t)
}

func (m *model) check(t *rapid.T) {
	r := m.s.Reader("a")
	var lost uint64
	for _, n := range r.Lost() {
		lost += n
	}
	if sum := m.opened + m.settled + lost + r.Pending(); sum != m.written {
		t.Fatalf("%d before, %d settled, %d lost, %d pending: %d of %d", m.opened, m.settled, lost, r.Pending(), sum, m.written)
	}
	if m.flight > r.Pending() {
		t.Fatalf("%d on their way, %d pending", m.flight, r.Pending())
	}
	if b := m.s.bytes(); b > 6000+1500 {
		t.Fatalf("%d bytes", b)
	}
}

func FuzzSegment(f *testing.F) {
	s := &Spool{refs: map[labels.Labels]uint32{}, next: Place{1, 0}}
	ls := series(2, "a")
	s.encode(&segment{first: Place{1, 0}}, time.UnixMilli(6), 5, ls, []float64{1, 0.5})
	f.Add(s.buf)
	f.Add(s.buf[:len(s.buf)-3])
	f.Fuzz(func(t *testing.T, data []byte) {
		// What is behind a header that holds is the interesting part.
		for at := segmentBytes; at+records.HeaderBytes < len(data); {
			h, ok := format.Parse(data[at:])
			if !ok {
				break
			}
			end := min(len(data), at+records.HeaderBytes+int(h.Length))
			format.Finish(data[:end], at, h)
			at = end
		}
		dir, err := os.MkdirTemp(ram(), "forward")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		s.SetReaders([]string{"a"})
		defer func() {
			s.Reader("a").close()
			s.Close()
		}()
		put(t, s, 9, ls, []float64{1, 2})
		got, _, _ := drain(t, s.Reader("a"))
		if n := len(got); n < 2 || got[n-1].At != 9 {
			t.Fatalf("what was appended behind it is not read: %v", got)
		}
	})
}

func FuzzSamples(f *testing.F) {
	f.Add(appendSamples(nil, 5, 6, []run{{0, 2}, {7, 1}}, []float64{1, 0.5, -3}), uint32(3))
	f.Fuzz(func(t *testing.T, p []byte, n uint32) {
		var r Record
		if decodeSamples(p, n, &r) != nil {
			return
		}
		if len(r.Refs) != int(n) || len(r.Values) != int(n) || int(n) > len(p) {
			t.Errorf("%d refs and %d values of %d in %d bytes", len(r.Refs), len(r.Values), n, len(p))
		}
	})
}

func FuzzLabels(f *testing.F) {
	p, _, _ := appendLabels(nil, nil, series(3, "a"))
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		sets := 0
		if decodeLabels(p, func(labels.Labels) { sets++ }) == nil && sets > maxChunk {
			t.Errorf("%d sets of %d bytes", sets, len(p))
		}
	})
}
