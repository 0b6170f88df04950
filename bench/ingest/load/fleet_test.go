package main

import (
	"math"
	"testing"
	"time"
)

// moved is which share of the values differs from the round before.
func moved(f *fleet) float64 {
	changed, all := 0, 0
	for _, n := range f.nodes {
		for r := 1; r < len(n.rounds); r++ {
			for i, v := range n.rounds[r] {
				all++
				if v != n.rounds[r-1][i] {
					changed++
				}
			}
		}
	}
	return float64(changed) / float64(all)
}

func TestValuesMoveAsThoseOfContainersDo(t *testing.T) {
	for _, tt := range []struct {
		interval      time.Duration
		busy          bool
		least, atMost float64
	}{{10 * time.Second, false, 0.3, 0.5}, {time.Second, false, 0.2, 0.4}, {10 * time.Second, true, 0.45, 0.7}} {
		share := moved(newFleet(shape{nodeCount: 2, containers: 60, interval: tt.interval, rounds: 20, busy: tt.busy}))
		t.Logf("%s, all busy %v: %.0f %% of the values differ from the round before", tt.interval, tt.busy, 100*share)
		if share < tt.least || share > tt.atMost {
			t.Errorf("%s, all busy %v: want %v to %v", tt.interval, tt.busy, tt.least, tt.atMost)
		}
	}
}

func TestTwoFleetsOfOneShapeAreEqual(t *testing.T) {
	s := shape{nodeCount: 3, containers: 10, interval: time.Second, rounds: 5}
	a, b := newFleet(s), newFleet(s)
	if a.samples() != 10*60 {
		t.Fatalf("%d samples in a round, want 60 of each container", a.samples())
	}
	for i, n := range a.nodes {
		for r := range n.rounds {
			for j, v := range n.rounds[r] {
				if math.Float64bits(v) != math.Float64bits(b.nodes[i].rounds[r][j]) {
					t.Fatalf("%s, round %d, series %d: %v and %v", n.name, r, j, v, b.nodes[i].rounds[r][j])
				}
			}
		}
	}
}
