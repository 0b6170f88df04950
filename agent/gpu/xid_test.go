package gpu

import (
	"slices"
	"testing"
)

func TestErrorsAreCountedByDeviceAndCode(t *testing.T) {
	tally := make(xidTally)
	tally.add([]xidEvent{{"a", 79}, {"b", 31}, {"a", 31}})
	tally.add([]xidEvent{{"a", 79}})
	d := Device{UUID: "a", XIDs: XIDs{Watched: true}}
	tally.fill(&d)
	tally.add([]xidEvent{{"a", 79}})
	if d.XIDs.Last != 79 || !d.XIDs.Watched || !slices.Equal(d.XIDs.Counts, []XIDCount{{31, 1}, {79, 2}}) {
		t.Errorf("errors %+v; what was handed out must not change", d.XIDs)
	}
}

func TestADeviceWithEndlessCodesIsBounded(t *testing.T) {
	tally := make(xidTally)
	for code := range uint64(1000) {
		tally.add([]xidEvent{{"a", code}})
	}
	if n := len(tally["a"].Counts); n != maxXIDs {
		t.Errorf("%d codes", n)
	}
}
