package textfile

import (
	"fmt"
	"strings"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// seen is what earlier files of a reading have said.
type seen struct {
	types  map[string]sample.Type
	series map[string]bool
}

func newSeen() *seen {
	return &seen{types: make(map[string]sample.Type), series: make(map[string]bool)}
}

// agree fails if a metric is of another type than an earlier file says.
func (s *seen) agree(samples []Sample) error {
	for _, one := range samples {
		if t, known := s.types[one.Name]; known && t != one.Type {
			return fmt.Errorf("%s is a %s here and a %s in another file", one.Name, one.Type, t)
		}
	}
	for _, one := range samples {
		s.types[one.Name] = one.Type
	}
	return nil
}

// first tells whether no earlier line was of the same series.
func (s *seen) first(one Sample) bool {
	var key strings.Builder
	key.WriteString(one.Name)
	for _, l := range one.Labels {
		key.WriteString("\x00" + l.Name + "\x00" + l.Value)
	}
	if s.series[key.String()] {
		return false
	}
	s.series[key.String()] = true
	return true
}
