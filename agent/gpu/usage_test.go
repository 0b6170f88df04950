package gpu

import (
	"math"
	"testing"
	"time"
)

func TestUsageIsTheMeanOverTime(t *testing.T) {
	const s = 1_000_000 // µs in a second
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	type reading struct {
		after   time.Duration // noon
		samples []smSample
	}
	tests := map[string]struct {
		readings []reading
		want     Opt[Ratio] // of process 1 at the last reading
	}{
		"the first reading only learns what is old": {
			readings: []reading{{0, []smSample{{1, 90 * s, 100}}}},
		},
		"samples of the same length count alike": {
			readings: []reading{{0, nil}, {time.Second, []smSample{{1, 100 * s, 20}, {1, 101 * s, 40}}}},
			want:     some(Ratio(0.3)),
		},
		"a longer sample counts more": {
			readings: []reading{{0, []smSample{{1, 100 * s, 0}}}, {time.Second, []smSample{{1, 100*s + s/4, 0}, {1, 101 * s, 80}}}},
			want:     some(Ratio(0.6)),
		},
		"their order does not matter": {
			readings: []reading{{0, []smSample{{1, 100 * s, 0}}}, {time.Second, []smSample{{1, 101 * s, 80}, {2, 102 * s, 5}, {1, 100*s + s/4, 0}}}},
			want:     some(Ratio(0.6)),
		},
		"what was told before is not told again": {
			readings: []reading{{0, []smSample{{1, 100 * s, 100}}}, {time.Second, []smSample{{1, 100 * s, 100}, {1, 101 * s, 10}}}},
			want:     some(Ratio(0.1)),
		},
		"another process does not hide it": {
			readings: []reading{{0, nil}, {time.Second, []smSample{{2, 110 * s, 50}}}, {2 * time.Second, []smSample{{1, 109 * s, 70}}}},
			want:     some(Ratio(0.7)),
		},
		"in a gap it did nothing": {
			readings: []reading{{0, []smSample{{1, 100 * s, 0}}}, {4 * time.Second, []smSample{{1, 104 * s, 100}}}},
			want:     some(Ratio(0.25)),
		},
		"for a moment the last is good": {
			readings: []reading{{0, nil}, {time.Second, []smSample{{1, 100 * s, 40}}}, {2 * time.Second, nil}},
			want:     some(Ratio(0.4)),
		},
		"after that silence is idleness": {
			readings: []reading{{0, nil}, {time.Second, []smSample{{1, 100 * s, 40}}}, {4 * time.Second, nil}},
			want:     some(Ratio(0)),
		},
		"one that was never told of is idle too": {
			readings: []reading{{0, nil}, {3 * time.Second, nil}},
			want:     some(Ratio(0)),
		},
		"but not before there was time to tell": {
			readings: []reading{{0, nil}, {time.Second, nil}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var u usage
			var now time.Time
			for _, r := range tt.readings {
				now = noon.Add(r.after)
				u.add(r.samples, now)
			}
			if got := u.ratio(1, now); got.OK != tt.want.OK || math.Abs(float64(got.V-tt.want.V)) > 1e-9 {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestProcessesThatAreGoneAreForgotten(t *testing.T) {
	var u usage
	now := time.Now()
	for i := range uint32(1000) {
		u.add([]smSample{{i + 1, uint64(i+1) * 1e6, 10}}, now)
		now = now.Add(time.Second)
	}
	if len(u.of) > 62 {
		t.Errorf("%d are remembered", len(u.of))
	}
}
