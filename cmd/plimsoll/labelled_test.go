package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/plimsoll-io/plimsoll/scaler/driver/swarm"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// town is a Swarm whose services are listed, and a scaler that takes policies.
type town struct {
	services []swarm.Service
	err      error
	taken    [][]string // names of policies, each time
	refuse   error
	log      bytes.Buffer
	*labelled
}

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{}
	w.labelled = newLabelled(
		func(context.Context) ([]swarm.Service, error) { return slices.Clone(w.services), w.err },
		func(apps []policy.App) error {
			w.taken = append(w.taken, names(apps))
			return w.refuse
		},
		policy.Options{CheckQuery: queryFacts()}, slog.New(slog.NewTextHandler(&w.log, nil)), prometheus.NewRegistry(),
	)
	return w
}

func names(apps []policy.App) []string {
	list := []string{}
	for _, a := range apps {
		list = append(list, a.Name)
	}
	return list
}

func labelledService(name, most string) swarm.Service {
	return swarm.Service{Name: name, Labels: map[string]string{
		"plimsoll.scale.max": most, "plimsoll.scale.signals.cpu.source": "cpu", "plimsoll.scale.signals.cpu.target": "60%",
	}}
}

// live runs the loop for so many looks.
func (w *town) live(t *testing.T, looks int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(looks)*labelsInterval+time.Second)
	defer cancel()
	if err := w.run(ctx); err != nil {
		t.Error(err)
	}
}

func (w *town) expect(t *testing.T, want ...[]string) {
	t.Helper()
	if !slices.EqualFunc(w.taken, want, slices.Equal) {
		t.Errorf("taken %v, want %v", w.taken, want)
	}
	w.taken = nil
}

func TestPoliciesInLabelsAreTakenAsTheyComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.services = []swarm.Service{{Name: "plain"}, labelledService("b", "5"), labelledService("a", "5")}
		if err := w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		file := policy.App{Name: "file", Target: policy.Target{Driver: "swarm", Service: "file"}}
		if got := names(w.first([]policy.App{file})); !slices.Equal(got, []string{"file", "a", "b"}) {
			t.Errorf("at the start %v", got)
		}
		w.live(t, 3)
		w.expect(t) // nothing has changed

		w.services = []swarm.Service{labelledService("a", "6"), labelledService("b", "5"), labelledService("file", "9")}
		w.live(t, 2)
		w.expect(t, []string{"file", "a", "b"}) // a's max; the file keeps its own
		if !strings.Contains(w.log.String(), `the policy \"file\" controls this workload already`) {
			t.Errorf("log\n%s", w.log.String())
		}
		if n := strings.Count(w.log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings of one conflict", n)
		}

		w.services = w.services[:1]
		w.live(t, 1)
		w.expect(t, []string{"file", "a"})
		if n := testutil.ToFloat64(w.policies.WithLabelValues("taken")); n != 1 {
			t.Errorf("metric of those taken is %v", n)
		}
	})
}

func TestLabelsThatCannotBeReadTakeNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.services = []swarm.Service{labelledService("a", "5")}
		w.live(t, 1)
		w.expect(t, []string{"a"})
		w.err = errors.New("no answer")
		w.live(t, 2)
		w.expect(t)
		if err := w.reload([]policy.App{{Name: "file"}}); err != nil {
			t.Error(err)
		}
		w.expect(t, []string{"file", "a"})
		if n := testutil.ToFloat64(w.failures); n != 2 {
			t.Errorf("%v failures counted", n)
		}
	})
}

func TestAMistakeInLabelsTouchesNoOtherPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.services = []swarm.Service{labelledService("a", "5"), labelledService("b", "many")}
		w.live(t, 2)
		w.expect(t, []string{"a"})
		if !strings.Contains(w.log.String(), "labels of swarm/b: plimsoll.scale.max: must be a whole number") {
			t.Errorf("log\n%s", w.log.String())
		}
		if n := testutil.ToFloat64(w.policies.WithLabelValues("refused")); n != 1 {
			t.Errorf("metric of those refused is %v", n)
		}
	})
}

func TestWhatTheScalerRefusesIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.services, w.refuse = []swarm.Service{labelledService("a", "5")}, errors.New("no")
		w.live(t, 2)
		w.expect(t, []string{"a"}, []string{"a"})
	})
}

func TestAFileThatIsRefusedLeavesTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.first([]policy.App{{Name: "before"}})
		w.refuse = errors.New("no")
		if err := w.reload([]policy.App{{Name: "after"}}); err == nil {
			t.Error("no error")
		}
		w.refuse, w.taken = nil, nil
		w.services = []swarm.Service{labelledService("a", "5")}
		w.live(t, 2)
		w.expect(t, []string{"before", "a"})
	})
}
