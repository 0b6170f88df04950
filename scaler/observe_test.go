package scaler

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/fake"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// answers is a store that answers each query by a function of its own.
type answers func(promql string, at time.Time) ([]Sample, error)

func (a answers) Query(ctx context.Context, promql string, at time.Time, _ time.Duration) ([]Sample, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return a(promql, at)
}

// of is a sample of a container on a node.
func of(node, id string, value float64) Sample {
	return Sample{Labels: map[string]string{"node": node, "id": id, policy.ServiceLabel: "web"}, At: noon, Value: value}
}

// listening is the loop of a policy web with one signal over a store, and a round for
// it.
func listening(t *testing.T, signal policy.Signal, store answers) (*loop, *round) {
	s, err := New(Options{Query: store, Now: func() time.Time { return noon }, Drivers: map[string]driver.Driver{"swarm": &fake.Platform{}}})
	if err != nil {
		t.Fatal(err)
	}
	app := policy.App{Name: "web", Target: policy.Target{Driver: "swarm", Service: "web"}, Signals: []policy.Signal{signal}}
	return s.loop(app), s.round(t.Context(), []policy.App{app})
}

func query(kind policy.Kind) policy.Signal {
	return policy.Signal{Name: "q", Type: policy.Track, Source: policy.Query, Kind: kind, Query: "q", MaxAge: 15 * time.Second}
}

func TestAnswersBecomeReadings(t *testing.T) {
	lone := []Sample{{At: noon, Value: 7}}
	labelled := []Sample{{Labels: map[string]string{"job": "a"}, At: noon, Value: 7}}
	two := append([]Sample{{Labels: map[string]string{"pod": "b", "job": "a"}, At: noon, Value: 8}}, labelled...)
	threshold := query(policy.Total)
	threshold.Type, threshold.Kind = policy.Threshold, ""

	tests := map[string]struct {
		signal  policy.Signal
		samples []Sample
		err     error
		want    decide.Reading
	}{
		"one number for all": {
			query(policy.Total), lone, nil,
			decide.Reading{Signal: "q", Samples: []decide.Sample{{At: noon, Value: 7}}},
		},
		"a total speaks for all even with labels": {
			query(policy.Total), labelled, nil,
			decide.Reading{Signal: "q", Samples: []decide.Sample{{At: noon, Value: 7}}},
		},
		"a total of two series is an error": {
			query(policy.Total), two, nil,
			decide.Reading{Signal: "q", Err: "the query returns 2 series where one is meant: aggregate them, for instance with sum(…)"},
		},
		"so is a threshold of two": {
			threshold, two, nil,
			decide.Reading{Signal: "q", Err: "the query returns 2 series where one is meant: aggregate them, for instance with sum(…)"},
		},
		"an average of two replicas": {
			query(policy.Average), two, nil,
			decide.Reading{Signal: "q", Samples: []decide.Sample{{Replica: `job="a" pod="b"`, At: noon, Value: 8}, {Replica: `job="a"`, At: noon, Value: 7}}},
		},
		"a mean without labels": {
			query(policy.Average), lone, nil,
			decide.Reading{Signal: "q", Samples: []decide.Sample{{At: noon, Value: 7}}},
		},
		"nothing is not zero": {
			query(policy.Total), nil, nil,
			decide.Reading{Signal: "q", Err: "the query returns nothing"},
		},
		"a failure is not zero": {
			query(policy.Total), nil, errors.New("query timed out"),
			decide.Reading{Signal: "q", Err: "query timed out"},
		},
		"what is no number is handed on as it is": {
			query(policy.Total),
			[]Sample{{At: noon, Value: math.NaN()}},
			nil,
			decide.Reading{Signal: "q", Samples: []decide.Sample{{At: noon, Value: math.NaN()}}},
		},
		"too many series": {
			query(policy.Average), make([]Sample, maxSeries+1), nil,
			decide.Reading{Signal: "q", Err: "the query returns 1001 series, more than 1000: aggregate them to one for each replica"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, r := listening(t, tt.signal, func(string, time.Time) ([]Sample, error) { return tt.samples, tt.err })
			got, _ := l.read(t.Context(), r, &tt.signal)
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Error(diff)
			}
			failed := testutil.ToFloat64(l.metrics.queryErrors.WithLabelValues("web", "q"))
			if want := map[bool]float64{true: 1}[tt.err != nil]; failed != want {
				t.Errorf("%v query errors counted, want %v", failed, want)
			}
		})
	}
}

func TestContainersAreAsOldAsTheirNewestSample(t *testing.T) {
	seconds := func(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }
	for _, source := range []policy.Source{policy.CPU, policy.Memory} {
		var mu sync.Mutex
		var asked []string
		signal := policy.Signal{Name: "s", Type: policy.Track, Source: source, MaxAge: 15 * time.Second}
		l, r := listening(t, signal, func(promql string, _ time.Time) ([]Sample, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, promql)
			if strings.Contains(promql, "timestamp(") {
				return []Sample{
					of("n1", "/docker/a", seconds(noon.Add(-1500*time.Millisecond))),
					of("n2", "/docker/a", seconds(noon.Add(-9*time.Second))),
					of("n1", "/docker/b", math.NaN()),
				}, nil
			}
			// All look as fresh as the query, also b and c, which nobody hears.
			return []Sample{of("n1", "/docker/a", 0.5), of("n2", "/docker/a", 0.6), of("n1", "/docker/b", 0.7), of("n1", "/docker/c", 0.8)}, nil
		})
		got, _ := l.read(t.Context(), r, &signal)
		want := decide.Reading{Signal: "s", Samples: []decide.Sample{
			{Replica: "n1/docker/a", At: noon.Add(-1500 * time.Millisecond), Value: 0.5},
			{Replica: "n2/docker/a", At: noon.Add(-9 * time.Second), Value: 0.6},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", source, diff)
		}
		if len(asked) != 2 || !strings.Contains(asked[1], `{container_label_com_docker_swarm_service_name="web"}`) {
			t.Errorf("%s: asked %q", source, asked)
		}
	}
}

func TestAContainerWithoutAnAgeIsNoData(t *testing.T) {
	signal := policy.Signal{Name: "s", Source: policy.CPU}
	l, r := listening(t, signal, func(promql string, _ time.Time) ([]Sample, error) {
		if strings.Contains(promql, "timestamp(") {
			return nil, nil
		}
		return []Sample{of("n1", "/docker/a", 0)}, nil
	})
	got, _ := l.read(t.Context(), r, &signal)
	if got.Err == "" || len(got.Samples) != 0 {
		t.Errorf("reading %+v, want an error", got)
	}
}
