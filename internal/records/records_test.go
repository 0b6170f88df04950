package records_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/internal/records"
)

var format = records.Format{Sync: [2]byte{0xa7, 0x4c}, MaxPayload: 1 << 20}

// file is records of samples with the payloads that are given, and where each
// begins.
func file(payloads ...string) (data []byte, at []int) {
	h := records.Header{Kind: 1, Count: 10, Number: 1}
	for _, p := range payloads {
		at = append(at, len(data))
		data = format.Finish(append(records.Begin(data), p...), len(data), h)
		h.Number, h.Before = h.Next()
	}
	return data, at
}

// walk is the number of each record that is found, and what is read of it.
func walk(t *testing.T, data []byte) (found []uint64, payloads []string, skipped int64) {
	t.Helper()
	w := records.Walker{Format: format, File: bytes.NewReader(data), End: int64(len(data))}
	for {
		r, err := w.Next()
		if errors.Is(err, io.EOF) {
			return found, payloads, skipped
		}
		if err != nil {
			t.Fatal(err)
		}
		skipped += r.Skipped
		found = append(found, r.Number)
		p, err := w.Read(r)
		if errors.Is(err, records.ErrSum) {
			p = []byte("damaged")
		} else if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, string(p))
	}
}

func TestDamageCostsTheRecordThatHasIt(t *testing.T) {
	texts := []string{"one", "two", strings.Repeat("three", 40_000), "four"}
	data, at := file(texts...)
	for i := range data {
		if i > at[2]+100 && i < at[3] {
			continue // as the bytes before it
		}
		hurt := slices.Clone(data)
		hurt[i] ^= 0x10
		found, payloads, skipped := walk(t, hurt)
		of := slices.IndexFunc(at, func(begin int) bool { return begin > i }) - 1
		if of < 0 {
			of = len(at) - 1
		}
		want, text := []uint64{1, 2, 3, 4}, slices.Clone(texts)
		if i < at[of]+records.HeaderBytes {
			want, text = slices.Delete(want, of, of+1), slices.Delete(text, of, of+1)
		} else {
			text[of] = "damaged"
		}
		if !slices.Equal(found, want) || !slices.Equal(payloads, text) {
			t.Fatalf("byte %d: found %v, want %v", i, found, want)
		}
		if lost := len(found) < 4 && of < 3; lost != (skipped > 0) {
			t.Fatalf("byte %d: %d bytes are said to be skipped", i, skipped)
		}
	}
}

func TestWhatIsAppendedLaterIsFoundByTheSameWalker(t *testing.T) {
	data, at := file("one", "two")
	w := records.Walker{Format: format, File: bytes.NewReader(data)}
	for end := range len(data) + 1 {
		w.End = int64(end)
		r, err := w.Next()
		if whole := end == at[1] || end == len(data); whole != (err == nil) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("with %d bytes: record %+v, error %v", end, r, err)
		}
	}
}

func TestAPayloadThatIsTooLargeOrANumberThatCannotBeIsDamage(t *testing.T) {
	large := format.Finish(append(records.Begin(nil), make([]byte, format.MaxPayload+1)...), 0, records.Header{Number: 1})
	if _, ok := format.Parse(large); ok {
		t.Error("a payload above the limit is believed")
	}
	for _, h := range []records.Header{{Number: records.MaxNumber}, {Before: records.MaxNumber}} {
		if _, ok := format.Parse(format.Finish(records.Begin(nil), 0, h)); ok {
			t.Errorf("%+v is believed", h)
		}
	}
	other := records.Format{Sync: [2]byte{0xb3, 0x5e}, MaxPayload: 1 << 20}
	if _, ok := other.Parse(format.Finish(records.Begin(nil), 0, records.Header{})); ok {
		t.Error("a record of another format is believed")
	}
}

func TestADirectoryHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	first, err := records.Claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := records.Claim(dir); err == nil || !strings.Contains(err.Error(), "stop that one, or choose another directory") {
		t.Errorf("error %v, want one that says what to do", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := records.Claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := os.WriteFile(filepath.Join(dir, "1.seg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	aside, err := records.MoveAside(dir, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	moved, err := filepath.Glob(filepath.Join(aside, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{aside, filepath.Join(dir, "lock"), filepath.Join(aside, "1.seg")}, append(left, moved...)); diff != "" {
		t.Error(diff)
	}
}

// FuzzDecoder: no payload makes a decoder read behind its end, or promise more than
// there is.
func FuzzDecoder(f *testing.F) {
	f.Add(records.AppendString([]byte{1, 2, 3}, "text"), []byte("uvbs8c"))
	f.Fuzz(func(t *testing.T, payload, verbs []byte) {
		d := records.Decoder{Rest: payload}
		for _, v := range verbs {
			before, bad := len(d.Rest), d.Bad
			switch v {
			case 'u':
				d.Uvarint()
			case 'v':
				d.Varint()
			case 'b':
				d.Byte()
			case '8':
				d.Uint64()
			case 'c':
				if n := d.Count(3); 3*n > len(d.Rest) {
					t.Errorf("%d entries of 3 bytes in %d bytes", n, len(d.Rest))
				}
			case 's':
				if s := d.Text(); bad && s != "" {
					t.Errorf("%q from a payload that is bad", s)
				}
			}
			if len(d.Rest) > before || bad && (!d.Bad || len(d.Rest) != before) {
				t.Errorf("%c: bad %v, then %v; %d bytes, then %d", v, bad, d.Bad, before, len(d.Rest))
			}
		}
	})
}
