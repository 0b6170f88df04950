// Package alerting measures how long it takes from a sample that crosses to the
// message about it, beside Prometheus and Alertmanager as Debian packs them, and
// what alerting costs.
//
//	make bench-alerting
//
// Everything that is measured is a process of its own; people are a webhook here.
// Prometheus scrapes the same agent that streams to our collector, so that both
// learn of the same sample.
package alerting

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	measure     = flag.Bool("measure", false, "measure, which takes minutes; without it nothing is done")
	repetitions = flag.Int("repetitions", 50, "crossings whose way to the message is timed")
	every       = flag.Duration("every", 4*time.Second, "from one to the next, on average")
	window      = flag.Duration("window", time.Minute, "for how long CPU is counted")
	containers  = flag.Int("containers", 1000, "containers, of 20 series each, whose alerting is paid for")
	storm       = flag.Int("storm", 5000, "series that cross at once")
	built       = flag.String("plimsoll", "", "the binary that is measured; built by default")
)

// promises are upper limits, in seconds.
const (
	promisedMedian = 0.1
	promisedWorst  = 0.5
)

// BenchmarkBesidePrometheus times crossings that an agent reads, with all peers
// watching it at the same time.
func BenchmarkBesidePrometheus(b *testing.B) {
	need(b)
	for b.Loop() {
		sink := newSink(b)
		bin := plimsoll(b)
		c := newCollector(b, bin, rule, sink.config("plimsoll", "0s", "1s", "name"))
		a := newAgent(b, bin, c.agents, *repetitions)
		peers := []string{"plimsoll", "1s 1s 0s", "15s 15s 30s"}
		newPair(b, a.web, rule, 1, sink.config(peers[1], "0s", "1s", "name"))
		newPair(b, a.web, rule, 15, sink.config(peers[2], "30s", "1s", "name"))
		c.eventually(b, "the agent's samples are there", fmt.Sprintf("count(bench_load) == %d", *repetitions), c.process, a.process)
		<-time.After(35 * time.Second) // all have seen them twice

		began := make([]time.Time, *repetitions)
		for i := range began {
			<-time.After(time.Duration(rand.Int64N(2 * int64(*every))))
			began[i] = a.raise(i)
		}
		wait := time.After(3 * time.Minute)
		for _, peer := range peers {
			if !sink.complete(peer, *repetitions, wait) {
				b.Errorf("%s: not all of %d messages came", peer, *repetitions)
			}
		}
		for _, peer := range peers {
			var from, since []float64
			for i, at := range began {
				m, ok := sink.first(peer, name(i))
				if !ok {
					continue
				}
				from = append(from, m.Sub(at).Seconds())
				since = append(since, m.Sub(c.crossed(b, name(i))).Seconds())
			}
			b.Logf("%-12s from the change of the file: %s", peer, spread(from))
			b.Logf("%-12s from the sample's time:      %s", peer, spread(since))
			b.ReportMetric(quantile(since, 0.5), strings.ReplaceAll(peer, " ", "-")+"-p50-s")
		}
	}
}

// BenchmarkArrival times crossings in what a sender of ours pushes, beside the
// samples of many containers each second and with the whole pack in force.
func BenchmarkArrival(b *testing.B) {
	need(b)
	for b.Loop() {
		sink := newSink(b)
		c := newCollector(b, plimsoll(b), rule, sink.config("plimsoll", "0s", "1s", "name"))
		f := newFleet(b, c.agents, 20, *containers, *repetitions)
		f.past(b, 6*time.Minute)
		f.pulse(b, 5)
		began := make([]time.Time, *repetitions)
		for i := range began {
			f.pulse(b, 1)
			<-time.After(time.Duration(rand.Int64N(int64(800 * time.Millisecond))))
			began[i] = f.raise(b, i)
		}
		if !sink.complete("plimsoll", *repetitions, time.After(time.Minute)) {
			b.Errorf("not all of %d messages came", *repetitions)
		}
		var took []float64
		for i, at := range began {
			if m, ok := sink.first("plimsoll", name(i)); ok {
				took = append(took, m.Sub(at).Seconds())
			}
		}
		b.Logf("from handing the sample to the sender to the message: %s", spread(took))
		keeps(b, "median", quantile(took, 0.5), promisedMedian)
		keeps(b, "99 of 100", quantile(took, 0.99), promisedWorst)
	}
}

// BenchmarkStorm has many series cross in one moment.
func BenchmarkStorm(b *testing.B) {
	need(b)
	for name, grouped := range map[string]string{"own groups": "name", "one group": "alertname"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				sink := newSink(b)
				c := newCollector(b, plimsoll(b), rule, sink.config("plimsoll", "0s", "5s", grouped))
				f := newFleet(b, c.agents, 20, 0, *storm)
				f.pulse(b, 5)
				began := time.Now()
				f.raiseAll(b)
				if !sink.complete("plimsoll", *storm, time.After(time.Minute)) {
					b.Errorf("not all of %d alerts were told", *storm)
				}
				last := sink.last("plimsoll").Sub(began)
				asked := time.Now()
				c.get(b, "/api/v2/alerts")
				answer := time.Since(asked)
				_, most := c.memory()
				b.Logf("%d alerts in %d messages, the last after %.2f s; /api/v2/alerts answers in %.2f s; resident at most %.0f MB",
					*storm, sink.messages("plimsoll"), last.Seconds(), answer.Seconds(), most)
				keeps(b, "delivered, s", last.Seconds(), 10)
				keeps(b, "answer, s", answer.Seconds(), 1)
				keeps(b, "resident, MB", most, 1000)
				if grouped == "alertname" {
					keeps(b, "messages", float64(sink.messages("plimsoll")), 5)
				}
			}
		})
	}
}

// BenchmarkCost is what alerting adds to a collector: two take the same samples,
// one of them with the rules that come with it.
func BenchmarkCost(b *testing.B) {
	need(b)
	for b.Loop() {
		sink := newSink(b)
		bin := plimsoll(b)
		var cs []*collector
		var fs []*fleet
		for _, flags := range [][]string{{"--rules.bundled"}, {"--no-rules.bundled"}} {
			c := newCollector(b, bin, "", sink.config("plimsoll", "0s", "1s", "name"), flags...)
			f := newFleet(b, c.agents, 20, *containers, 0)
			f.past(b, 16*time.Minute)
			cs, fs = append(cs, c), append(fs, f)
		}
		run := func(d time.Duration) (used []float64) {
			var before []time.Duration
			for _, c := range cs {
				before = append(before, c.cpu())
			}
			began := time.Now()
			for tick := time.Tick(time.Second); time.Since(began) < d; <-tick {
				for _, f := range fs {
					f.push(b)
				}
			}
			for i, c := range cs {
				used = append(used, 100*(c.cpu()-before[i]).Seconds()/time.Since(began).Seconds())
			}
			return used
		}
		run(20 * time.Second)
		used := run(*window)
		b.Logf("%d containers × 20 series at 1 s: %.2f %% of a core with rules, %.2f %% without: alerting adds %.2f %%", *containers, used[0], used[1], used[0]-used[1])
		keeps(b, "of a core, %", used[0]-used[1], 10)
		b.Log(cs[0].spent(b))
	}
}

func need(b *testing.B) {
	if !*measure {
		b.Skip("it takes minutes and needs Debian's prometheus and prometheus-alertmanager: make bench-alerting")
	}
}

func keeps(b *testing.B, what string, got, promised float64) {
	b.Helper()
	if got > promised || math.IsNaN(got) {
		b.Errorf("missed: %s: %.3f, and at most %.3f was promised", what, got, promised)
		return
	}
	b.Logf("kept: %s: %.3f, at most %.3f", what, got, promised)
}

func quantile(of []float64, q float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	of = slices.Sorted(slices.Values(of))
	return of[min(len(of)-1, int(math.Ceil(q*float64(len(of))))-1)]
}

func spread(of []float64) string {
	return fmt.Sprintf("p50 %.3f s, p90 %.3f, p99 %.3f, max %.3f of %d", quantile(of, 0.5), quantile(of, 0.9), quantile(of, 0.99), quantile(of, 1), len(of))
}

func name(i int) string { return fmt.Sprintf("c%d", i) }
