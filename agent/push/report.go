package push

import "github.com/plimsoll-io/plimsoll/agent/sample"

// report adds what the table says of itself.
func (t *Table) report(b *sample.Batch, due bool) {
	if !due && t.own != nil {
		return
	}
	if t.own == nil {
		t.describe()
	}
	v := b.Add(t.own)
	v[0], v[1], v[2] = float64(len(t.senders)), float64(t.series), float64(t.bytes)
	for i, f := range t.feeds {
		v := b.Add(t.health[i])
		v[0] = float64(f.taken.Load())
		for why := Reason(1); why < Reasons; why++ {
			v[why] = float64(f.dropped[why].Load())
		}
	}
}

func (t *Table) describe() {
	every := uint64(len(t.turns))
	labels := []sample.Label{{Name: "job", Value: "plimsoll-agent"}}
	t.own = &sample.Group{Labels: labels, Every: every, Series: []sample.Series{
		{Metric: &sample.Metric{Name: "plimsoll_agent_push_senders", Help: "Senders of pushed metrics that have series.", Type: sample.Gauge}},
		{Metric: &sample.Metric{Name: "plimsoll_agent_push_series", Help: "Series of pushed metrics.", Type: sample.Gauge}},
		{Metric: &sample.Metric{Name: "plimsoll_agent_push_memory_bytes", Help: "Memory that pushed metrics take, about.", Type: sample.Gauge, Unit: "bytes"}},
	}}
	taken := &sample.Metric{Name: "plimsoll_agent_push_samples_total", Help: "Samples that applications pushed and the agent took.", Type: sample.Counter}
	dropped := &sample.Metric{Name: "plimsoll_agent_push_dropped_total", Help: "Samples that applications pushed and the agent did not take, by reason; datagrams and requests where nobody counted the samples in them.", Type: sample.Counter}
	for _, f := range t.feeds {
		listener := sample.Label{Name: "listener", Value: f.listener}
		g := &sample.Group{Labels: labels, Every: every, Series: []sample.Series{{Metric: taken, Labels: []sample.Label{listener}}}}
		for why := Reason(1); why < Reasons; why++ {
			g.Series = append(g.Series, sample.Series{
				Metric: dropped, Labels: []sample.Label{listener, {Name: "reason", Value: why.String()}},
			})
		}
		t.health = append(t.health, g)
	}
}
