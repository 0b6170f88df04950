package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// told remembers which policies were told.
type told map[string]int

func (t told) of(name, promql string) scaler.Watched {
	return scaler.Watched{Policy: name, PromQL: promql, Arrived: func(time.Time) { t[name]++ }}
}

func TestPoliciesAreToldOfTheSamplesTheyRead(t *testing.T) {
	cpu := policy.Shape{Source: policy.CPU}
	tests := map[string]struct {
		watched string
		series  []string
		want    bool
	}{
		"its containers":              {cpu.Watched("shop_web"), []string{"__name__", "container_cpu_usage_seconds_total", policy.ServiceLabel, "shop_web", "id", "x"}, true},
		"another service":             {cpu.Watched("shop_web"), []string{"__name__", "container_cpu_usage_seconds_total", policy.ServiceLabel, "shop_api"}, false},
		"another metric of them":      {cpu.Watched("shop_web"), []string{"__name__", "container_memory_rss", policy.ServiceLabel, "shop_web"}, false},
		"within a rate and a sum":     {`sum(rate(http_requests_total{job="web"}[10s])) / 7`, []string{"__name__", "http_requests_total", "job", "web", "code", "200"}, true},
		"with another label":          {`sum(rate(http_requests_total{job="web"}[10s]))`, []string{"__name__", "http_requests_total", "job", "api"}, false},
		"by a regular expression":     {`sum(queue{name=~"a|b"})`, []string{"__name__", "queue", "name", "b"}, true},
		"the second operand":          {`a + on () b`, []string{"__name__", "b"}, true},
		"of another time":             {`queue offset 1w`, []string{"__name__", "queue"}, false},
		"at a fixed time":             {`queue @ 1000`, []string{"__name__", "queue"}, false},
		"without a name":              {`sum({job="web"})`, []string{"__name__", "queue", "job", "web"}, false},
		"of a service, in a query":    {`sum(m{` + policy.ServiceLabel + `="shop_web"})`, []string{"__name__", "m", policy.ServiceLabel, "shop_web"}, true},
		"of any service, in a query":  {`sum(m)`, []string{"__name__", "m", policy.ServiceLabel, "shop_web"}, true},
		"a query that does not parse": {`sum(`, []string{"__name__", "m"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, who := newSamples(), told{}
			s.watch([]scaler.Watched{who.of("web", tt.watched)})
			shown := s.Series(labels.FromStrings(tt.series...))
			if (shown != nil) != tt.want {
				t.Fatalf("waited for: %v, want %v", shown != nil, tt.want)
			}
			if tt.want {
				s.Stored(time.Now().UnixMilli(), []any{shown}, []float64{1})
			}
			if (who["web"] > 0) != tt.want {
				t.Errorf("told %d times", who["web"])
			}
		})
	}
}

func TestAValueThatStaysTellsNothing(t *testing.T) {
	s, who := newSamples(), told{}
	s.watch([]scaler.Watched{who.of("web", "queue"), who.of("api", "sum(queue)")})
	shown := []any{s.Series(labels.FromStrings("__name__", "queue"))}
	for _, step := range []struct {
		value float64
		want  int // times told so far
	}{{0, 1}, {0, 1}, {5, 2}, {5, 2}, {math.Float64frombits(value.StaleNaN), 3}, {5, 4}} {
		s.Stored(1, shown, []float64{step.value})
		if who["web"] != step.want || who["api"] != step.want {
			t.Errorf("after %v told %v times, want %d", step.value, who, step.want)
		}
	}
}

func TestWhatIsWaitedForChangesWithTheEpoch(t *testing.T) {
	s, who := newSamples(), told{}
	queue := labels.FromStrings("__name__", "queue")
	epochs := []uint64{s.Epoch()}
	if s.Series(queue) != nil {
		t.Error("something is waited for before anyone waits")
	}
	s.watch([]scaler.Watched{who.of("web", "queue")})
	epochs = append(epochs, s.Epoch())
	if s.Series(queue) == nil {
		t.Error("not waited for")
	}
	s.watch(nil)
	epochs = append(epochs, s.Epoch())
	if s.Series(queue) != nil {
		t.Error("waited for though nobody does any more")
	}
	if !slices.IsSorted(epochs) || epochs[0] == epochs[1] || epochs[1] == epochs[2] || epochs[0] == 0 {
		t.Errorf("epochs %v", epochs)
	}
}

// refs is an appender that gives each series the number of its label n.
type refs struct{ storage.AppenderV2 }

func (refs) Append(_ storage.SeriesRef, ls labels.Labels, _, _ int64, _ float64, _ *histogram.Histogram, _ *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	n, err := strconv.Atoi(ls.Get("n"))
	return storage.SeriesRef(n), err
}

func (refs) Commit() error { return nil }

func TestOfASeriesThatComesAgainItIsKnownWhoWaits(t *testing.T) {
	s, who := newSamples(), told{}
	bring := func(n string) {
		t.Helper()
		a := &showing{AppenderV2: refs{}, samples: s}
		if _, err := a.Append(0, labels.FromStrings("__name__", "queue", "n", n), 0, 1, 1, nil, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := a.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want int) {
		t.Helper()
		if who["web"] != want {
			t.Errorf("told %d times, want %d", who["web"], want)
		}
	}
	bring("1")
	expect(0)
	s.watch([]scaler.Watched{who.of("web", `queue{n="1"}`)})
	for range 3 {
		bring("1")
		bring("2")
	}
	expect(3)
	if found, known := s.known[1]; !known || found == nil {
		t.Error("it is looked up each time")
	}
	if found, known := s.known[2]; !known || found != nil {
		t.Error("a series nobody waits for is looked up each time")
	}
	s.watch([]scaler.Watched{who.of("web", `queue{n="2"}`)})
	bring("1")
	expect(3)
	bring("2")
	expect(4)
	for i := range mostKnown + 10 {
		bring(strconv.Itoa(i))
	}
	if n := len(s.known); n > mostKnown {
		t.Errorf("%d are known", n)
	}
	bring("0") // of no number
	if _, known := s.known[0]; known {
		t.Error("series without a number are taken for one")
	}
}

// BenchmarkSeriesNobodyWaitsFor is what a new series costs that no policy reads,
// beside two thousand that do read.
func BenchmarkSeriesNobodyWaitsFor(b *testing.B) {
	s, who := newSamples(), told{}
	var all []scaler.Watched
	for i := range 2000 {
		all = append(all, who.of("web", policy.Shape{Source: policy.CPU}.Watched("service-"+string(rune('a'+i%26)))))
	}
	s.watch(all)
	ls := labels.FromStrings("__name__", "container_memory_rss", "id", "x", policy.ServiceLabel, "service-a")
	b.ReportAllocs()
	for b.Loop() {
		if s.Series(ls) != nil {
			b.Fatal("someone waits")
		}
	}
}

// All of it together, with minutes between two ticks: what is stored leads to an
// evaluation.
func TestASampleThatIsStoredLeadsToAnEvaluationBeforeTheTick(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "policies.yml")
	if err := os.WriteFile(file, []byte(`version: plimsoll.scaler/v1
apps:
- name: web
  interval: 5m
  in: {window: 10m}
  target: {driver: swarm, service: shop_web}
  max: 3
  signals: [{source: query, query: 'sum(load{name="web"})', target: 10}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	var f collectorFlags
	app := kingpin.New("test", "")
	f.add(app.Command("collector", ""))
	if _, err := app.Parse([]string{
		"collector", "--data.path=" + filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=127.0.0.1:0",
		"--scaler.policy.file=" + file, "--scaler.swarm-host=unix://" + filepath.Join(dir, "no-engine.sock"),
	}); err != nil {
		t.Fatal(err)
	}
	p, err := newCollector(t.Context(), f, map[string]string{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	collected := make(chan error, 1)
	go func() { collected <- p.run(ctx, nil) }()
	defer func() {
		cancel()
		if err := errors.Join(<-collected, p.close()); err != nil {
			t.Error(err)
		}
	}()
	end := time.After(time.Minute)
	for v := 1.0; ; v++ {
		if last := p.scaler.Policies()[0].Last; last != nil && last.Trigger == journal.TriggerSample {
			if r := last.Observation.Signals[0]; r.Err != "" || r.Samples[0].Value == 0 {
				t.Errorf("it reads %+v", r)
			}
			return
		}
		appender := p.watched(p.store).AppenderV2(ctx)
		if _, err := appender.Append(0, labels.FromStrings("__name__", "load", "name", "web"), 0, time.Now().UnixMilli(), v, nil, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := appender.Commit(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-end:
			t.Fatal("no sample led to an evaluation within a minute")
		}
	}
}
