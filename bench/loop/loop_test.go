package loop

import (
	"context"
	"fmt"
	"maps"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// TestABatchSaysWhatSingleQueriesSay asks a real store both ways.
func TestABatchSaysWhatSingleQueriesSay(t *testing.T) {
	w, now := newWorld(t), time.Now()
	const services = 7
	w.fill(t, services, 3, now.Add(-time.Minute), now, func(i int) float64 { return 0.1 * float64(i) })
	cores, memory, bytes := cpu(), cpu(), cpu()
	cores.Of = policy.Cores
	memory.Source, memory.Window, bytes.Source, bytes.Of = policy.Memory, 0, policy.Memory, policy.Bytes
	for _, signal := range []policy.Signal{cpu(), cores, memory, bytes} {
		shape, ok := signal.Shape()
		if !ok {
			t.Fatal("no shape")
		}
		var names []string
		for i := range services - 1 { // the last is of another policy
			names = append(names, service(i))
		}
		names = append(names, "a.service+(that|is)\\not\"there")
		by := func(text string) map[string]map[string]float64 {
			t.Helper()
			samples, err := w.Query(t.Context(), text, now, 15*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			of := map[string]map[string]float64{}
			for _, s := range samples {
				name := s.Labels[policy.ServiceLabel]
				if of[name] == nil {
					of[name] = map[string]float64{}
				}
				of[name][s.Labels["node"]+s.Labels["id"]] = s.Value
			}
			return of
		}
		batch := shape.Batch(names)
		readings, ages := by(batch.Readings), by(batch.Ages)
		if len(readings) != services-1 || len(ages) != services-1 {
			t.Errorf("%s of %s: readings of %d services and ages of %d, want %d", signal.Source, signal.Of, len(readings), len(ages), services-1)
		}
		for i := range services - 1 {
			single := by(signal.PromQL(policy.Target{Driver: "swarm", Service: service(i)}))
			if diff := cmp.Diff(single[""], readings[service(i)], cmpopts.EquateApprox(1e-9, 1e-9)); diff != "" || len(single[""]) != 3 {
				t.Errorf("%s of %s, %s: %s", signal.Source, signal.Of, service(i), diff)
			}
			for replica, at := range ages[service(i)] {
				if age := float64(now.UnixMilli())/1000 - at; age < 0 || age > 1.1 {
					t.Errorf("%s is %.3f s old, want at most one", replica, age)
				}
			}
		}
		if shape.Full {
			throttled, pressure := by(batch.Throttled), by(batch.Pressure)
			want := map[string]map[string]float64{}
			for i := range services - 1 {
				want[service(i)] = map[string]float64{"": 0.05}
			}
			if diff := cmp.Diff(want, throttled, cmpopts.EquateApprox(1e-6, 1e-6)); diff != "" {
				t.Errorf("throttled: %s", diff)
			}
			for i := range services - 1 {
				want[service(i)] = map[string]float64{"": 0.02}
			}
			if diff := cmp.Diff(want, pressure, cmpopts.EquateApprox(1e-6, 1e-6)); diff != "" {
				t.Errorf("pressure: %s", diff)
			}
		} else if batch.Throttled != "" || batch.Pressure != "" {
			t.Errorf("%s of %s asks how full replicas are", signal.Source, signal.Of)
		}
	}
}

// BenchmarkPolicies evaluates policies in real time, over samples of each second
// that were stored before, and reports what share of one core that takes.
func BenchmarkPolicies(b *testing.B) {
	for _, c := range []struct {
		name             string
		policies, ofEach int
		arrivals         bool
		signals          []policy.Signal
	}{
		{"2000_cpu", 2000, 1, false, []policy.Signal{cpu()}},
		{"2000_cpu_three_replicas", 2000, 3, false, []policy.Signal{cpu()}},
		{"2000_cpu_as_samples_arrive", 2000, 1, true, []policy.Signal{cpu()}},
		{"100_cpu_as_samples_arrive", 100, 3, true, []policy.Signal{cpu()}},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b)
			const warm, measured = 5 * time.Second, 20 * time.Second
			begin := time.Now()
			w.fill(b, c.policies, c.ofEach, begin.Add(-2*time.Minute), begin.Add(3*time.Minute), func(int) float64 { return 0.4 })
			for range b.N {
				w.run(b, c.policies, c.ofEach, c.arrivals, warm, measured, c.signals)
			}
		})
	}
}

func (w *world) run(b *testing.B, n, replicas int, arrivals bool, warm, measured time.Duration, signals []policy.Signal) {
	dir := b.TempDir()
	j, err := journal.Open(journal.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	watched := make(chan []scaler.Watched, 10)
	reg := prometheus.NewRegistry()
	s, err := scaler.New(scaler.Options{
		Policies: w.policies(n, replicas, signals...), Query: w, Drivers: map[string]driver.Driver{"swarm": &w.platform},
		Journal: j, StateFile: dir + "/state.json", Registerer: reg,
		Watch: func(all []scaler.Watched) { watched <- all },
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 2)
	go func() { ended <- s.Run(ctx) }()
	go func() {
		defer func() { ended <- nil }()
		all, tick := <-watched, time.NewTicker(50*time.Millisecond) // twenty nodes, one after the other
		defer tick.Stop()
		for node := 0; ; node++ {
			select {
			case <-ctx.Done():
				return
			case at := <-tick.C:
				for i := node % 20; i < len(all) && arrivals; i += 20 {
					all[i].Arrived(at)
				}
			}
		}
	}()
	<-time.After(warm)
	cpu, asked, lists, reads, ticks := spent(), w.asked.Load(), w.platform.Lists(), w.platform.Reads(), counted(b, reg)
	<-time.After(measured)
	used := spent() - cpu
	seconds := measured.Seconds()
	after := counted(b, reg)
	b.ReportMetric(100*used.Seconds()/seconds, "%core")
	b.ReportMetric((after-ticks)/seconds, "evaluations/s")
	b.ReportMetric(float64(w.asked.Load()-asked)/seconds, "queries/s")
	b.ReportMetric(float64(w.platform.Lists()-lists+w.platform.Reads()-reads)/seconds, "looks/s")
	b.ReportMetric(float64(used.Microseconds())/(after-ticks), "µs/evaluation")
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Error(err)
	}
	bad := map[string]int{}
	for _, p := range s.Policies() {
		if p.Last == nil {
			bad["never evaluated"]++
		} else if r := p.Last.Observation.Signals[0]; r.Err != "" || len(r.Samples) != replicas {
			bad[fmt.Sprintf("%d samples: %s", len(r.Samples), r.Err)]++
		}
	}
	if len(bad) > 0 {
		b.Errorf("policies without what they ask for: %v", maps.Clone(bad))
	}
}

// spent is the CPU time of this process.
func spent() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// counted is how many evaluations there were.
func counted(b *testing.B, reg prometheus.Gatherer) float64 {
	families, err := reg.Gather()
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() == "plimsoll_scaler_evaluations_total" {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
