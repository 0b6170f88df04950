package decide

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func TestAStateServesMoreThanOneFuture(t *testing.T) {
	p := web()
	p.Signals = []policy.Signal{memorySignal()}
	p.Signals[0].Samples = 3
	w := walk{policy: p, now: noon, desired: 4}
	level := func(v float64) func(time.Time, int) []Reading {
		return func(now time.Time, _ int) []Reading { return []Reading{each("memory", now, v, v, v, v)} }
	}
	for range 20 { // three windows and one tick before the fourth is full
		w.step(2*time.Second, level(0.5))
	}
	one, other := w, w
	one.step(2*time.Second, level(0.4))
	before, err := json.Marshal(one.state)
	if err != nil {
		t.Fatal(err)
	}
	other.step(2*time.Second, level(0.6))
	if after, _ := json.Marshal(one.state); string(after) != string(before) {
		t.Errorf("one future changed the other:\n%s\n%s", before, after)
	}
}

func TestEverythingSurvivesJSON(t *testing.T) {
	p := web()
	p.Signals = append(p.Signals, memorySignal())
	w := walk{policy: p, now: noon, desired: 4}
	for range 40 {
		w.step(2*time.Second, share(3))
	}
	o := Observation{
		Now: noon.In(time.FixedZone("CST", 8*3600)), Desired: 4, Ready: 3, Starting: 1, Updating: true,
		Signals: []Reading{each("cpu", noon, 0.1, math.NaN(), math.Inf(1), math.Inf(-1)), {Signal: "memory", Err: "timeout"}},
	}
	s, d := Next(p, w.state, o)
	for name, v := range map[string]any{"state": s, "observation": o, "decision": d, "policy": p} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		back := reflect.New(reflect.TypeOf(v))
		if err := json.Unmarshal(data, back.Interface()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		equal := cmp.Options{cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })}
		if diff := cmp.Diff(v, back.Elem().Interface(), equal); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
	}
}

func TestASampleFromABrokenJournalIsAnError(t *testing.T) {
	for _, text := range []string{`{"value": "five"}`, `{"value": true}`, `{}`, `[]`} {
		var s Sample
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s is taken as %+v", text, s)
		}
	}
}

// TestACloneSharesNothing fails if State gets a slice that Set does not know of.
func TestACloneSharesNothing(t *testing.T) {
	var s State
	fillSlices(reflect.ValueOf(&s).Elem())
	c := s.Clone()
	if diff := cmp.Diff(s, c); diff != "" {
		t.Errorf("(-state +clone):\n%s", diff)
	}
	disjoint(t, "State", reflect.ValueOf(s), reflect.ValueOf(c))
}

// fillSlices gives every slice in v two elements, and every pointer something.
func fillSlices(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillSlices(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() != reflect.TypeFor[time.Time]() {
				fillSlices(v.Field(i))
			}
		}
	case reflect.Pointer, reflect.Map:
		panic("a state has neither pointers nor maps: " + v.Type().String())
	}
}

func disjoint(t *testing.T, path string, a, b reflect.Value) {
	switch a.Kind() {
	case reflect.Slice:
		if a.Len() != 2 || a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared", path)
			return
		}
		for i := range a.Len() {
			disjoint(t, path+"[]", a.Index(i), b.Index(i))
		}
	case reflect.Struct:
		for i := range a.NumField() {
			if a.Type() != reflect.TypeFor[time.Time]() {
				disjoint(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
			}
		}
	}
}
