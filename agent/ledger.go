package agent

import (
	"strings"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// ledger keeps a group for every single series, for readings that find their
// series rather than know them, such as of sensors: one may leave while its
// neighbours stay. It allocates; hot readings use nodeGroup and roster.
//
// A reading calls put for each series, then settle.
type ledger struct {
	entries map[string]*entry
	reading uint64
}

type entry struct {
	group   *sample.Group
	reading uint64 // the last that had it
}

// put adds a value of a series; a second one of the same series is left out.
func (l *ledger) put(b *sample.Batch, m *sample.Metric, v float64, labels ...sample.Label) {
	var key strings.Builder
	key.WriteString(m.Name)
	for _, label := range labels {
		key.WriteString("\x00" + label.Name + "\x00" + label.Value)
	}
	e := l.entries[key.String()]
	if e == nil {
		e = &entry{group: &sample.Group{
			Labels: []sample.Label{nodeJob()},
			Series: []sample.Series{{Metric: m, Labels: labels}},
		}}
		if l.entries == nil {
			l.entries = make(map[string]*entry)
		}
		l.entries[key.String()] = e
	} else if e.reading > l.reading {
		return
	}
	e.reading = l.reading + 1
	b.Add(e.group)[0] = v
}

// settle ends the reading, and with it every series that it did not have.
func (l *ledger) settle(b *sample.Batch) {
	l.reading++
	for key, e := range l.entries {
		if e.reading < l.reading {
			b.End(e.group)
			delete(l.entries, key)
		}
	}
}

// unread says that all of it is unknown now.
func (l *ledger) unread(b *sample.Batch) {
	for _, e := range l.entries {
		b.Add(e.group)
	}
}
