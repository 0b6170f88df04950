package ingest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

func TestBothAreShownWhatTheyWantAndNothingElse(t *testing.T) {
	a, b := newGuard("a"), newGuard("b")
	tee := Tee(a, b)
	series := map[string]any{}
	for _, c := range []string{"a", "b", "c"} {
		series[c] = tee.Series(labels.FromStrings("__name__", "m", "c", c))
	}
	if series["c"] != nil {
		t.Fatal("a series that neither wants is shown")
	}
	tee.Stored(7, []any{series["a"], series["b"], series["a"]}, []float64{1, 2, 3})
	if diff := cmp.Diff(map[string][]point{`{__name__="m", c="a"}`: {{7, 1}, {7, 3}}}, a.points, cmp.AllowUnexported(point{})); diff != "" {
		t.Errorf("the one: %s", diff)
	}
	if diff := cmp.Diff(map[string][]point{`{__name__="m", c="b"}`: {{7, 2}}}, b.points, cmp.AllowUnexported(point{})); diff != "" {
		t.Errorf("the other: %s", diff)
	}
}

func TestTheEpochChangesWithThatOfEither(t *testing.T) {
	a, b := newGuard("a"), newGuard("b")
	tee := Tee(a, b)
	seen := map[uint64]bool{tee.Epoch(): true}
	for i, g := range []*guard{a, b, b, a, a} {
		g.epoch++
		if e := tee.Epoch(); seen[e] || e == 0 {
			t.Errorf("step %d: epoch %d was there before, or is none", i, e)
		} else {
			seen[e] = true
		}
	}
}

func TestOneAloneIsNotWrapped(t *testing.T) {
	a := newGuard("a")
	if Tee(a, nil) != Watch(a) || Tee(nil, a) != Watch(a) || Tee(nil, nil) != nil {
		t.Error("a watch that is alone is wrapped")
	}
}

func TestTwoWatchesSeeOneStream(t *testing.T) {
	one, two := newGuard("a"), newGuard("b")
	inBubble(t, Options{Watch: Tee(one, two)}, func(w *world) {
		start := time.Now().Truncate(time.Second)
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		a.send(values(2, start.Add(time.Second), 3, 4))
		a.ack(2)
		synctest.Wait()
		if len(one.points) != 1 || len(one.points[seriesA]) != 2 || len(two.points) != 1 || len(two.points[seriesB]) != 2 {
			t.Errorf("shown %v and %v, want two samples to each of what it wants", one.points, two.points)
		}
	})
}
