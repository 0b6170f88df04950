package store

import (
	"testing"
	"time"
)

func TestTheTrendForeseesWhenSpaceRunsOut(t *testing.T) {
	const mib = 1 << 20
	tests := map[string]struct {
		readings int
		free     func(minute int) int64
		want     time.Duration
		known    bool
	}{
		"a MiB a minute": {60, func(m int) int64 { return int64(1000-m) * mib }, 841 * time.Minute, true},
		"the same, as soon as ten are there": {
			10, func(m int) int64 { return int64(1000-m) * mib }, 891 * time.Minute, true,
		},
		"nine readings are too few":           {9, func(m int) int64 { return int64(1000-m) * mib }, 0, false},
		"it stays":                            {60, func(int) int64 { return 1000 * mib }, 0, false},
		"it grows":                            {60, func(m int) int64 { return int64(1000+m) * mib }, 0, false},
		"it falls so slowly that it is never": {60, func(m int) int64 { return 1<<60 - int64(m) }, 0, false},
		"what was hours ago is forgotten": {
			240, func(m int) int64 { return int64(1000+max(0, 150-m)*50-max(0, m-150)) * mib }, 811 * time.Minute, true,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var tr trend
			at, free := time.Now(), int64(0)
			for m := range tt.readings {
				free = tt.free(m)
				for second := range 60 { // those within a minute count for one
					tr.add(at.Add(time.Duration(m)*time.Minute+time.Duration(second)*time.Second), free)
				}
			}
			got, known := tr.until(free, 100*mib)
			if known != tt.known || (got-tt.want).Abs() > time.Minute {
				t.Errorf("%v, known %v; want %v, %v", got, known, tt.want, tt.known)
			}
			if len(tr.at) > trendKeeps+1 {
				t.Errorf("%d readings are kept", len(tr.at))
			}
		})
	}
}

func TestWhatIsAlreadyBelowTheMarkIsFullNow(t *testing.T) {
	var tr trend
	for m := range 20 {
		tr.add(time.Unix(int64(m)*60, 0), int64(100-m))
	}
	if left, known := tr.until(81, 90); left != 0 || !known {
		t.Errorf("%v, known %v", left, known)
	}
}
