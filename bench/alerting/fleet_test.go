package alerting

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	agents "github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	"github.com/plimsoll-io/plimsoll/agent/stream"
)

// fleet is nodes with containers that are well, and with series of the rule that
// is timed. Spools and streams are those of agents.
type fleet struct {
	nodes []*node
	ticks uint64
}

type node struct {
	spool      *spool.Spool
	containers []*container
	loads      *agents.Group // nil if there are none
	values     []float64
	batch      agents.Batch
}

type container struct {
	group  *agents.Group
	values []float64
}

// families are 20 series of a container that rules are about: what it grows by in
// a second, or 0 for what stays.
var families = []struct {
	name         string
	kind         agents.Type
	start, grows float64
}{
	{"container_cpu_usage_seconds_total", agents.Counter, 100, 0.2},
	{"container_cpu_cfs_periods_total", agents.Counter, 1000, 10},
	{"container_cpu_cfs_throttled_periods_total", agents.Counter, 10, 0.1},
	{"container_memory_working_set_bytes", agents.Gauge, 3e8, 4096},
	{"container_memory_usage_bytes", agents.Gauge, 4e8, 4096},
	{"container_memory_rss", agents.Gauge, 2e8, 4096},
	{"container_memory_cache", agents.Gauge, 1e8, 4096},
	{"container_spec_memory_limit_bytes", agents.Gauge, 1e9, 0},
	{"container_spec_cpu_quota", agents.Gauge, 100_000, 0},
	{"container_spec_cpu_period", agents.Gauge, 100_000, 0},
	{"container_processes", agents.Gauge, 10, 0},
	{"container_spec_pids_limit", agents.Gauge, 1000, 0},
	{"container_start_time_seconds", agents.Gauge, 1.7e9, 0},
	{"container_oom_events_total", agents.Counter, 0, 0},
	{"container_pressure_cpu_waiting_seconds_total", agents.Counter, 1, 0.01},
	{"container_pressure_cpu_stalled_seconds_total", agents.Counter, 1, 0.001},
	{"container_pressure_memory_waiting_seconds_total", agents.Counter, 1, 0.001},
	{"container_pressure_memory_stalled_seconds_total", agents.Counter, 1, 0.001},
	{"container_pressure_io_waiting_seconds_total", agents.Counter, 1, 0.01},
	{"container_pressure_io_stalled_seconds_total", agents.Counter, 1, 0.001},
}

func newFleet(b *testing.B, to string, nodes, containers, loads int) *fleet {
	b.Helper()
	ctx, end := context.WithCancel(context.Background())
	var loops *errgroup.Group
	loops, ctx = errgroup.WithContext(ctx)
	f := &fleet{}
	metrics := make([]*agents.Metric, len(families))
	for i, family := range families {
		metrics[i] = &agents.Metric{Name: family.name, Type: family.kind}
	}
	load := &agents.Metric{Name: "bench_load", Type: agents.Gauge}
	log, dir := slog.New(slog.DiscardHandler), b.TempDir()
	for i := range nodes {
		n := &node{}
		label := fmt.Sprintf("node-%02d", i)
		var err error
		n.spool, err = spool.Open(spool.Options{Dir: filepath.Join(dir, label), Log: log})
		must(b, err)
		s, err := stream.New(stream.Options{Spool: n.spool, Target: to, Node: label, Interval: time.Second, Log: log})
		must(b, err)
		loops.Go(func() error { return n.spool.Run(ctx) })
		loops.Go(func() error { return s.Run(ctx) })
		for c := i; c < containers; c += nodes {
			n.containers = append(n.containers, newContainer(c, metrics))
		}
		for l := i; l < loads; l += nodes {
			if n.loads == nil {
				n.loads = &agents.Group{}
			}
			n.loads.Series = append(n.loads.Series, agents.Series{
				Metric: load, Labels: []agents.Label{{Name: "name", Value: name(l)}},
			})
			n.values = append(n.values, 50)
		}
		f.nodes = append(f.nodes, n)
	}
	b.Cleanup(func() {
		end()
		_ = loops.Wait()
		for _, n := range f.nodes {
			_ = n.spool.Close()
		}
	})
	return f
}

func newContainer(i int, metrics []*agents.Metric) *container {
	c := &container{group: &agents.Group{Labels: []agents.Label{
		{Name: "id", Value: fmt.Sprintf("/docker/%064x", i)},
		{Name: "image", Value: "registry.example.com/team/app:1.0"},
		{Name: "job", Value: "cadvisor"},
		{Name: "name", Value: fmt.Sprintf("app-%d", i)},
	}}}
	for j, f := range families {
		s := agents.Series{Metric: metrics[j]}
		if f.name == "container_cpu_usage_seconds_total" {
			s.Labels = []agents.Label{{Name: "cpu", Value: "total"}}
		}
		c.group.Series = append(c.group.Series, s)
		c.values = append(c.values, f.start)
	}
	return c
}

// past sends what would have been read each second until now.
func (f *fleet) past(b *testing.B, d time.Duration) {
	b.Helper()
	now := time.Now().Truncate(time.Second)
	for at := now.Add(-d); at.Before(now); at = at.Add(time.Second) {
		f.send(b, at)
		if f.ticks%60 == 0 {
			f.acknowledged(b)
		}
	}
	f.acknowledged(b)
}

// pulse sends for so many seconds, one each.
func (f *fleet) pulse(b *testing.B, seconds int) {
	b.Helper()
	for range seconds {
		f.push(b)
		<-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	}
}

// push sends what is read now.
func (f *fleet) push(b *testing.B) {
	b.Helper()
	f.send(b, time.Now())
}

func (f *fleet) send(b *testing.B, at time.Time) {
	b.Helper()
	f.ticks++
	for _, n := range f.nodes {
		n.batch.Reset(f.ticks, at)
		for i, c := range n.containers {
			for j, family := range families {
				// It moves about where it was, so that all stays well.
				if c.values[j] += family.grows; family.kind == agents.Gauge && int(f.ticks)%60 == i%60 {
					c.values[j] = family.start
				}
			}
			copy(n.batch.Add(c.group), c.values)
		}
		if n.loads != nil {
			copy(n.batch.Add(n.loads), n.values)
		}
		must(b, n.spool.Append(&n.batch))
	}
}

// raise has a series cross in what its node sends now, and tells since when.
func (f *fleet) raise(b *testing.B, load int) time.Time {
	b.Helper()
	n := f.nodes[load%len(f.nodes)]
	n.values[load/len(f.nodes)] = 95
	f.ticks++
	at := time.Now()
	n.batch.Reset(f.ticks, at)
	copy(n.batch.Add(n.loads), n.values)
	must(b, n.spool.Append(&n.batch))
	return at
}

func (f *fleet) raiseAll(b *testing.B) {
	b.Helper()
	for _, n := range f.nodes {
		for i := range n.values {
			n.values[i] = 95
		}
	}
	f.push(b)
}

// acknowledged waits until the collector has everything.
func (f *fleet) acknowledged(b *testing.B) {
	b.Helper()
	for _, n := range f.nodes {
		for late := time.After(2 * time.Minute); ; <-time.After(5 * time.Millisecond) {
			st := n.spool.Stats()
			if st.Acked == st.Next-1 {
				break
			}
			select {
			case <-late:
				b.Fatalf("nothing is acknowledged any more: %+v", st)
			default:
			}
		}
	}
}
