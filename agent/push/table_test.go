package push

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

var (
	held    = Metric{Name: "hits_total", Kind: Counter, Held: true}
	passed  = Metric{Name: "temperature", Kind: Gauge}
	level   = Metric{Name: "level", Kind: Gauge, Held: true}
	people  = Metric{Name: "people", Kind: Set, Held: true}
	latency = Metric{Name: "latency_seconds", Kind: Histogram, Bounds: []float64{0.1, 1}, Held: true}
)

func TestACounterBeginsAtZeroOneTickBeforeItsFirstValue(t *testing.T) {
	b := newBench(t, Options{})
	b.do("a", held, adding(3), "code", "200")
	b.do("a", held, adding(2), "code", "200")
	want := []string{`0: hits_total{code="200",job="a"} 0`, `1: hits_total{code="200",job="a"} 5`}
	if diff := cmp.Diff(want, b.ticks(10)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsPassedOnBeginsWithItsValue(t *testing.T) {
	b := newBench(t, Options{})
	b.do("a", Metric{Name: "x_total", Kind: Counter}, setting(7))
	if got := b.next(); got != `x_total{job="a"} 7` {
		t.Error(got)
	}
}

func TestAPointIsWrittenOncePerTickAndAgainAtItsTurn(t *testing.T) {
	b := newBench(t, Options{Every: 5})
	b.do("a", level, setting(1))
	b.do("a", level, setting(2))
	got := b.ticks(3)
	b.do("a", level, setting(3))
	got = append(got, b.ticks(10)...)
	want := []string{
		`0: level{job="a"} 2`, `3: level{job="a"} 3`, `5: level{job="a"} 3`, `10: level{job="a"} 3`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAHistogramCountsEachValueInItsBuckets(t *testing.T) {
	b := newBench(t, Options{})
	for _, v := range []float64{0.05, 0.1, 0.5, 7} {
		b.do("a", latency, func(p *Point) Reason { return p.Observe(v, 2) })
	}
	b.next()
	const want = `latency_seconds_bucket{job="a",le="+Inf"} 8
latency_seconds_bucket{job="a",le="0.1"} 4
latency_seconds_bucket{job="a",le="1"} 6
latency_seconds_count{job="a"} 8
latency_seconds_sum{job="a"} 15.3`
	if diff := cmp.Diff(want, b.next()); diff != "" {
		t.Error(diff)
	}
}

func TestASetCountsWhatWasSeenBetweenTwoTurns(t *testing.T) {
	b := newBench(t, Options{Every: 2})
	see := func(hashes ...uint64) {
		for _, h := range hashes {
			b.do("a", people, seeing(h))
		}
	}
	see(1, 2) // before its first turn: for how long nobody knows
	b.ticks(1)
	see(1, 2, 2, 3)
	got := b.ticks(2)
	see(9)
	got = append(got, b.ticks(4)...)
	want := []string{`2: people{job="a"} 3`, `4: people{job="a"} 1`, `6: people{job="a"} 0`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// silent lets seconds go by without a word, one tick each.
func (b *bench) silent(d time.Duration) []string {
	var all []string
	for range int(d / time.Second) {
		<-time.After(time.Second) // of the bubble
		all = append(all, b.ticks(1)...)
	}
	return all
}

func TestWhatIsHeldIsRepeatedUntilItHasBeenSilentForFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		b.do("a", level, setting(4))
		b.do("a", held, adding(1))
		got := strings.Join(b.silent(6*time.Minute), "\n")
		if n := strings.Count(got, `level{job="a"} 4`); n != 20 {
			t.Errorf("written %d times in 5 minutes, want 20:\n%s", n, got)
		}
		for _, name := range []string{"level", "hits_total"} {
			if n := strings.Count(got, "end "+name); n != 1 {
				t.Errorf("%s ended %d times, want once", name, n)
			}
		}
		if b.table.series != 0 || b.table.bytes != 0 || len(b.table.senders) != 0 {
			t.Errorf("%d series and %d bytes of %d senders are left", b.table.series, b.table.bytes, len(b.table.senders))
		}
	})
}

func TestAGaugeThatIsMovedStaysAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		b.do("a", level, adding(-3))
		if got := strings.Join(b.silent(59*time.Minute), "\n"); strings.Contains(got, "end") {
			t.Error("ended within the hour")
		}
		if got := strings.Join(b.silent(2*time.Minute), "\n"); !strings.Contains(got, "end level") {
			t.Error("did not end after an hour")
		}
	})
}

func TestWhatIsPassedOnIsNotRepeatedOnceItsSenderIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Every: 5})
		for range 30 { // it comes to be known that this one sends every 10 s
			b.do("a", passed, setting(20))
			b.silent(10 * time.Second)
		}
		got := b.silent(2 * time.Minute)
		if len(got) < 1 || len(got) > 3 {
			t.Errorf("repeated %d times, want those of 10 to 15 s after it was due: %q", len(got), got)
		}
		if got := b.silent(3 * time.Minute); len(got) != 1 || !strings.Contains(got[0], "end temperature") {
			t.Errorf("after five minutes %q, want its end", got)
		}
	})
}

func TestAPointWithoutAValueEndsAtTheNextTick(t *testing.T) {
	b := newBench(t, Options{})
	b.do("a", passed, setting(1))
	b.next()
	end := func(p *Point) Reason { p.End(); return 0 }
	b.do("a", passed, end)
	if got := b.next(); got != `end temperature{job="a"}` {
		t.Error(got)
	}
	b.do("a", passed, end)
	b.do("a", passed, setting(2)) // it is back before anybody noticed
	if got := b.next(); got != `temperature{job="a"} 2` {
		t.Error(got)
	}
	b.do("a", passed, end)
	b.next()
	b.do("a", passed, end) // it is not there
	if got := b.next(); got != "" {
		t.Error(got)
	}
	if b.table.series != 0 {
		t.Errorf("%d series are left", b.table.series)
	}
}

func TestBoundsRefuseByTheirReason(t *testing.T) {
	long := strings.Repeat("x", 300)
	many := []string{}
	for i := range 31 {
		many = append(many, fmt.Sprintf("l%d", i), "v")
	}
	tests := map[string]struct {
		metric Metric
		labels []string
		want   Reason
	}{
		"a name that Prometheus reserves":    {Metric{Name: "__x", Kind: Gauge}, nil, Reserved},
		"a name of the agent's own":          {Metric{Name: "container_cpu_usage_seconds_total", Kind: Counter}, nil, Reserved},
		"a label that Prometheus reserves":   {level, []string{"__name__", "x"}, Reserved},
		"a long name":                        {Metric{Name: long, Kind: Gauge}, nil, TooLong},
		"a long label":                       {level, []string{long, "x"}, TooLong},
		"a long value":                       {level, []string{"x", strings.Repeat(long, 4)}, TooLong},
		"many labels":                        {level, many, TooManyLabels},
		"no text":                            {level, []string{"x", "a\xff"}, BadUTF8},
		"a negative count":                   {held, nil, BadValue},
		"a bucket would be called like this": {Metric{Name: "latency_seconds_count", Kind: Gauge}, nil, Conflict},
		"the name is another kind's":         {Metric{Name: "latency_seconds", Kind: Gauge}, nil, Conflict},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{})
			b.do("a", latency, func(p *Point) Reason { return p.Observe(1, 1) })
			if got := b.do("a", tt.metric, adding(-1), tt.labels...); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestEachLimitHoldsAndLeavesWhatThereIs(t *testing.T) {
	flood := func(b *bench, job string) (taken int, last Reason) {
		for i := range 1000 {
			if why := b.do(job, level, setting(1), "i", fmt.Sprint(i)); why != 0 {
				return i, why
			}
		}
		return 1000, 0
	}
	b := newBench(t, Options{SenderSeries: 70, Series: 100})
	if n, why := flood(b, "a"); n != 70 || why != SenderSeries {
		t.Errorf("%d series, then %q", n, why)
	}
	if n, why := flood(b, "b"); n != 30 || why != NodeSeries {
		t.Errorf("of another sender %d series, then %q", n, why)
	}
	if why := b.do("a", level, setting(2), "i", "0"); why != 0 {
		t.Errorf("what is there: %q", why)
	}
	b = newBench(t, Options{Bytes: 20_000})
	if n, why := flood(b, "a"); n < 10 || n > 50 || why != Memory {
		t.Errorf("%d series in 20 kB, then %q", n, why)
	}
	b = newBench(t, Options{})
	refused := 0
	for i := range uint64(10_000) {
		if b.do("a", people, seeing(i)) != 0 {
			refused++
		}
	}
	if refused != 10_000-maxSeen {
		t.Errorf("%d things refused, want all but %d", refused, maxSeen)
	}
}

func TestNobodyCanSayThatHeIsSomebodyElse(t *testing.T) {
	b := newBench(t, Options{})
	b.do("a", level, setting(1), "job", "x", "instance", "x", "node", "x", "name", "x", "id", "x", "container_label_a", "x", "le", "5",
		"container", "x", "pod", "x", "namespace", "x", "container_id", "x")
	const want = `level{exported_container="x",exported_container_id="x",exported_container_label_a="x",exported_id="x",exported_instance="x",exported_job="x",exported_le="5",exported_name="x",exported_namespace="x",exported_node="x",exported_pod="x",job="a"} 1`
	if diff := cmp.Diff(want, b.next()); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"cadvisor", "statsd", "plimsoll-collector"} {
		if got := Job(name); got != "exported_"+name {
			t.Errorf("job %q", got)
		}
	}
}

func TestKeysThatComeToOneNameShareIt(t *testing.T) {
	b := newBench(t, Options{})
	var l Labels
	l.Add("a_b", "a_b", "2")
	l.Add("a_b", "a.b", "1")
	b.feed.Begin()
	p, _ := b.feed.From(Origin{Job: "a"}).Point(&level, &l)
	p.Set(1)
	b.feed.End()
	if got := b.next(); got != `level{a_b="1;2",job="a"} 1` {
		t.Error(got)
	}
}

func TestAContainersSeriesWaitForItsNameFollowItAndEndWithIt(t *testing.T) {
	b := newBench(t, Options{})
	name, standing := "", Unnamed
	b.identify = func(o Origin, _ Standing, _ time.Duration) ([]sample.Label, Standing) {
		return []sample.Label{{Name: "job", Value: o.Job}, {Name: "name", Value: name}}, standing
	}
	b.do("a", held, adding(1))
	if got := b.ticks(20); got != nil {
		t.Errorf("without a name: %q", got)
	}
	name, standing = "web", Member
	got := b.ticks(2)
	name, b.version = "web-2", 1
	got = append(got, b.ticks(1)...)
	b.do("a", held, adding(1))
	standing, b.version = Gone, 2
	got = append(got, b.ticks(2)...)
	want := []string{
		`20: hits_total{job="a",name="web"} 0`,
		`21: hits_total{job="a",name="web"} 1`,
		"22: end hits_total{job=\"a\",name=\"web\"}\nhits_total{job=\"a\",name=\"web-2\"} 1",
		"23: end hits_total{job=\"a\",name=\"web-2\"}\nhits_total{job=\"a\",name=\"web-2\"} 2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAHistogramThatChangesItsBucketsEndsBeforeItBeginsAgain(t *testing.T) {
	b := newBench(t, Options{})
	old := Metric{Name: "h", Kind: Histogram, Bounds: []float64{1}}
	other := Metric{Name: "h", Kind: Histogram, Bounds: []float64{2}}
	all := func(p *Point) Reason { return p.SetAll([]float64{1, 2, 3, 2}) }
	b.do("a", old, all)
	b.next()
	if why := b.do("a", other, all); why != Conflict {
		t.Errorf("%q", why)
	}
	if got := b.next(); got != `end h_count{job="a"}` {
		t.Error(got)
	}
	if why := b.do("a", other, all); why != 0 {
		t.Errorf("%q", why)
	}
	if got := b.next(); !strings.Contains(got, `h_bucket{job="a",le="2"} 1`) {
		t.Error(got)
	}
}

func TestNoValueStandsForAnother(t *testing.T) {
	b := newBench(t, Options{})
	for _, bits := range []uint64{math.Float64bits(sample.Absent), 0x7ff0000000000002} { // and the staleness marker
		b.do("a", level, setting(math.Float64frombits(bits)))
		if got := b.next(); got != `level{job="a"} NaN` {
			t.Errorf("%x is written as %q", bits, got)
		}
	}
	b.do("a", held, adding(math.MaxFloat64))
	if why := b.do("a", held, adding(math.MaxFloat64)); why != BadValue {
		t.Errorf("a count beyond all numbers: %q", why)
	}
}

func TestTheTableCountsWhatItTakesAndDrops(t *testing.T) {
	b := newBench(t, Options{})
	b.feed.Take(3)
	b.feed.Drop(Malformed, 2)
	b.do("a", level, setting(1))
	b.next()
	found := map[string]float64{}
	for _, c := range b.batch.Columns {
		for i, v := range c.Values {
			found[series(c.Group, i)] = v
		}
	}
	for name, want := range map[string]float64{
		`plimsoll_agent_push_samples_total{job="plimsoll-agent",listener="test"}`:                    3,
		`plimsoll_agent_push_dropped_total{job="plimsoll-agent",listener="test",reason="malformed"}`: 2,
		`plimsoll_agent_push_dropped_total{job="plimsoll-agent",listener="test",reason="future"}`:    0,
		`plimsoll_agent_push_series{job="plimsoll-agent"}`:                                           1,
		`plimsoll_agent_push_senders{job="plimsoll-agent"}`:                                          1,
	} {
		if got, ok := found[name]; !ok || got != want {
			t.Errorf("%s is %v", name, got)
		}
	}
}

func TestASteadyTickAllocatesNothing(t *testing.T) {
	b := newBench(t, Options{})
	for i := range 300 {
		b.do("a", level, setting(1), "i", fmt.Sprint(i))
	}
	b.ticks(16)
	var points []*Point
	for _, p := range b.table.senders[Origin{Job: "a"}].points {
		points = append(points, p)
	}
	if n := testing.AllocsPerRun(100, func() {
		b.feed.Begin()
		for _, p := range points[:100] {
			p.Set(2)
		}
		b.feed.End()
		b.batch.Reset(b.tick, time.Time{})
		b.tick++
		b.table.Collect(&b.batch, 0, b.identify)
	}); n != 0 {
		t.Errorf("%v allocations a tick", n)
	}
}

// A tick at which nothing, or everything, of a full table has changed.
func BenchmarkTick(b *testing.B) {
	for name, changing := range map[string]bool{"quiet": false, "all changed": true} {
		b.Run(name, func(b *testing.B) {
			n := newBench(nil, Options{SenderSeries: 10_000})
			for i := range 10_000 {
				n.do("a", level, setting(1), "i", fmt.Sprint(i))
			}
			n.ticks(16)
			b.ReportAllocs()
			for b.Loop() {
				if changing {
					n.feed.Begin()
					for _, p := range n.table.senders[Origin{Job: "a"}].points {
						p.Set(2)
					}
					n.feed.End()
				}
				n.batch.Reset(n.tick, time.Time{})
				n.tick++
				n.table.Collect(&n.batch, 0, n.identify)
			}
		})
	}
}
