package expose

import (
	"slices"
	"strings"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// layout is the order in which the series of one generation are shown: by
// family, as the text formats demand, while groups hold a few of many. It never
// changes once it is made.
type layout struct {
	generation uint64
	families   []*family // by name
	unfit      int       // series left out for their names
}

// family is the series that share a name.
type family struct {
	metric *sample.Metric
	kind   sample.Type // untyped if the series do not agree
	header [formats]string
	lines  []line
}

// line is one series.
type line struct {
	group int32  // its position in the view
	value int32  // its position in the view
	own   string // labels that others of the group do not have
}

// labelText is the labels of a group, with the job and without.
type labelText struct {
	withJob, sansJob string
	unfit            bool
}

// layoutOf returns the layout for a view: mostly that of the scrape before.
func (e *Exposition) layoutOf(v *view) *layout {
	e.layoutMu.Lock()
	defer e.layoutMu.Unlock()
	if e.layout != nil && e.layout.generation == v.generation {
		return e.layout
	}
	l := arrange(v)
	if e.layout == nil || e.layout.generation < l.generation {
		e.layout = l
		e.unfit.Store(int64(l.unfit))
	}
	return l
}

// arrange makes the layout for a view. Labels that containers share are
// rendered once.
func arrange(v *view) *layout {
	l := &layout{generation: v.generation}
	byName := make(map[string]*family)
	rendered := make(map[*sample.Label]string)
	value := int32(0)
	for at, g := range v.groups {
		if g.text == nil {
			g.text = newLabelText(g.of.Labels)
		}
		for i := range g.of.Series {
			s := &g.of.Series[i]
			own, ok := ownLabels(s.Labels, g.of.Labels, rendered)
			switch f := byName[s.Metric.Name]; {
			case !ok || g.text.unfit:
				l.unfit++
			case f != nil:
				f.add(s.Metric, line{int32(at), value, own})
			case validMetric(s.Metric.Name):
				f = &family{metric: s.Metric, kind: s.Metric.Type, lines: []line{{int32(at), value, own}}}
				byName[s.Metric.Name] = f
				l.families = append(l.families, f)
			default:
				l.unfit++
			}
			value++
		}
	}
	for _, f := range l.families {
		f.header[text] = f.textHeader()
		f.header[openMetrics] = f.openMetricsHeader(byName)
	}
	slices.SortFunc(l.families, func(a, b *family) int { return strings.Compare(a.metric.Name, b.metric.Name) })
	return l
}

func (f *family) add(m *sample.Metric, one line) {
	if m != f.metric && m.Type != f.kind {
		f.kind = sample.Untyped
	}
	f.lines = append(f.lines, one)
}

func newLabelText(labels []sample.Label) *labelText {
	return &labelText{
		withJob: string(appendLabels(nil, labels, "")),
		sansJob: string(appendLabels(nil, labels, jobLabel)),
		unfit:   !validLabels(labels, nil),
	}
}

// ownLabels renders the labels of a series, unless they cannot go with those of
// its group. Many series share theirs, of which rendered is the memory.
func ownLabels(own, group []sample.Label, rendered map[*sample.Label]string) (string, bool) {
	if len(own) == 0 {
		return "", true
	}
	if !validLabels(own, group) {
		return "", false
	}
	text, ok := rendered[&own[0]]
	if !ok {
		text = string(appendLabels(nil, own, ""))
		rendered[&own[0]] = text
	}
	return text, true
}
