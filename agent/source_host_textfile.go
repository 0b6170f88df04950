package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/textfile"
)

// textfileReading is what the directory held, and what was wrong with it.
type textfileReading struct {
	textfile.Reading
	err error
}

func textfiles(dir string) func() (textfileReading, error) {
	return func() (textfileReading, error) {
		r, err := textfile.Read(dir)
		return textfileReading{r, err}, nil
	}
}

// hostTextfiles makes series of the directory of text files.
type hostTextfiles struct {
	found   ledger
	health  nodeGroup
	limit   *sample.Group
	mtime   *sample.Metric
	metrics map[string]*sample.Metric
}

func newHostTextfiles() *hostTextfiles {
	return &hostTextfiles{
		health: newNodeGroup(gauge("node_textfile_scrape_error", "1 if the directory or a file in it could not be read or understood.")),
		limit: &sample.Group{
			Labels: []sample.Label{{Name: "job", Value: "plimsoll-agent"}},
			Series: []sample.Series{gauge("plimsoll_agent_textfile_series_left_out", "Series in text files beyond the limits of number, labels and length.")},
		},
		mtime: &sample.Metric{
			Name: "node_textfile_mtime_seconds", Help: "When the file was written, in seconds since 1970.",
			Type: sample.Gauge, Unit: "seconds", Divisor: 1000,
		},
		metrics: make(map[string]*sample.Metric),
	}
}

func (s *hostTextfiles) add(b *sample.Batch, r textfileReading) error {
	failed := 0.0
	if r.err != nil {
		failed = 1
	}
	s.health.add(b)[0] = failed
	b.Add(s.limit)[0] = float64(r.LeftOut)
	for _, f := range r.Files {
		s.found.put(b, s.mtime, float64(f.ModTime.UnixMilli())/1000, sample.Label{Name: "file", Value: f.Path})
	}
	now := make(map[string]*sample.Metric)
	for _, one := range r.Samples {
		s.found.put(b, s.metric(one, now), one.Value, one.Labels...)
	}
	s.metrics = now
	s.found.settle(b)
	return r.err
}

// metric is the same for all series of a name, and from reading to reading.
func (s *hostTextfiles) metric(one textfile.Sample, now map[string]*sample.Metric) *sample.Metric {
	if m := now[one.Name]; m != nil {
		return m
	}
	m := s.metrics[one.Name]
	if m == nil || m.Type != one.Type || m.Help != one.Help {
		m = &sample.Metric{Name: one.Name, Help: one.Help, Type: one.Type}
	}
	now[one.Name] = m
	return m
}

func (s *hostTextfiles) unread(b *sample.Batch) {
	s.health.unread(b)
	s.found.unread(b)
}
