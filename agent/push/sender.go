package push

import (
	"slices"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Origin is who pushes, as far as the listener knows.
type Origin struct {
	Job       string
	Instance  string // the sender's own name for itself; empty if it has none
	Container string // id; empty if it is in none or nobody knows
}

// Sender is an origin with its points.
type Sender struct {
	table  *Table
	origin Origin

	points   map[string]*Point // by metric and labels
	families map[string]*family
	claims   map[string]*claim // by name of a series
	series   int

	// aliases are points by the bytes in which a listener meets them, so that
	// what comes again need not be understood again.
	aliases map[string]*Point

	first    time.Duration // since the table's birth
	standing Standing
	labels   []sample.Label // once it is known who it is
}

// claim is a name in use.
type claim struct {
	metric string
	kind   Kind
	points int
}

// maxAlias bounds an alias. Longer ones are understood each time.
const maxAlias = 512 // bytes

func newSender(t *Table, o Origin) *Sender {
	return &Sender{
		table: t, origin: o, first: t.now,
		points: make(map[string]*Point), families: make(map[string]*family),
		claims: make(map[string]*claim), aliases: make(map[string]*Point),
	}
}

// named tells whether s has labels, without which nothing of it is written.
func (s *Sender) named() bool { return s.standing != Unnamed }

// Known is the point that was remembered under an alias, nil if there is none.
func (s *Sender) Known(alias []byte) *Point {
	if p := s.aliases[string(alias)]; p != nil && !p.dead {
		return p
	}
	return nil
}

// Remember makes p known under an alias.
func (s *Sender) Remember(alias []byte, p *Point) {
	if len(alias) > maxAlias {
		return
	}
	if len(s.aliases) >= 64+2*len(s.points) {
		s.forgetAliases()
	}
	if s.aliases[string(alias)] != nil || s.table.reserve(aliasBytes(len(alias))) {
		s.aliases[string(alias)] = p
	}
}

func aliasBytes(n int) int { return n + 64 }

func (s *Sender) forgetAliases() {
	for alias := range s.aliases {
		s.table.bytes -= aliasBytes(len(alias))
	}
	clear(s.aliases)
}

// Point returns the point of m with some labels, and makes it if there is room
// for it.
func (s *Sender) Point(m *Metric, labels *Labels) (*Point, Reason) {
	t := s.table
	list, why := labels.settle(&t.limits, s.origin.Instance != "")
	if why != 0 {
		return nil, why
	}
	t.key = append(t.key[:0], m.Name...)
	for _, l := range list {
		t.key = append(append(append(append(t.key, 0), l.Name...), 0), l.Value...)
	}
	p := s.points[string(t.key)]
	t.family = appendFamilyKey(t.family[:0], m)
	if p == nil {
		return s.open(m, list)
	}
	if p.family.key != string(t.family) {
		if p.family.Kind == m.Kind {
			p.End() // its series are others now; the next sample begins them
		}
		return nil, Conflict
	}
	return p, 0
}

// open makes a point of t.key and t.family.
func (s *Sender) open(m *Metric, labels []sample.Label) (*Point, Reason) {
	t, width := s.table, m.width()
	switch {
	case reservedName(m.Name):
		return nil, Reserved
	case len(m.Name) > t.limits.NameBytes:
		return nil, TooLong
	case !s.free(m):
		return nil, Conflict
	case s.series+width > t.limits.SenderSeries:
		return nil, SenderSeries
	case t.series+width > t.limits.Series:
		return nil, NodeSeries
	}
	fam, cost := s.families[string(t.family)], pointBytes(len(t.key), len(labels), width)
	if fam == nil {
		cost += familyBytes(m)
	}
	if len(s.points) == 0 {
		cost += senderBytes
	}
	if !t.reserve(cost) {
		return nil, Memory
	}
	if fam == nil {
		fam = newFamily(m, string(t.family))
		s.families[fam.key] = fam
	}
	p := &Point{sender: s, family: fam, key: string(t.key), labels: slices.Clone(labels), interval: firstInterval}
	p.values = make([]float64, width)
	if !fam.accumulates() {
		for i := range p.values {
			p.values[i] = sample.Absent
		}
	}
	s.add(p)
	return p, 0
}

// free tells whether nothing else has the names of m's series.
func (s *Sender) free(m *Metric) bool {
	for _, name := range m.names() {
		if c := s.claims[name]; c != nil && (c.metric != m.Name || c.kind != m.Kind) {
			return false
		}
	}
	return true
}

func (s *Sender) add(p *Point) {
	t := s.table
	for _, name := range p.family.names() {
		if s.claims[name] == nil {
			s.claims[name] = &claim{metric: p.family.Name, kind: p.family.Kind}
		}
		s.claims[name].points++
	}
	p.family.points++
	s.points[p.key] = p
	s.series += len(p.values)
	t.senders[s.origin] = s
	t.unnamed = t.unnamed || !s.named()
	t.series += len(p.values)
	t.place(p)
}

// remove takes p out. Its group has been ended.
func (s *Sender) remove(p *Point) {
	t := s.table
	p.dead = true
	for _, name := range p.family.names() {
		if s.claims[name].points--; s.claims[name].points == 0 {
			delete(s.claims, name)
		}
	}
	if p.family.points--; p.family.points == 0 {
		delete(s.families, p.family.key)
		t.bytes -= familyBytes(&p.family.Metric)
	}
	delete(s.points, p.key)
	s.series -= len(p.values)
	t.series -= len(p.values)
	t.bytes -= pointBytes(len(p.key), len(p.labels), len(p.values)) + p.room*seenBytes
	t.displace(p)
	if len(s.points) == 0 {
		s.forgetAliases()
		t.bytes -= senderBytes
		delete(t.senders, s.origin)
	}
}

// senderBytes, pointBytes and familyBytes are about what is kept in memory.
const senderBytes = 1200

func pointBytes(key, labels, width int) int { return 450 + 2*key + 64*labels + 8*width }

func familyBytes(m *Metric) int {
	return 300 + len(m.Help) + 4*len(m.Name) + 100*m.width()
}

// merged are the labels of a group of p: those of its sender, which no label of
// p's own is called like, and those.
func (s *Sender) merged(p *Point) []sample.Label {
	all := slices.Concat(s.labels, p.labels)
	slices.SortFunc(all, func(a, b sample.Label) int { return strings.Compare(a.Name, b.Name) })
	return all
}
