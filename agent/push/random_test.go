package push

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Whatever senders do, a group ends once and is not seen after, no series stands
// in a batch twice, and when all have gone nothing is left.
func TestGroupsLiveOnceWhateverSendersDo(t *testing.T) {
	kinds := []Metric{
		{Name: "x", Kind: Gauge},
		{Name: "x", Kind: Gauge, Held: true},
		{Name: "x_count", Kind: Counter, Held: true},
		{Name: "x", Kind: Histogram, Bounds: []float64{1}, Held: true},
		{Name: "x", Kind: Histogram, Bounds: []float64{1, 2}, Held: true},
		{Name: "y", Kind: Set, Held: true},
		{Name: "y_total", Kind: Counter},
	}
	rapid.Check(t, func(r *rapid.T) {
		b := newBench(t, Options{Every: 3, Series: 20, Bytes: 12_000})
		ended, gone := map[*sample.Group]bool{}, map[string]bool{}
		b.identify = func(o Origin, _ Standing, _ time.Duration) ([]sample.Label, Standing) {
			if gone[o.Job] {
				return nil, Gone
			}
			return []sample.Label{{Name: "job", Value: o.Job}, {Name: "v", Value: fmt.Sprint(b.version / 2)}}, Member
		}
		tick := func() {
			b.next()
			seen := map[string]bool{}
			for _, c := range b.batch.Columns {
				if ended[c.Group] {
					r.Fatal("a group is written that has ended")
				}
				for i := range c.Group.Series {
					name := series(c.Group, i)
					if seen[name] {
						r.Fatalf("%s twice in a batch", name)
					}
					seen[name] = true
				}
			}
			for _, g := range b.batch.Ended {
				if ended[g] {
					r.Fatal("a group ends twice")
				}
				ended[g] = true
			}
		}
		act := func() {
			m := rapid.SampledFrom(kinds).Draw(r, "metric")
			job := rapid.SampledFrom([]string{"a", "b"}).Draw(r, "job")
			tag := rapid.SampledFrom([]string{"", "1", "2"}).Draw(r, "tag")
			end := rapid.IntRange(0, 9).Draw(r, "end") == 0
			b.feed.Begin()
			defer b.feed.End()
			s := b.feed.From(Origin{Job: job})
			alias := []byte(m.Name + fmt.Sprint(m.Kind, len(m.Bounds)) + tag)
			p := s.Known(alias)
			if p == nil {
				var l Labels
				l.Add("tag", "tag", tag)
				var why Reason
				if p, why = s.Point(&m, &l); why != 0 {
					return
				}
				s.Remember(alias, p)
			}
			switch {
			case end:
				p.End()
			case m.Kind == Histogram:
				p.Observe(1, 1)
			case m.Kind == Set:
				p.See(uint64(len(tag)))
			case m.Held:
				p.Add(1)
			default:
				p.Set(1)
			}
		}
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			switch rapid.IntRange(0, 9).Draw(r, "step") {
			case 0:
				b.version++
			case 1:
				gone["a"] = !gone["a"]
				b.version++
			case 2, 3, 4:
				tick()
			default:
				act()
			}
		}
		b.table.limits.Idle = -1
		for range 4 {
			tick()
		}
		if b.table.series != 0 || b.table.bytes != 0 || len(b.table.senders) != 0 {
			r.Fatalf("%d series and %d bytes of %d senders are left", b.table.series, b.table.bytes, len(b.table.senders))
		}
		for _, turn := range b.table.turns {
			if len(turn) != 0 {
				r.Fatal("a point that has gone still has its turn")
			}
		}
	})
}
