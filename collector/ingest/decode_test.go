package ingest

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestTokens(t *testing.T) {
	tests := map[string]struct {
		values []byte // of the second frame; both series had 1 and 2
		want   [2]float64
		err    string
	}{
		"a run of unchanged values":        {values: []byte{1<<2 | tokenRun}, want: [2]float64{1, 2}},
		"integers, as differences":         {values: []byte{10<<2 | tokenInteger, 5<<2 | tokenInteger}, want: [2]float64{5, -3}},
		"raw":                              {values: raw(math.Inf(1), -0.5), want: [2]float64{math.Inf(1), -0.5}},
		"absent":                           {values: []byte{1<<2 | tokenAbsent}, want: [2]float64{staleNaN, staleNaN}},
		"a raw staleness marker is absent": {values: raw(staleNaN, 7), want: [2]float64{staleNaN, 7}},
		"nothing":                          {values: nil, err: "0 of them for 2 cells"},
		"too few":                          {values: raw(1), err: "1 of them for 2 cells"},
		"too many":                         {values: raw(1, 2, 3), err: "more of them than cells"},
		"a run beyond the cells":           {values: []byte{2<<2 | tokenRun}, err: "more of them than cells"},
		"a run of 2^62":                    {values: []byte{0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, err: "more of them than cells"},
		"half a raw value":                 {values: raw(1)[:5], err: "end within a token"},
		"half a varint":                    {values: []byte{0x80}, err: "end within a token"},
		"a varint of more than 64 bits":    {values: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, err: "end within a token"},
		"a raw token with a length in it":  {values: append([]byte{1<<2 | tokenRaw}, raw(1, 2)[1:]...), err: "end within a token"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := NewDecoder("n1", Limits{})
			if err := d.Decode(definition(1, time.Now(), 1, 2)); err != nil {
				t.Fatal(err)
			}
			f := values(2, time.Now(), 0, 0)
			f.Values = tt.values
			err := d.Decode(f)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), "frame 2") {
					t.Errorf("error %v, want %q of frame 2", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range d.values {
				if math.Float64bits(v) != math.Float64bits(tt.want[i]) {
					t.Errorf("cell %d is %v, want %v", i, v, tt.want[i])
				}
			}
		})
	}
}

func TestAReferenceOutOfRangeIsAnError(t *testing.T) {
	for name, spoil := range map[string]func(*plimsollv1.Frame){
		"symbol of a name":          func(f *plimsollv1.Frame) { f.Series[0].Symbols[0] = 8 },
		"symbol of a label":         func(f *plimsollv1.Frame) { f.Series[0].Symbols[4] = math.MaxUint32 },
		"symbol of help":            func(f *plimsollv1.Frame) { f.Series[0].Help = 8 },
		"symbol of unit":            func(f *plimsollv1.Frame) { f.Series[0].Unit = 8 },
		"a label without a value":   func(f *plimsollv1.Frame) { f.Series[0].Symbols = f.Series[0].Symbols[:4] },
		"no symbols at all":         func(f *plimsollv1.Frame) { f.Series[0].Symbols = nil },
		"series of a layout":        func(f *plimsollv1.Frame) { f.Layouts[0].Series[0] = 2 },
		"series before the first":   func(f *plimsollv1.Frame) { f.Layouts[0].Series[0] = -1 },
		"a series in two layouts":   func(f *plimsollv1.Frame) { f.Layouts[1].Series[0] = 0 },
		"a column twice":            func(f *plimsollv1.Frame) { f.Columns[1] = 0 },
		"a column out of range":     func(f *plimsollv1.Frame) { f.Columns[1] = 2 },
		"a column far out of range": func(f *plimsollv1.Frame) { f.Columns[1] = math.MaxInt64 },
		"an end out of range":       func(f *plimsollv1.Frame) { f.Ended = []uint32{2} },
		"an end twice":              func(f *plimsollv1.Frame) { f.Ended = []uint32{1, 1} },
		"a run without a value":     func(f *plimsollv1.Frame) { f.Values = []byte{1<<2 | tokenRun} },
	} {
		t.Run(name, func(t *testing.T) {
			f := definition(1, time.Now(), 1, 2)
			spoil(f)
			if err := NewDecoder("n1", Limits{}).Decode(f); err == nil {
				t.Error("taken without a word")
			}
		})
	}
}

func TestALayoutThatEndedCannotBeUsed(t *testing.T) {
	d := NewDecoder("n1", Limits{})
	f := definition(1, time.Now(), 1, 2)
	f.Ended = []uint32{0}
	if err := d.Decode(f); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode(values(2, time.Now(), 3, 4)); err == nil {
		t.Error("taken without a word")
	}
}

func FuzzDecode(f *testing.F) {
	first, err := proto.Marshal(definition(1, time.UnixMilli(1), 1, 2))
	if err != nil {
		f.Fatal(err)
	}
	end := values(2, time.UnixMilli(2), 3, 4)
	end.Ended = []uint32{0}
	second, err := proto.Marshal(end)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first, second)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := NewDecoder("n1", Limits{Series: 100})
		for _, b := range [][]byte{first, second, second} {
			var frame plimsollv1.Frame
			if proto.Unmarshal(b, &frame) != nil {
				return
			}
			if d.Decode(&frame) != nil {
				return
			}
			if len(d.values) != len(d.cells) || len(d.cells) > d.alive {
				t.Fatalf("%d values for %d cells of %d series", len(d.values), len(d.cells), d.alive)
			}
			for ls := range d.Values() {
				if name, twice := ls.HasDuplicateLabelNames(); twice || ls.Get("node") != "n1" {
					t.Fatalf("labels %v: %s", ls, name)
				}
			}
		}
	})
}
