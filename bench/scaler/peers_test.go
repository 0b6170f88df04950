package scaler

import (
	"testing"
	"time"
)

// walk asks an autoscaler for n steps, with a load that its replicas, all ready,
// share.
func walk(a Autoscaler, from int, seconds int, load func(s int) float64) int {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	cpu := 0.0
	for s := range seconds {
		v := View{Desired: from, Ready: from, Load: load(s)}
		cpu += min(1, v.Load/float64(from))
		for id := range from {
			v.Replicas = append(v.Replicas, Replica{ID: id, Ready: now, CPU: cpu})
		}
		from = a.Step(now.Add(time.Duration(s)*time.Second), v)
	}
	return from
}

func steady(cores float64) func(int) float64 { return func(int) float64 { return cores } }

func TestKnativeAnswersASurgeBySixSecondsAndALullBySixty(t *testing.T) {
	surge := func(s int) float64 {
		if s < 60 {
			return 1
		}
		return 10
	}
	if n := walk(&Knative{plant: usual()}, 2, 70, surge); n != 20 {
		t.Errorf("%d replicas 10 s after a surge, want the 20 it takes: it panics", n)
	}
	lull := func(s int) float64 { return surge(119 - s) }
	k := &Knative{plant: usual()}
	if n := walk(k, 20, 75, lull); n <= 2 || n >= 20 {
		t.Errorf("%d replicas 15 s into a lull, want some of the way from 20 to 2", n)
	}
}

func TestLabelsTakeAStepAfterThreeMinutes(t *testing.T) {
	for name, tt := range map[string]struct {
		cores   float64
		seconds int
		want    int
	}{
		"three averages are not over yet": {3.6, 180, 4},
		"one more after three":            {3.6, 182, 5},
		"one less after three":            {0.8, 182, 3},
		"between max and min":             {2, 900, 4},
	} {
		t.Run(name, func(t *testing.T) {
			if n := walk(&Labels{plant: usual(), max: 0.7, min: 0.3}, 4, tt.seconds, steady(tt.cores)); n != tt.want {
				t.Errorf("%d replicas, want %d", n, tt.want)
			}
		})
	}
}
