package sample_test

import (
	"math"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func group(n int) *sample.Group { return &sample.Group{Series: make([]sample.Series, n)} }

func TestOnlyAbsentIsAbsent(t *testing.T) {
	for _, v := range []float64{0, math.NaN(), math.Inf(1), math.Float64frombits(0x7ff0000000000002)} {
		if sample.IsAbsent(v) {
			t.Errorf("%x counts as absent", math.Float64bits(v))
		}
	}
	if !sample.IsAbsent(sample.Absent) {
		t.Error("Absent is not absent")
	}
}

func TestValuesAreAbsentUntilTheyAreSet(t *testing.T) {
	var b sample.Batch
	for tick := range uint64(3) { // the memory of a tick before holds old values
		b.Reset(tick, time.Unix(int64(tick), 0))
		v := b.Add(group(3))
		if b.Len() != 0 {
			t.Fatalf("tick %d: %d samples before any was set", tick, b.Len())
		}
		v[1] = 7
		if b.Len() != 1 {
			t.Fatalf("tick %d: %d samples, want 1", tick, b.Len())
		}
	}
}

func TestAColumnKeepsItsValuesWhileTheBatchGrows(t *testing.T) {
	var b sample.Batch
	b.Reset(0, time.Unix(0, 0))
	first := b.Add(group(2))
	for range 1000 {
		b.Add(group(5))[0] = 1
	}
	first[0] = 42
	if got := b.Columns[0].Values[0]; got != 42 {
		t.Errorf("the first column holds %v, want the 42 that was set after others were added", got)
	}
}

func TestASteadyBatchAllocatesNothing(t *testing.T) {
	var b sample.Batch
	groups := []*sample.Group{group(10), group(20)}
	tick := func() {
		b.Reset(b.Tick+1, b.Time)
		for _, g := range groups {
			b.Add(g)[0] = 1
		}
	}
	tick()
	if n := testing.AllocsPerRun(100, tick); n != 0 {
		t.Errorf("%v allocations per tick", n)
	}
}
