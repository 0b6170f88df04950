package agent

import (
	"context"
	"strings"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

const selfName = "self"

// selfSource puts the agent's own metrics into its batches, in the second
// lane. What concerns ticks is as of the tick before.
type selfSource struct {
	lane  uint64
	read  *node.Reader
	facts []fact
	group *sample.Group // of facts, in their order
	usage *sample.Group // of this process: CPU, memory
}

func newSelfSource(m *metrics, lanes Lanes) *selfSource {
	job := []sample.Label{{Name: "job", Value: "plimsoll-agent"}}
	s := &selfSource{
		lane:  lanes.Second,
		read:  node.New(node.Roots{}), // this process is in its own /proc, whatever the node's is
		facts: m.facts(),
		group: &sample.Group{Labels: job, Every: max(lanes.Second, 1)},
		usage: &sample.Group{Labels: job, Every: max(lanes.Second, 1), Series: []sample.Series{
			{Metric: &sample.Metric{Name: "process_cpu_seconds_total", Help: "CPU time of the agent's process, user and system.", Type: sample.Counter, Unit: "seconds", Divisor: 1e6}},
			{Metric: &sample.Metric{Name: "process_resident_memory_bytes", Help: "Memory of the agent's process that is in RAM.", Type: sample.Gauge, Unit: "bytes"}},
		}},
	}
	metricOf := make(map[string]*sample.Metric)
	for _, f := range s.facts {
		if metricOf[f.name] == nil {
			metricOf[f.name] = f.metric()
		}
		series := sample.Series{Metric: metricOf[f.name]}
		if f.label[0] != "" {
			series.Labels = []sample.Label{{Name: f.label[0], Value: f.label[1]}}
		}
		s.group.Series = append(s.group.Series, series)
	}
	return s
}

func (f *fact) metric() *sample.Metric {
	m := &sample.Metric{Name: f.name, Help: f.help, Type: sample.Gauge, Divisor: f.divisor}
	if f.counter {
		m.Type = sample.Counter
	}
	for _, unit := range []string{"seconds", "bytes"} {
		if strings.HasSuffix(strings.TrimSuffix(f.name, "_total"), "_"+unit) {
			m.Unit = unit
		}
	}
	return m
}

func (s *selfSource) Name() string { return selfName }

func (s *selfSource) Collect(_ context.Context, b *sample.Batch) error {
	if !due(s.lane, b.Tick, 0) {
		return nil
	}
	v := b.Add(s.group)
	for i := range s.facts {
		v[i] = s.facts[i].value()
	}
	p, err := s.read.Self()
	if err != nil {
		return err
	}
	v = b.Add(s.usage)
	v[0] = float64(p.CPU.Microseconds()) / 1e6
	v[1] = float64(p.ResidentBytes)
	return nil
}

func (s *selfSource) Close() error {
	s.read.Close()
	return nil
}
