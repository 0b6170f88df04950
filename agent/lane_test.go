package agent

import (
	"strings"
	"testing"
	"time"
)

func TestLanesSayWhatIsWrongWithThem(t *testing.T) {
	tests := map[string]struct {
		lanes Lanes
		wrong []string
	}{
		"the default":           {lanes: DefaultLanes()},
		"none":                  {},
		"all the same":          {lanes: Lanes{7, 7, 7, 7}},
		"only some":             {lanes: Lanes{First: 1, Second: 5, Third: 15}},
		"faster than before":    {lanes: Lanes{1, 5, 3, 60}, wrong: []string{"third lane: 3 ticks: allowed are 5"}},
		"faster than a gap ago": {lanes: Lanes{First: 10, Fourth: 5}, wrong: []string{"fourth lane: 5 ticks: allowed are 10"}},
		"slower than a day":     {lanes: Lanes{1, 1, 1, 86_401}, wrong: []string{"to 86400"}},
		"two mistakes":          {lanes: Lanes{5, 1, 1 << 40, 60}, wrong: []string{"second lane", "third lane", "fourth lane: 60 ticks: allowed are 86400"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.lanes.Valid()
			if (err != nil) != (len(tt.wrong) > 0) {
				t.Fatalf("error %v", err)
			}
			for _, want := range tt.wrong {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestNoDefaultLaneIsHiddenFromQueries(t *testing.T) {
	for interval, want := range map[time.Duration]Lanes{
		100 * time.Millisecond: DefaultLanes(),
		time.Second:            DefaultLanes(),
		4 * time.Second:        DefaultLanes(),
		10 * time.Second:       {1, 5, 15, 24},
		time.Minute:            {1, 4, 4, 4},
		10 * time.Minute:       {1, 1, 1, 1}, // itself hidden
	} {
		got := LanesFor(interval)
		if got != want || got.Valid() != nil || got.Hidden(interval) != (interval > inSight) {
			t.Errorf("at %s: %v, hidden: %t", interval, got, got.Hidden(interval))
		}
	}
	if l := DefaultLanes(); l.Slowest() != 60 || !l.Hidden(5*time.Second) {
		t.Errorf("slowest %d, hidden: %t", l.Slowest(), l.Hidden(5*time.Second))
	}
}

func TestASlowAgentIsNotSlowedUntilItsSeriesAreHidden(t *testing.T) {
	for interval, want := range map[time.Duration]uint64{
		100 * time.Millisecond: 40, time.Second: 4, 2 * time.Second: 2, 10 * time.Second: 1, time.Hour: 1,
	} {
		l := LanesFor(interval)
		got := l.MostSlowdown(interval)
		if got != want || got > 1 && l.Hidden(time.Duration(got)*interval) {
			t.Errorf("at %s: %d, want %d", interval, got, want)
		}
	}
}
