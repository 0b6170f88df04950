package store

import (
	"log/slog"
	"strings"
	"testing"
)

// guardOver is a guard that has seen the given volume.
func guardOver(v volume, minFree Space) *guard {
	return &guard{
		dir: "/data", minFree: minFree, seen: v, log: slog.New(slog.DiscardHandler),
		need: func() need { return need{chunks: needAtLeast} },
	}
}

func TestHowMuchStaysFree(t *testing.T) {
	const gib, mib = 1 << 30, 1 << 20
	tests := map[string]struct {
		total   int64
		minFree Space
		needs   need
		want    int64
	}{
		"a tenth of a small disk":                  {48 * mib, Space{}, need{}, 48 * mib / 10},
		"1 GiB of a large one":                     {500 * gib, Space{}, need{}, gib},
		"what was asked for":                       {500 * gib, Space{Percent: 5}, need{}, 25 * gib},
		"what was asked for, were it little":       {500 * gib, Space{Bytes: 5}, need{}, 5},
		"room for what is in memory":               {500 * gib, Space{}, need{gib, 2 * gib}, 3 * gib},
		"for that no more than a quarter of it":    {gib, Space{}, need{gib, 2 * gib}, gib / 4},
		"also where none was to stay free":         {500 * gib, Space{Bytes: -1}, need{mib, mib}, 2 * mib},
		"more than a quarter only on express wish": {gib, Space{Percent: 40}, need{gib, gib}, gib / 100 * 40},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := guardOver(volume{total: tt.total}, tt.minFree).mark(tt.needs)
			if diff := got - tt.want; diff < -64 || diff > 64 {
				t.Errorf("%d bytes, want %d", got, tt.want)
			}
		})
	}
}

func TestIngestBeginsAgainSomewhatAboveTheMark(t *testing.T) {
	const mib = 1 << 20
	v := volume{total: 1000 * mib, inodes: 10_000}
	g := guardOver(v, Space{Bytes: 80 * mib})
	tests := []struct {
		free, inodes, missing int64
		low                   bool
	}{
		{81 * mib, 5000, 0, false},
		{79 * mib, 5000, 0, true},
		{81 * mib, 5000, 0, true},
		{89 * mib, 5000, 0, true},
		{91 * mib, 5000, 0, false},
		{81 * mib, 5000, 0, false},
		{100 * mib, 5000, 21 * mib, true}, // the ballast is to be made of that
		{200 * mib, 99, 0, true},
		{200 * mib, 105, 0, true},
		{200 * mib, 113, 0, false},
	}
	for i, tt := range tests {
		g.seen.free, g.seen.freeInodes, g.ballast = tt.free, tt.inodes, ballast{size: tt.missing}
		if g.low = g.isLow(g.need()); g.low != tt.low {
			t.Errorf("step %d: %+v is low: %v", i, tt, g.low)
		}
	}
}

func TestAFileSystemThatMakesInodesAsNeededIsNeverShortOfThem(t *testing.T) {
	g := guardOver(volume{free: 1 << 40, total: 1 << 41}, Space{})
	if g.isLow(g.need()) || g.short(1) {
		t.Error("it is")
	}
}

func TestARefusalSaysWhatIsShortAndWhatToDo(t *testing.T) {
	bytes := guardOver(volume{free: 3 << 20, total: 48 << 20, freeInodes: 5000, inodes: 10_000}, Space{})
	inodes := guardOver(volume{free: 40 << 20, total: 48 << 20, freeInodes: 12, inodes: 10_000}, Space{})
	for _, g := range []*guard{bytes, inodes} {
		g.low = true
	}
	for want, g := range map[string]*guard{
		"3.0 MiB of 48.0 MiB are free on the file system of /data, and 4.8 MiB must stay so": bytes,
		"12 of 10000 inodes are free on the file system of /data, and 100 must stay so":      inodes,
	} {
		err := g.refuse()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "add space") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
