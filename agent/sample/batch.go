package sample

import "time"

// Batch is what one tick read. It is used over and over: Reset keeps its
// memory, so that a steady agent allocates nothing.
type Batch struct {
	Tick    uint64    // number of the tick since the agent started, from 0
	Time    time.Time // of all samples in it
	Columns []Column
	Ended   []*Group // their subject is gone; they come in no later batch
	Events  []Event

	values []float64
}

// Column is the values of a group at one tick, one for each of its series,
// Absent where there is none.
type Column struct {
	Group  *Group
	Values []float64
}

// Reset empties b for another tick.
func (b *Batch) Reset(tick uint64, at time.Time) {
	clear(b.Columns)
	clear(b.Ended)
	clear(b.Events)
	b.Tick, b.Time = tick, at
	b.Columns, b.Ended, b.Events = b.Columns[:0], b.Ended[:0], b.Events[:0]
	b.values = b.values[:0]
}

// Add makes room for a group's values and returns it, all Absent. A group is
// added at most once per batch.
func (b *Batch) Add(g *Group) []float64 {
	n := len(g.Series)
	if len(b.values)+n > cap(b.values) {
		// Columns keep what they have in the old array.
		b.values = make([]float64, 0, max(2*cap(b.values), n, 256))
	}
	at := len(b.values)
	b.values = b.values[:at+n]
	v := b.values[at : at+n : at+n]
	for i := range v {
		v[i] = Absent
	}
	b.Columns = append(b.Columns, Column{g, v})
	return v
}

// End says that a group's subject is gone.
func (b *Batch) End(g *Group) { b.Ended = append(b.Ended, g) }

// Happened adds an event.
func (b *Batch) Happened(e Event) { b.Events = append(b.Events, e) }

// Len is the number of samples in b.
func (b *Batch) Len() int {
	n := 0
	for _, c := range b.Columns {
		for _, v := range c.Values {
			if !IsAbsent(v) {
				n++
			}
		}
	}
	return n
}
