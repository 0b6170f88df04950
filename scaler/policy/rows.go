package policy

import (
	"fmt"
	"math"
)

// Row is a rung of a ladder: what to do where the reading is above or below a
// value. It counts from the replicas that are ready on the way out, so that those
// on their way are not asked for again.
type Row struct {
	// Above is the value above which the workload grows, Below that below which
	// it shrinks. A row has one of them.
	Above Amount `yaml:"above" json:"above,omitzero"`
	Below Amount `yaml:"below" json:"below,omitzero"`
	// Add is how many replicas more: a number, or a share of those that are
	// ready, rounded up. For a row with Above.
	Add Amount `yaml:"add" json:"add,omitzero"`
	// Remove is how many less: a number, or a share, rounded down but at least
	// one. For a row with Below.
	Remove Amount `yaml:"remove" json:"remove,omitzero"`
	// Set is how many there are to be, instead of Add and Remove; it never
	// shrinks above, nor grows below. 1 or more.
	Set int `yaml:"set" json:"set,omitempty"`
}

// Brink is the lowest value above which the ladder grows; +Inf if there is none.
func (s Signal) Brink() float64 {
	lowest := math.Inf(1)
	for _, r := range s.Rows {
		if r.Above.Unit != Absent {
			lowest = min(lowest, r.Above.Value)
		}
	}
	return lowest
}

// Of is how many replicas an amount of them is: itself, or a share of n, rounded
// up.
func (a Amount) Of(n int) int {
	if a.Unit == Share {
		return int(math.Ceil(a.Value*float64(n) - 1e-9))
	}
	return int(a.Value)
}

func (c *checker) rows(s *Signal, path string) {
	if n := len(s.Rows); n == 0 || n > maxRows {
		c.fail(path+".rows", fmt.Sprintf("has %d rows", n), fmt.Sprintf("give 1 to %d, like {above: 0.4, add: 20%%}", maxRows))
	}
	brink := s.Brink()
	for i, r := range s.Rows {
		path := fmt.Sprintf("%s.rows[%d]", path, i)
		grows, shrinks := r.Above.Unit != Absent, r.Below.Unit != Absent
		switch {
		case grows == shrinks:
			c.fail(path, "has to be above or below a value, one of the two", "make two rows of it")
			continue
		case grows:
			c.rung(s, path+".above", r.Above)
			c.change(path, "add", r.Add, r.Set)
			if r.Remove.Unit != Absent {
				c.fail(path+".remove", "would shrink where the load is high", "write below, or add")
			}
		default:
			if c.rung(s, path+".below", r.Below) && !s.mixed() && r.Below.Value >= brink*Crossing {
				c.fail(path+".below", fmt.Sprintf("%s is not below %s, above which another row grows", r.Below, Amount{brink, r.Below.Unit}), "leave room between the two")
			}
			c.change(path, "remove", r.Remove, r.Set)
			if r.Add.Unit != Absent {
				c.fail(path+".add", "would grow where the load is low", "write above, or remove")
			}
		}
	}
}

// rung checks the value of a row, which must be in the unit of the first.
func (c *checker) rung(s *Signal, path string, a Amount) bool {
	if !c.amount(path, a, s.units()) {
		return false
	}
	if first := s.Rows[0].value(); first.Unit != Absent && a.Unit != first.Unit {
		c.mixed(path, a, first)
		return false
	}
	return true
}

// value is what the row compares the reading with.
func (r Row) value() Amount {
	if r.Above.Unit != Absent {
		return r.Above
	}
	return r.Below
}

// mixed tells whether rows have values of several units.
func (s Signal) mixed() bool {
	for _, r := range s.Rows {
		if r.value().Unit != s.Unit() {
			return true
		}
	}
	return false
}

// change checks that a row says one thing to do.
func (c *checker) change(path, key string, a Amount, set int) {
	switch whole := a.Value == math.Trunc(a.Value); {
	case a.Unit == Absent && set == 0:
		c.fail(path, "does nothing", "give it "+key+" or set")
	case a.Unit != Absent && set != 0:
		c.fail(path+".set", "is there besides "+key, "remove one of them")
	case set < 0 || a.Unit == Absent && set > c.opts.Ceiling:
		c.fail(path+".set", fmt.Sprintf("must be 1 to %d, got %d", c.opts.Ceiling, set), "")
	case a.Unit == Absent:
	case a.Unit == Plain && !(whole && a.Value >= 1 && a.Value <= maxStep), a.Unit == Share && !(a.Value > 0 && a.Value <= 10), a.Unit == Size:
		c.fail(path+"."+key, fmt.Sprintf("%s is no number of replicas", a), fmt.Sprintf("write 1 to %d, or a share of them like 20%%", maxStep))
	}
}

// Unit is that of the values of a ladder.
func (s Signal) Unit() Unit {
	if len(s.Rows) == 0 {
		return Plain
	}
	return s.Rows[0].value().Unit
}
