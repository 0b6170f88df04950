package decide

import (
	"math"
	"testing"
	"time"
)

func TestALoadIsCarriedByAsManyAsItTakes(t *testing.T) {
	s := rpsSignal() // 100 for each
	broken := rpsSignal()
	broken.Target.Value = 0
	for _, tt := range []struct {
		name  string
		load  float64
		n     int
		known bool
	}{
		{"no load takes none", 0, 0, true},
		{"a little takes one", 0.1, 1, true},
		{"as much as four carry", 400, 4, true},
		{"a little more", 400.1, 5, true},
		{"an absurd load is cut down", 1e300, 500, true},
		{"not a number is not known", math.NaN(), 0, false},
		{"an infinity is not known", math.Inf(1), 0, false},
		{"less than nothing is not known", -1, 0, false},
	} {
		if n, known := carriers(&s, tt.load, 500); n != tt.n || known != tt.known {
			t.Errorf("%s: %d %v, want %d %v", tt.name, n, known, tt.n, tt.known)
		}
	}
	if _, known := carriers(nil, 100, 500); known {
		t.Error("known without a signal")
	}
	if _, known := carriers(&broken, 100, 500); known {
		t.Error("known without a target")
	}
}

func TestWhatAPersonSaidCountsUntilItsTime(t *testing.T) {
	h := Hand{Pause: PauseAll, PauseUntil: noon.Add(time.Minute), Floor: 3, Ceiling: 9, Until: noon.Add(time.Hour)}
	at := func(d time.Duration) *Observation { return &Observation{Now: noon.Add(d)} }
	if out, in := h.stops(at(59 * time.Second)); !out || !in {
		t.Error("a pause that lasts does not count")
	}
	if out, in := h.stops(at(time.Minute)); out || in {
		t.Error("a pause counts when its time has come")
	}
	if floor, ceiling := h.bounds(at(59 * time.Minute)); floor != 3 || ceiling != 9 {
		t.Errorf("floor %d and ceiling %d", floor, ceiling)
	}
	if floor, ceiling := h.bounds(at(time.Hour)); floor != 0 || ceiling != 0 {
		t.Errorf("floor %d and ceiling %d when their time has come", floor, ceiling)
	}
	forever := Hand{Pause: PauseIn, Floor: 3}
	if out, in := forever.stops(at(0)); out || in {
		t.Error("a pause without an end counts")
	}
	if floor, _ := forever.bounds(at(0)); floor != 0 {
		t.Error("a floor without an end counts")
	}
	for pause, want := range map[Pause][2]bool{PauseIn: {false, true}, PauseOut: {true, false}, PauseAll: {true, true}, "": {}, "up": {}} {
		out, in := (&Hand{Pause: pause, PauseUntil: noon.Add(time.Hour)}).stops(at(0))
		if [2]bool{out, in} != want {
			t.Errorf("pause %q stops out %v and in %v", pause, out, in)
		}
	}
}
