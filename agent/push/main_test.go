package push

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a table with a feed, and ticks.
type bench struct {
	t     *testing.T
	table *Table
	feed  *Feed
	batch sample.Batch
	tick  uint64

	version  uint64
	identify Identify
}

func newBench(t *testing.T, opts Options) *bench {
	b := &bench{t: t, table: NewTable(opts), identify: stranger}
	b.feed = b.table.Feed("test", 1e6, 1e6)
	return b
}

func stranger(o Origin, _ Standing, _ time.Duration) ([]sample.Label, Standing) {
	return []sample.Label{{Name: "job", Value: o.Job}}, Stranger
}

// do does something to a point, whose labels come in pairs.
func (b *bench) do(job string, m Metric, do func(*Point) Reason, labels ...string) Reason {
	var l Labels
	for i := 0; i < len(labels); i += 2 {
		l.Add(labels[i], labels[i], labels[i+1])
	}
	b.feed.Begin()
	defer b.feed.End()
	p, why := b.feed.From(Origin{Job: job}).Point(&m, &l)
	if why != 0 {
		return why
	}
	return do(p)
}

func adding(v float64) func(*Point) Reason  { return func(p *Point) Reason { return p.Add(v) } }
func setting(v float64) func(*Point) Reason { return func(p *Point) Reason { return p.Set(v) } }
func seeing(h uint64) func(*Point) Reason   { return func(p *Point) Reason { return p.See(h) } }

// next is what the next tick writes: samples and, as "end", ended groups. What the
// table says of itself is left out.
func (b *bench) next() string {
	b.batch.Reset(b.tick, time.UnixMilli(int64(b.tick)*1000))
	b.tick++
	b.table.Collect(&b.batch, b.version, b.identify)
	var lines []string
	groups := map[*sample.Group]int{}
	for _, c := range b.batch.Columns {
		if groups[c.Group]++; groups[c.Group] > 1 {
			b.t.Errorf("a group twice in a batch: %v", c.Group.Labels)
		}
		if c.Group == b.table.own || slices.Contains(b.table.health, c.Group) {
			continue
		}
		for i, v := range c.Values {
			if !sample.IsAbsent(v) {
				lines = append(lines, series(c.Group, i)+" "+strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
	}
	for _, g := range b.batch.Ended {
		lines = append(lines, "end "+series(g, len(g.Series)-1))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// ticks is the next n ticks, those without anything left out.
func (b *bench) ticks(n int) []string {
	var all []string
	for range n {
		if got := b.next(); got != "" {
			all = append(all, strconv.FormatUint(b.tick-1, 10)+": "+got)
		}
	}
	return all
}

func series(g *sample.Group, i int) string {
	s := g.Series[i]
	var labels []string
	for _, l := range slices.Concat(g.Labels, s.Labels) {
		labels = append(labels, l.Name+"="+strconv.Quote(l.Value))
	}
	slices.Sort(labels)
	return s.Metric.Name + "{" + strings.Join(labels, ",") + "}"
}
