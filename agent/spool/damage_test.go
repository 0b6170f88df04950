package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/records"
)

// A kill may cut the last write anywhere.
func TestATornEndCostsTheLastBatchAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	put(t, s, tick(1, group("a")))
	put(t, s, tick(2, group("b"))) // brings a definition with it
	id, whole := s.ID(), s.segments[0].size
	want := drain(t, s, 0)
	put(t, s, tick(3, group("c")))
	s.Close()
	data, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	for cut := whole; cut < int64(len(data)); cut++ {
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, Options{Dir: dir})
		if s.NextSeq() != 3 || s.ID() != id {
			t.Fatalf("cut at %d: next is %d, want 3 under the same identity", cut, s.NextSeq())
		}
		last := tick(30, group("d"))
		put(t, s, last)
		got := drain(t, s, 0)
		if diff := cmp.Diff(append(want[:2:2], Record{Seq: 3, Time: last.Time, Columns: last.Columns}), got, sameRecord); diff != "" {
			t.Fatalf("cut at %d (-want +got):\n%s", cut, diff)
		}
		if st := s.Stats(); st.Damaged != (Count{}) {
			t.Fatalf("cut at %d: %+v counted as damaged", cut, st.Damaged)
		}
		s.Close()
	}
}

// A kill may also cut the first write, with the segment's opening.
func TestATornFirstWriteIsStartedOver(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	put(t, s, tick(1, group("a")))
	s.Close()
	data, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range data {
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, Options{Dir: dir})
		put(t, s, tick(1, group("a")))
		if got := drain(t, s, 0); len(got) != 1 || got[0].Seq != 1 {
			t.Fatalf("cut at %d: read %v", cut, got)
		}
		s.Close()
	}
}

func TestADamagedByteCostsAtMostItsBatchAndIsReportedOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	a := group("a")
	put(t, s, tick(1, a))
	from := s.segments[0].size
	put(t, s, tick(2, a))
	to := s.segments[0].size
	put(t, s, tick(3, a))
	s.Close()
	path := filepath.Join(dir, segmentName(1))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := from; at < to; at++ {
		bad := bytes.Clone(data)
		bad[at] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s := open(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for range 2 { // two readers come by
			got := drain(t, s, 0)
			if len(got) != 2 || got[0].Seq != 1 || got[1].Seq != 3 {
				t.Fatalf("byte %d: read %v", at, got)
			}
		}
		if st := s.Stats(); st.Damaged != (Count{1, 2}) {
			t.Fatalf("byte %d: damage counted as %+v", at, st.Damaged)
		}
		if said := log.String(); strings.Count(said, "damage") != 1 || !strings.Contains(said, path) ||
			!strings.Contains(said, fmt.Sprintf("offset=%d", from)) {
			t.Fatalf("byte %d: said %q", at, said)
		}
		s.Close()
	}
}

// TestModel walks at random through a spool's life and compares it with a list
// in memory: whatever is read is what was written, in order; whatever is
// missing is counted.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		defer m.close()
		t.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"ack":     m.ack,
			"kill":    m.kill,
			"close":   m.reopen,
			"tear":    m.tear,
			"corrupt": m.corrupt,
			"":        m.check,
		})
	})
}

type model struct {
	dir     string
	keep    time.Duration
	s       *Spool
	batches map[uint64]Record // as appended
	groups  []*sample.Group
	ended   int // groups ended so far, for names
	tick    int
	tail    int64 // offset of the last write in the last segment
	flipped bool  // a byte has been damaged: the identity may be renewed for caution
	opening bool  // what a segment opens with has been damaged, or is not there behind damage
}

func newModel(t *rapid.T) *model {
	dir, err := os.MkdirTemp(ram(), "spool")
	if err != nil {
		t.Fatal(err)
	}
	m := &model{dir: dir, keep: rapid.SampledFrom([]time.Duration{-1, time.Hour}).Draw(t, "keep"), batches: map[uint64]Record{}, groups: []*sample.Group{group("a"), group("b")}}
	m.open(t)
	return m
}

// ram is a place where a sync costs nothing, if there is one.
func ram() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func (m *model) close() {
	m.s.Close()
	os.RemoveAll(m.dir)
}

func (m *model) open(t *rapid.T) {
	s, err := Open(Options{Dir: m.dir, MaxBytes: 8000, SegmentBytes: 1200, Keep: m.keep})
	if err != nil {
		t.Fatal(err)
	}
	m.s, m.tail = s, s.last().size
	// The last segment, if it was torn to nothing, does not say what was before it.
	m.opening = m.opening || m.flipped && m.tail == 0
}

func (m *model) append(t *rapid.T) {
	m.tick++
	b := tick(m.tick, rapid.SliceOfNDistinct(rapid.SampledFrom(m.groups), 0, 2, rapid.ID[*sample.Group]).Draw(t, "groups")...)
	if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
		m.ended++
		b.End(m.groups[0])
		m.groups[0] = group(fmt.Sprint("g", m.ended))
		b.Happened(sample.Event{Time: time.UnixMilli(int64(m.tick)), Kind: sample.ContainerExited, Container: "a", Text: "gone"})
	}
	seq, seg, size := m.s.NextSeq(), m.s.last(), m.s.last().size
	if err := m.s.Append(b); err != nil {
		t.Fatal(err)
	}
	if m.tail = size; m.s.last() != seg {
		m.tail = 0
	}
	m.batches[seq] = Record{Seq: seq, Time: b.Time, Columns: b.Columns, Ended: b.Ended, Events: b.Events}
}

func (m *model) ack(t *rapid.T) {
	m.s.Cursor("c").Ack(rapid.Uint64Range(0, m.s.NextSeq()).Draw(t, "seq"))
}

// reopen closes the spool and opens it again: no number is lost.
func (m *model) reopen(t *rapid.T) {
	id, next := m.s.ID(), m.s.NextSeq()
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	m.reopened(t, id, next)
}

// kill leaves the directory as it is and lets go of it without closing.
func (m *model) kill(t *rapid.T) {
	id, next := m.s.ID(), m.s.NextSeq()
	m.abandon()
	m.open(t)
	m.reopened(t, id, next)
}

func (m *model) abandon() {
	for _, seg := range m.s.segments {
		if seg.file != nil {
			seg.file.Close()
		}
	}
	m.s.lock.Close()
}

// tear cuts the last write, as a kill in its midst does.
func (m *model) tear(t *rapid.T) {
	last := m.s.last()
	if last.size <= m.tail {
		return
	}
	id, next := m.s.ID(), m.s.NextSeq()
	m.abandon()
	if err := os.Truncate(last.path, rapid.Int64Range(m.tail, last.size-1).Draw(t, "cut")); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	delete(m.batches, next-1)
	m.reopened(t, id, next-1)
}

func (m *model) reopened(t *rapid.T, id string, next uint64) {
	got := m.s.NextSeq()
	if !m.flipped && (got != next || m.s.ID() != id) {
		t.Fatalf("reopened with next %d and id %s, want %d and %s", got, m.s.ID(), next, id)
	}
	if got < next && m.s.ID() == id {
		t.Fatalf("numbers %d to %d will be given twice under one identity", got, next-1)
	}
	for seq := got; seq < next; seq++ {
		delete(m.batches, seq)
	}
}

// corrupt spoils a byte of a segment.
func (m *model) corrupt(t *rapid.T) {
	seg := rapid.SampledFrom(m.s.segments).Draw(t, "segment")
	if seg.size == 0 {
		return
	}
	f, err := os.OpenFile(seg.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at, b := rapid.Int64Range(0, seg.size-1).Draw(t, "at"), make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	m.opening = m.opening || at < segmentBytes
	b[0] ^= rapid.ByteRange(1, 255).Draw(t, "flip")
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	m.flipped = true
	m.reopen(t) // whose counts begin anew, as the check wants them
}

func (m *model) check(t *rapid.T) {
	before := m.s.Stats()
	if before.Bytes > 8000 {
		t.Fatalf("%d bytes held, over the bound", before.Bytes)
	}
	got := drain(t, m.s, 0)
	after := m.s.Stats()
	want, wantSamples, samples, last := after.Next-after.Oldest, uint64(0), uint64(0), uint64(0)
	for seq := after.Oldest; seq < after.Next; seq++ {
		wantSamples += count(m.batches[seq].Columns)
	}
	for _, rec := range got {
		if rec.Seq <= last {
			t.Fatalf("batch %d after %d", rec.Seq, last)
		}
		last = rec.Seq
		samples += count(rec.Columns)
		m.compare(t, rec)
	}
	if after.Damaged != before.Damaged && before.Damaged != (Count{}) && !m.flipped {
		t.Fatalf("damage counted twice: %+v, then %+v", before.Damaged, after.Damaged)
	}
	// What was damaged and then removed is in the count and not in the spool.
	if m.opening {
		// With its opening damaged, three damaged places can hide samples.
		samples = wantSamples - min(wantSamples, after.Damaged.Samples)
	}
	if d := after.Damaged; d.Batches < want-uint64(len(got)) || d.Samples < wantSamples-samples {
		t.Fatalf("%d batches of %d samples held, %d of %d read, %+v counted", want, wantSamples, len(got), samples, d)
	}
	if d := after.Damaged; before.Oldest == 1 && (d.Batches != want-uint64(len(got)) || d.Samples != wantSamples-samples) {
		t.Fatalf("%d batches of %d samples held, %d of %d read, exactly %+v counted", want, wantSamples, len(got), samples, d)
	}
}

// compare wants of rec what was appended under its number, less columns whose
// names were damaged.
func (m *model) compare(t *rapid.T, rec Record) {
	want, ok := m.batches[rec.Seq]
	if !ok {
		t.Fatalf("read batch %d, which was never written", rec.Seq)
	}
	i := 0
	for _, col := range rec.Columns {
		for i < len(want.Columns) && !cmp.Equal(want.Columns[i], col, sameRecord) {
			i++
		}
		if i == len(want.Columns) {
			t.Fatalf("batch %d: column %v was never written", rec.Seq, col)
		}
		i++
	}
	if !rec.Time.Equal(want.Time) || !cmp.Equal(rec.Events, want.Events, sameRecord) || len(rec.Ended) > len(want.Ended) {
		t.Fatalf("batch %d: got %v, want %v", rec.Seq, rec, want)
	}
}

func count(columns []sample.Column) uint64 {
	n := 0
	for _, c := range columns {
		n += len(c.Values)
	}
	return uint64(n)
}

func FuzzSegment(f *testing.F) {
	var b sample.Batch
	b.Reset(0, time.UnixMilli(1))
	g := group("a")
	copy(b.Add(g), []float64{1, 2})
	b.End(g)
	b.Happened(sample.Event{Time: b.Time, Kind: sample.ContainerOOM, Container: "a", Text: "x"})
	s := Spool{refs: map[*sample.Group]uint64{}, next: 1}
	s.encode(&segment{first: 1}, &b, 2)
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
		dir, err := os.MkdirTemp(ram(), "spool")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, Options{Dir: dir})
		put(t, s, tick(1, g))
		drain(t, s, 0)
	})
}

func FuzzPayload(f *testing.F) {
	b := tick(1, group("a"), group("b"))
	b.End(b.Columns[0].Group)
	f.Add(appendGroup(nil, b.Columns[0].Group), appendBatch(nil, b, map[*sample.Group]uint64{b.Columns[0].Group: 1, b.Columns[1].Group: 2}))
	f.Fuzz(func(t *testing.T, definition, batch []byte) {
		groups := map[uint64]*sample.Group{}
		if g, err := decodeGroup(definition, map[sample.Metric]*sample.Metric{}); err == nil {
			groups[1] = g
			if again := appendGroup(nil, g); len(again) > len(definition) {
				t.Errorf("%d bytes decode to a group of %d", len(definition), len(again))
			}
		}
		var r Record
		if _, err := decodeBatch(batch, groups, &r); err == nil && binary.Size(r.values) > len(batch) {
			t.Errorf("%d bytes gave %d values", len(batch), len(r.values))
		}
	})
}
