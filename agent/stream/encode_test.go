package stream

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
)

func record(seq uint64, columns ...sample.Column) *spool.Record {
	return &spool.Record{Seq: seq, Time: time.UnixMilli(int64(seq)), Columns: columns}
}

func TestASteadyFrameIsItsValuesAlone(t *testing.T) {
	seconds := &sample.Metric{Name: "s", Help: "Seconds.", Type: sample.Counter, Unit: "seconds", Divisor: 1e6}
	g := &sample.Group{Series: []sample.Series{{Metric: seconds}, {Metric: gauge}}}
	e := NewEncoder()
	first := e.Encode(record(1, sample.Column{Group: g, Values: []float64{0.000001, 7}}))
	if len(first.GetSymbols()) != 5 || first.GetSymbols()[0] != "" || len(first.GetSeries()) != 2 || first.GetSeries()[0].GetDivisor() != 1e6 {
		t.Errorf("first frame %v", first)
	}
	second := e.Encode(record(2, sample.Column{Group: g, Values: []float64{0.000003, 7}}))
	if len(second.GetSymbols())+len(second.GetSeries())+len(second.GetLayouts()) != 0 {
		t.Errorf("second frame %v defines anew", second)
	}
	if want := []byte{2<<1<<2 | tokenInteger, 0<<2 | tokenRun}; string(second.GetValues()) != string(want) {
		t.Errorf("values %x, want %x", second.GetValues(), want)
	}
}

func TestOnlyWhatDividesToTheBitIsAnInteger(t *testing.T) {
	tests := []struct {
		v, divisor float64
		k          int64
		ok         bool
	}{
		{0.1, 10, 1, true},
		{0.3, 10, 3, true},
		{0.30000000000000004, 10, 0, false},
		{12.345678, 1e6, 12345678, true},
		{-3, 1, -3, true},
		{0, 1, 0, true},
		{math.Copysign(0, -1), 1, 0, false},
		{math.NaN(), 1, 0, false},
		{math.Inf(1), 1, 0, false},
		{math.MaxFloat64, 1e6, 0, false},
		{1 << 53, 1, 1 << 53, true},
		{1<<53 + 2, 1, 0, false},
		{math.SmallestNonzeroFloat64, 1, 0, false},
	}
	for _, tt := range tests {
		if k, ok := integer(tt.v, tt.divisor); ok != tt.ok || ok && k != tt.k {
			t.Errorf("integer(%v, %v) = %d, %v; want %d, %v", tt.v, tt.divisor, k, ok, tt.k, tt.ok)
		}
	}
}

func TestAGroupThatIsSentTwiceOrEndsTwiceCountsOnce(t *testing.T) {
	g := newGroup(1)
	c := sample.Column{Group: g, Values: []float64{1}}
	r := record(1, c, c)
	r.Ended = []*sample.Group{g, g}
	e := NewEncoder()
	f := e.Encode(r)
	if len(f.GetColumns()) != 1 || len(f.GetEnded()) != 1 || len(e.layouts) != 0 {
		t.Errorf("frame %v", f)
	}
}

func TestTextThatIsNotUTF8IsMadeSo(t *testing.T) {
	g := &sample.Group{Labels: []sample.Label{{Name: "l", Value: "a\xffb"}}, Series: []sample.Series{{Metric: gauge}}}
	r := record(1, sample.Column{Group: g, Values: []float64{1}})
	r.Events = []sample.Event{{Container: "c\xff", Text: "t\xff"}}
	f := NewEncoder().Encode(r)
	if _, _, _, err := mustPacker(t).Pack(f); err != nil {
		t.Error(err)
	}
	if s := strings.Join(f.GetSymbols(), " "); !strings.Contains(s, "a\uFFFDb") {
		t.Errorf("symbols %q", s)
	}
}

func TestLargeFramesAreCompressedAndSmallOnesAreNot(t *testing.T) {
	p := mustPacker(t)
	for n, packed := range map[int]bool{1: false, 500: true} {
		g := newGroup(n)
		req, _, _, err := p.Pack(NewEncoder().Encode(record(1, sample.Column{Group: g, Values: make([]float64, n)})))
		if err != nil {
			t.Fatal(err)
		}
		if got := req.GetFrameZstd() != nil; got != packed {
			t.Errorf("a frame of %d series is compressed: %v", n, got)
		}
	}
}

func mustPacker(t *testing.T) *Packer {
	t.Helper()
	p, err := NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMemoryOfGroupsEndsWithThem(t *testing.T) {
	e := NewEncoder()
	for i := range uint64(100) {
		g := newGroup(3)
		g.Labels[0].Value = fmt.Sprint(i)
		r := record(i+1, sample.Column{Group: g, Values: []float64{1, 2, 3}})
		r.Ended = []*sample.Group{g}
		e.Encode(r)
	}
	if len(e.layouts) != 0 {
		t.Errorf("%d groups are remembered after their end", len(e.layouts))
	}
}
