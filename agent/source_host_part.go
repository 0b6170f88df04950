package agent

import (
	"errors"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// hostSeries makes series of a reading.
type hostSeries[T any] interface {
	// add adds all that the reading says. What it found wrong with a part of
	// the reading is an error; the rest counts.
	add(b *sample.Batch, reading T) error
	// unread says that what there was is unknown now.
	unread(b *sample.Batch)
}

// errOut says that an errand is out still.
var errOut = errors.New("it will be read again when that ends")

// now is for what the kernel answers out of its memory: it is read in the tick.
func now[T any](read func() (T, error), series hostSeries[T]) hostPart {
	return &atOnce[T]{read: read, series: series}
}

type atOnce[T any] struct {
	read   func() (T, error)
	series hostSeries[T]
	last   time.Duration
}

func (p *atOnce[T]) tick(b *sample.Batch, due bool) (bool, error) {
	if !due {
		return false, nil
	}
	began := time.Now()
	reading, err := p.read()
	p.last = time.Since(began)
	if err != nil {
		p.series.unread(b)
		return true, err
	}
	return true, p.series.add(b, reading)
}

func (p *atOnce[T]) took() time.Duration { return p.last }

func (p *atOnce[T]) wait(<-chan struct{}) {}

// later is for what may block: hardware, disks, file servers, or just a great
// many of something.
func later[T any](read func() (T, error), series hostSeries[T]) hostPart {
	return &away[T]{newErrand(read), series}
}

type away[T any] struct {
	errand *errand[T]
	series hostSeries[T]
}

func (p *away[T]) tick(b *sample.Batch, due bool) (bool, error) {
	reading, looked, err := p.errand.fetch()
	switch {
	case err != nil:
		p.series.unread(b)
	case looked:
		err = p.series.add(b, reading)
	}
	if !due {
		return looked, err
	}
	if late := p.errand.send(); late != nil {
		p.series.unread(b) // looked is false: it was out, so nothing was added
		return true, late
	}
	return looked, err
}

func (p *away[T]) took() time.Duration { return p.errand.took }

func (p *away[T]) wait(over <-chan struct{}) { p.errand.wait(over) }

// hostValues is a fixed list of series.
type hostValues struct{ group nodeGroup }

func (s *hostValues) add(b *sample.Batch, values []float64) error {
	copy(s.group.add(b), values)
	return nil
}

func (s *hostValues) unread(b *sample.Batch) { s.group.unread(b) }

// valuesOf are the values of n, Absent where they are not known.
func valuesOf(n ...node.Number) []float64 {
	v := make([]float64, len(n))
	for i := range n {
		v[i] = sample.Absent
		if n[i].Known {
			v[i] = float64(n[i].Value)
		}
	}
	return v
}

// hostKeyed is a fixed list of series whose values have keys.
type hostKeyed struct {
	keys  []string // of the group's series
	group nodeGroup
}

func newHostKeyed(keys []string, series []sample.Series) *hostKeyed {
	return &hostKeyed{keys, newNodeGroup(series...)}
}

func (s *hostKeyed) add(b *sample.Batch, values map[string]float64) error {
	v := s.group.add(b)
	for i, key := range s.keys {
		if value, known := values[key]; known {
			v[i] = value
		}
	}
	return nil
}

func (s *hostKeyed) unread(b *sample.Batch) { s.group.unread(b) }

// hostTable makes a group of series of each row, such as one CPU.
type hostTable[R any] struct {
	name   func(*R) string
	values func(*R) []float64
	rows   roster[string, *sample.Group]
}

// newHostTable makes a table whose rows differ in one label. name is its value;
// values are those of series, in their order.
func newHostTable[R any](label string, series []sample.Series, name func(*R) string, values func(*R) []float64) *hostTable[R] {
	return &hostTable[R]{
		name: name, values: values,
		rows: roster[string, *sample.Group]{
			came: func(name string) *sample.Group {
				return &sample.Group{Labels: []sample.Label{{Name: label, Value: name}, nodeJob()}, Series: series}
			},
			left: func(g **sample.Group, b *sample.Batch) { b.End(*g) },
		},
	}
}

func (s *hostTable[R]) add(b *sample.Batch, rows []R) error {
	for i := range rows {
		if g := s.rows.seen(s.name(&rows[i])); g != nil {
			copy(b.Add(*g), s.values(&rows[i]))
		}
	}
	s.rows.settle(b)
	return nil
}

func (s *hostTable[R]) unread(b *sample.Batch) {
	s.rows.each(func(g **sample.Group) { b.Add(*g) })
}
