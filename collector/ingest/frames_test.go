package ingest

import (
	"testing"

	"pgregory.net/rapid"
)

// TestFramesAreASet compares with a map, which is slow and plainly right.
func TestFramesAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 60
		var s frames
		want := map[uint64]bool{}
		drawRun := func(what string) run {
			from := rapid.Uint64Range(0, most).Draw(t, what)
			return run{from, rapid.Uint64Range(from, most).Draw(t, what+" until")}
		}
		for range rapid.IntRange(0, 12).Draw(t, "adds") {
			r := drawRun("add")
			s.add(r)
			for n := r.from; n < r.until; n++ {
				want[n] = true
			}
		}
		for i, r := range s {
			if r.from >= r.until || i > 0 && s[i-1].until >= r.from {
				t.Fatalf("runs %v", s)
			}
		}
		var all []uint64
		head, prefix := uint64(0), uint64(0)
		for n := range uint64(most + 2) {
			if s.has(n) != want[n] {
				t.Fatalf("has %d: %v in %v", n, s.has(n), s)
			}
			if want[n] {
				all, head = append(all, n), n
				if n == prefix+1 {
					prefix = n
				}
			}
		}
		if !want[0] {
			prefix = 0
		}
		if s.count() != uint64(len(all)) || s.head() != head || s.prefix() != prefix {
			t.Fatalf("%v: count %d, head %d, prefix %d; want %d, %d, %d", s, s.count(), s.head(), s.prefix(), len(all), head, prefix)
		}
		if again := framesOf(all); again.count() != s.count() || len(again) != len(s) {
			t.Fatalf("made again: %v of %v", again, s)
		}
		within := drawRun("within")
		gaps := s.missing(within)
		for n := range uint64(most + 2) {
			if inside := n >= within.from && n < within.until; gaps.has(n) != (inside && !want[n]) {
				t.Fatalf("missing of %v in %v: %v", within, s, gaps)
			}
		}
		first := run{}
		if len(gaps) > 0 {
			first = gaps[0]
		}
		if got := s.first(within); got != first {
			t.Fatalf("first gap of %v in %v: %v, want %v", within, s, got, first)
		}
	})
}

func TestWhatIsForgottenOfTooManyHolesIsCounted(t *testing.T) {
	s := frames{{1, 3}, {5, 6}, {10, 12}, {20, 21}}
	if filled := s.bound(4); filled != 0 || len(s) != 4 {
		t.Errorf("%d numbers filled in, %v: four runs are within the bound", filled, s)
	}
	if filled := s.bound(2); filled != 2+4 || len(s) != 2 || s.has(13) || !s.has(9) {
		t.Errorf("%d numbers filled in, %v; want the 2 and 4 of the oldest holes", filled, s)
	}
}
