package ingest

import (
	"sync"

	"github.com/prometheus/common/model"
)

// maxMetas bounds what is remembered of metrics; a node has a few hundred.
const maxMetas = 20_000

// Metric is what is known of a metric besides its samples.
type Metric struct{ Name, Type, Help, Unit string } // Type as Prometheus spells it

// metas remembers what agents say of their metrics.
type metas struct {
	mu    sync.Mutex
	known map[Metric]struct{}
}

func (m *metas) learn(fresh []*series) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[Metric]struct{}{}
	}
	for _, s := range fresh {
		if s.refused == "" && len(m.known) < maxMetas {
			m.known[Metric{s.labels.Get(model.MetricNameLabel), string(s.meta.Type), s.meta.Help, s.meta.Unit}] = struct{}{}
		}
	}
}

// Metadata lists the metrics that agents have sent since the start, in no
// order. A metric stands there once for each thing that agents say of it.
func (s *Server) Metadata() []Metric {
	s.metas.mu.Lock()
	defer s.metas.mu.Unlock()
	list := make([]Metric, 0, len(s.metas.known))
	for m := range s.metas.known {
		list = append(list, m)
	}
	return list
}
