package scrape

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// The bounds of one series.
const (
	maxLabels     = 30
	maxNameBytes  = 128 // of the metric and of a label
	maxValueBytes = 1024
)

const (
	// heavy is how many bytes of name and labels a series may have to count as
	// one. What series take, in memory and on the wire, is that.
	heavy = 512
	// churn is in what time a target may have as many new series as it may have
	// at all. Each new one takes place in the spool, which is for other series
	// too.
	churn = 10 * time.Minute
	// maxDead is how many series that are gone may be kept for their pages,
	// unless there are more that are not.
	maxDead = 1000
)

// weight is as how many series one with a key of so many bytes counts.
func weight(key int) int { return 1 + key/heavy }

// reserved are the metrics that tell of a scrape itself, and those that rules and
// the scaler believe: what these say of containers no container may say.
func reserved(name string) bool {
	switch name {
	case "up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "ALERTS", "ALERTS_FOR_STATE":
		return true
	}
	for _, prefix := range [...]string{"container_", "machine_", "plimsoll_container_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// book keeps the series of a target in pages: groups whose series came in the
// same scrape. So a series that comes or goes changes nothing of the others,
// and groups stay the same as long as the set of series does.
type book struct {
	labels []sample.Label // of each group
	every  uint64
	limit  int
	room   *atomic.Int64 // for series on the whole node
	counts *counts

	scrape uint64
	at     time.Time // of it
	seen   int       // samples in it
	live   int       // series of them
	weight int       // of those
	budget float64   // weight that new series may have
	cells  map[string]*cell
	pages  []*page
	fresh  *page // of this scrape, nil if there is nothing new

	// Of the series at hand.
	own []sample.Label
	key []byte
}

// page is a group with its values at a scrape.
type page struct {
	group  *sample.Group
	keys   []string
	values []float64
	live   int // of them
}

// cell is where a series stands.
type cell struct {
	page   *page
	at     int
	scrape uint64 // the last that had it
}

// begin opens the book for a scrape.
func (k *book) begin(now time.Time) {
	earned := 1.0
	if k.scrape > 0 {
		earned = max(now.Sub(k.at), 0).Seconds() / churn.Seconds()
	}
	k.budget = min(k.budget+earned*float64(k.limit), float64(k.limit))
	k.scrape++
	k.at, k.seen, k.live, k.weight = now, 0, 0, 0
	for _, p := range k.pages {
		p.live, p.values = 0, absent(len(p.group.Series))
	}
}

// absent are values that are not there. They go out with an update, so each
// scrape has its own.
func absent(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = sample.Absent
	}
	return v
}

// put takes a sample, or counts why not. It fails at the sample that is too many
// even to be counted.
func (k *book) put(p point) error {
	if k.seen++; k.seen > manySamples*k.limit {
		return failed(TooLarge, fmt.Errorf("it has more than %d samples", manySamples*k.limit))
	}
	if reason, ok := k.take(p); !ok {
		k.counts[reason].Add(1)
	}
	return nil
}

func (k *book) take(p point) (Reason, bool) {
	if p.dated {
		return Dated, false
	}
	if reason, ok := k.identify(p.labels); !ok {
		return reason, false
	}
	c := k.cells[string(k.key)]
	if c != nil && c.scrape == k.scrape {
		return Duplicate, false
	}
	w := weight(len(k.key))
	if k.weight+w > k.limit {
		return TargetLimit, false
	}
	if c == nil {
		if k.budget < float64(w) {
			return Churn, false
		}
		if k.room.Add(int64(-w)) < 0 {
			k.room.Add(int64(w))
			return NodeLimit, false
		}
		k.budget -= float64(w)
		c = k.write(p)
	}
	c.scrape = k.scrape
	c.page.values[c.at] = p.value
	c.page.live++
	k.live++
	k.weight += w
	return 0, true
}

// identify makes the labels of a series and the key that they come to, unless
// they are out of bounds.
func (k *book) identify(of labels.Labels) (Reason, bool) {
	name := of.Get(model.MetricNameLabel)
	if len(name) > maxNameBytes {
		return Length, false
	}
	if !model.LegacyValidation.IsValidMetricName(name) || reserved(name) {
		return Name, false
	}
	if _, twice := of.HasDuplicateLabelNames(); twice {
		return Duplicate, false
	}
	k.rename(of)
	if len(k.own) > maxLabels {
		return ManyLabels, false
	}
	k.key = append(k.key[:0], name...)
	for _, l := range k.own {
		if len(l.Name) > maxNameBytes || len(l.Value) > maxValueBytes {
			return Length, false
		}
		if !model.LegacyValidation.IsValidLabelName(l.Name) {
			return Name, false
		}
		// No text has that byte.
		k.key = append(append(k.key, model.SeparatorByte), l.Name...)
		k.key = append(append(k.key, model.SeparatorByte), l.Value...)
	}
	return 0, true
}

// rename leaves in own the labels that a series will have. Those that say where
// it is from are the agent's to give, and the target's own of such a name are
// called otherwise, as Prometheus does. Names that start with two underscores
// are not for series.
func (k *book) rename(of labels.Labels) {
	k.own = k.own[:0]
	of.Range(func(l labels.Label) {
		if l.Value == "" || strings.HasPrefix(l.Name, model.ReservedLabelPrefix) {
			return
		}
		name := l.Name
		for k.taken(name) || name != l.Name && of.Has(name) {
			name = model.ExportedLabelPrefix + name
		}
		k.own = append(k.own, sample.Label{Name: name, Value: l.Value})
	})
	slices.SortFunc(k.own, func(a, b sample.Label) int { return strings.Compare(a.Name, b.Name) })
}

// taken tells whether a label is of all series of the target, or the
// collector's. Those that say which container it is are so even where this one
// has none of that name: it could pass for another.
func (k *book) taken(name string) bool {
	switch name {
	case "job", "instance", "node", "agent", "id", "name", "image":
		return true
	}
	if strings.HasPrefix(name, "container_label_") {
		return true
	}
	for _, l := range k.labels {
		if l.Name == name {
			return true
		}
	}
	return false
}

// write gives a new series its cell.
func (k *book) write(p point) *cell {
	if k.fresh == nil {
		k.fresh = &page{group: &sample.Group{Labels: k.labels, Every: k.every}}
	}
	of, metric := k.fresh, k.fresh.metric(p.family, p.labels.Get(model.MetricNameLabel))
	of.group.Series = append(of.group.Series, sample.Series{Metric: metric, Labels: slices.Clone(k.own)})
	of.values = append(of.values, sample.Absent)
	key := string(k.key)
	of.keys = append(of.keys, key)
	c := &cell{page: of, at: len(of.values) - 1}
	if k.cells == nil {
		k.cells = make(map[string]*cell)
	}
	k.cells[key] = c
	return c
}

// metric is the one of the series before where that is of the same name:
// targets write the series of a metric one after the other.
func (p *page) metric(f *family, name string) *sample.Metric {
	if n := len(p.group.Series); n > 0 && p.group.Series[n-1].Metric.Name == name {
		return p.group.Series[n-1].Metric
	}
	return f.metric(strings.Clone(name))
}

// finish closes the book after a scrape that went well, and returns its values
// and the groups that have nothing left.
func (k *book) finish() (columns []sample.Column, ended []*sample.Group, renewed bool) {
	if k.fresh != nil {
		k.pages = append(k.pages, k.fresh)
		k.fresh = nil
	}
	k.pages = slices.DeleteFunc(k.pages, func(p *page) bool {
		if p.live > 0 {
			return false
		}
		ended = append(ended, p.group)
		k.tear(p)
		return true
	})
	if dead := len(k.cells) - k.live; dead > maxDead && dead > k.live {
		ended, renewed = append(ended, k.renew()...), true
	}
	return k.columns(), ended, renewed
}

// abandon closes the book after a scrape that failed: what it had is unknown,
// what was new in it was not.
func (k *book) abandon() []sample.Column {
	if k.fresh != nil {
		k.budget += float64(k.tear(k.fresh))
		k.fresh = nil
	}
	for _, p := range k.pages {
		p.values = absent(len(p.group.Series))
	}
	return k.columns()
}

func (k *book) columns() []sample.Column {
	columns := make([]sample.Column, 0, len(k.pages))
	for _, p := range k.pages {
		columns = append(columns, sample.Column{Group: p.group, Values: p.values})
	}
	return columns
}

// tear forgets a page and returns what it weighed.
func (k *book) tear(p *page) (w int) {
	for _, key := range p.keys {
		delete(k.cells, key)
		w += weight(len(key))
	}
	k.room.Add(int64(w))
	return w
}

// renew copies what is live onto one new page and returns the groups of all
// that were.
func (k *book) renew() (ended []*sample.Group) {
	to := &page{group: &sample.Group{Labels: k.labels, Every: k.every}, live: k.live}
	for _, from := range k.pages {
		ended = append(ended, from.group)
		for i, key := range from.keys {
			c := k.cells[key]
			if c.scrape < k.scrape {
				delete(k.cells, key)
				k.room.Add(int64(weight(len(key))))
				continue
			}
			to.group.Series = append(to.group.Series, from.group.Series[i])
			to.keys = append(to.keys, key)
			to.values = append(to.values, from.values[i])
			c.page, c.at = to, len(to.values)-1
		}
	}
	k.pages = []*page{to}
	return ended
}

// close gives back the room that the book takes.
func (k *book) close() {
	for _, p := range k.pages {
		k.tear(p)
	}
	k.pages = nil
}
