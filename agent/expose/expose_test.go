package expose

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

var (
	cpu     = &sample.Metric{Name: "container_cpu_usage_seconds_total", Help: "CPU time used.", Type: sample.Counter, Unit: "seconds", Divisor: 1e6}
	memory  = &sample.Metric{Name: "container_memory_usage_bytes", Help: "Memory charged to the container, page cache included.", Type: sample.Gauge, Unit: "bytes"}
	failcnt = &sample.Metric{Name: "container_memory_failcnt", Help: "Times that memory usage was held at its limit.", Type: sample.Counter}
	load1   = &sample.Metric{Name: "node_load1", Type: sample.Gauge}
	info    = &sample.Metric{Name: "plimsoll_agent_build_info", Help: `The "version" of C:\plimsoll` + "\nis a label.", Type: sample.Untyped}
)

// one is a group of one container.
func one(name string) *sample.Group {
	return &sample.Group{
		Labels: []sample.Label{{Name: "id", Value: "/docker/" + name}, {Name: "job", Value: "cadvisor"}, {Name: "name", Value: name}},
		Series: []sample.Series{
			{Metric: cpu, Labels: []sample.Label{{Name: "cpu", Value: "total"}}},
			{Metric: memory},
			{Metric: failcnt},
		},
		Every: 1,
	}
}

func ofJob(job string, series ...sample.Series) *sample.Group {
	return &sample.Group{Labels: []sample.Label{{Name: "job", Value: job}}, Series: series, Every: 5}
}

// batch is a tick that read some groups.
type batch struct{ sample.Batch }

func (b *batch) with(g *sample.Group, values ...float64) *batch {
	copy(b.Add(g), values)
	return b
}

func (b *batch) ending(g *sample.Group) *batch {
	b.End(g)
	return b
}

// get scrapes e; headers come in pairs.
func get(e *Exposition, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

// shown is the series that a scrape shows, without their values.
func shown(e *Exposition, target string) []string {
	var names []string
	for line := range strings.Lines(get(e, target).Body.String()) {
		if !strings.HasPrefix(line, "#") {
			names = append(names, line[:strings.LastIndexByte(line, ' ')])
		}
	}
	return names
}

func fleet() *Exposition {
	e := New(Options{})
	var b batch
	b.with(one("web"), 12.5, 1<<20, 3).with(one("db"), 7, 2<<20, 0)
	b.with(ofJob("node-exporter", sample.Series{Metric: load1}), 0.25)
	b.with(ofJob("plimsoll-agent", sample.Series{Metric: info, Labels: []sample.Label{{Name: "version", Value: `a"b\c` + "\n"}}}), 1)
	e.Observe(&b.Batch)
	return e
}

func TestSeriesOfAFamilyStandTogether(t *testing.T) {
	const want = `# HELP container_cpu_usage_seconds_total CPU time used.
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{cpu="total",id="/docker/web",job="cadvisor",name="web"} 12.5
container_cpu_usage_seconds_total{cpu="total",id="/docker/db",job="cadvisor",name="db"} 7
# HELP container_memory_failcnt Times that memory usage was held at its limit.
# TYPE container_memory_failcnt counter
container_memory_failcnt{id="/docker/web",job="cadvisor",name="web"} 3
container_memory_failcnt{id="/docker/db",job="cadvisor",name="db"} 0
# HELP container_memory_usage_bytes Memory charged to the container, page cache included.
# TYPE container_memory_usage_bytes gauge
container_memory_usage_bytes{id="/docker/web",job="cadvisor",name="web"} 1048576
container_memory_usage_bytes{id="/docker/db",job="cadvisor",name="db"} 2097152
# TYPE node_load1 gauge
node_load1{job="node-exporter"} 0.25
# HELP plimsoll_agent_build_info The "version" of C:\\plimsoll\nis a label.
# TYPE plimsoll_agent_build_info untyped
plimsoll_agent_build_info{version="a\"b\\c\n",job="plimsoll-agent"} 1
`
	got := get(fleet(), "/metrics")
	if diff := cmp.Diff(want, got.Body.String()); diff != "" {
		t.Error(diff)
	}
	if ct := got.Header().Get("Content-Type"); ct != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("content type %q", ct)
	}
}

func TestOpenMetricsNamesCountersWithoutTotal(t *testing.T) {
	const want = `# HELP container_cpu_usage_seconds CPU time used.
# TYPE container_cpu_usage_seconds counter
# UNIT container_cpu_usage_seconds seconds
container_cpu_usage_seconds_total{cpu="total",id="/docker/web",job="cadvisor",name="web"} 12.5
container_cpu_usage_seconds_total{cpu="total",id="/docker/db",job="cadvisor",name="db"} 7
# HELP container_memory_failcnt Times that memory usage was held at its limit.
# TYPE container_memory_failcnt unknown
container_memory_failcnt{id="/docker/web",job="cadvisor",name="web"} 3
container_memory_failcnt{id="/docker/db",job="cadvisor",name="db"} 0
# HELP container_memory_usage_bytes Memory charged to the container, page cache included.
# TYPE container_memory_usage_bytes gauge
# UNIT container_memory_usage_bytes bytes
container_memory_usage_bytes{id="/docker/web",job="cadvisor",name="web"} 1048576
container_memory_usage_bytes{id="/docker/db",job="cadvisor",name="db"} 2097152
# TYPE node_load1 gauge
node_load1{job="node-exporter"} 0.25
# HELP plimsoll_agent_build_info The \"version\" of C:\\plimsoll\nis a label.
# TYPE plimsoll_agent_build_info unknown
plimsoll_agent_build_info{version="a\"b\\c\n",job="plimsoll-agent"} 1
# EOF
`
	got := get(fleet(), "/metrics", "Accept", "application/openmetrics-text;version=1.0.0")
	if diff := cmp.Diff(want, got.Body.String()); diff != "" {
		t.Error(diff)
	}
	if ct := got.Header().Get("Content-Type"); ct != "application/openmetrics-text; version=1.0.0; charset=utf-8" {
		t.Errorf("content type %q", ct)
	}
}

func TestACounterWhoseFamilyWouldBeCalledLikeAnotherIsOfNoKnownType(t *testing.T) {
	e := New(Options{})
	var b batch
	b.with(ofJob("j",
		sample.Series{Metric: &sample.Metric{Name: "x_total", Type: sample.Counter}},
		sample.Series{Metric: &sample.Metric{Name: "x", Type: sample.Gauge}},
	), 1, 2)
	e.Observe(&b.Batch)
	const want = "# TYPE x gauge\nx{job=\"j\"} 2\n# TYPE x_total unknown\nx_total{job=\"j\"} 1\n# EOF\n"
	got := get(e, "/metrics", "Accept", "application/openmetrics-text").Body.String()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSeriesThatDisagreeOnTheirTypeHaveNone(t *testing.T) {
	e := New(Options{})
	var b batch
	b.with(ofJob("a", sample.Series{Metric: &sample.Metric{Name: "x", Type: sample.Counter}}), 1)
	b.with(ofJob("b", sample.Series{Metric: &sample.Metric{Name: "x", Type: sample.Gauge}}), 2)
	e.Observe(&b.Batch)
	const want = "# TYPE x untyped\nx{job=\"a\"} 1\nx{job=\"b\"} 2\n"
	if diff := cmp.Diff(want, get(e, "/metrics").Body.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAJobIsServedAsIfByItsExporter(t *testing.T) {
	e := fleet()
	if diff := cmp.Diff([]string{"node_load1"}, shown(e, "/metrics?job=node-exporter")); diff != "" {
		t.Error(diff)
	}
	two := shown(e, "/metrics?job=node-exporter&job=cadvisor")
	if len(two) != 7 || two[0] != `container_cpu_usage_seconds_total{cpu="total",id="/docker/web",name="web"}` {
		t.Errorf("two jobs: %q", two)
	}
	if none := get(e, "/metrics?job=dcgm-exporter", "Accept", "application/openmetrics-text").Body.String(); none != "# EOF\n" {
		t.Errorf("a job without series: %q", none)
	}
}

func TestTheJobCanBeLeftToTheServer(t *testing.T) {
	e := New(Options{DropJob: true})
	var b batch
	b.with(ofJob("node-exporter", sample.Series{Metric: load1}), 1)
	e.Observe(&b.Batch)
	if diff := cmp.Diff([]string{"node_load1"}, shown(e, "/metrics")); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsAbsentIsNotShown(t *testing.T) {
	e, web := New(Options{}), one("web")
	var b batch
	b.with(web, 1, 2, 3)
	e.Observe(&b.Batch)
	b.Reset(1, time.Now())
	b.with(web, 1, sample.Absent, sample.Absent)
	e.Observe(&b.Batch)
	want := []string{`container_cpu_usage_seconds_total{cpu="total",id="/docker/web",job="cadvisor",name="web"}`}
	if diff := cmp.Diff(want, shown(e, "/metrics")); diff != "" {
		t.Errorf("values of an earlier tick are shown:\n%s", diff)
	}
}

func TestWhatHasEndedIsNotShown(t *testing.T) {
	e, web, db := New(Options{}), one("web"), one("db")
	var b batch
	b.with(web, 1, 2, 3).with(db, 4, 5, 6)
	e.Observe(&b.Batch)
	if n := len(shown(e, "/metrics")); n != 6 {
		t.Fatalf("%d series", n)
	}
	b.Reset(1, time.Now())
	b.with(db, 4, 5, 6).ending(web)
	e.Observe(&b.Batch)
	for _, s := range shown(e, "/metrics") {
		if !strings.Contains(s, `name="db"`) {
			t.Errorf("shown: %s", s)
		}
	}
	if len(e.groups) != 1 || len(e.known) != 1 {
		t.Errorf("%d groups of an ended container are kept", len(e.groups)-1)
	}
}

func TestEachLaneGoesStaleAfterThreeOfItsPeriods(t *testing.T) {
	tests := map[string]struct {
		every uint64
		age   time.Duration
	}{
		"each second":        {1, 3 * time.Second},
		"each fifth second":  {5, 15 * time.Second},
		"nobody knows when":  {0, time.Minute},
		"each minute":        {60, 3 * time.Minute},
		"each quarter of it": {15, 45 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, ticking := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					e := New(Options{MaxAge: time.Minute})
					g := &sample.Group{Series: []sample.Series{{Metric: load1}}, Every: tt.every}
					var b batch
					e.Observe(&b.with(g, 1).Batch)
					pass := func(d time.Duration) {
						for ; ticking && d > time.Second; d -= time.Second {
							<-time.After(time.Second)
							e.Observe(&sample.Batch{})
						}
						<-time.After(d)
					}
					pass(tt.age - time.Millisecond)
					if n := len(shown(e, "/metrics")); n != 1 {
						t.Errorf("ticking %t: not shown before %s", ticking, tt.age)
					}
					pass(time.Millisecond)
					if n := len(shown(e, "/metrics")); n != 0 {
						t.Errorf("ticking %t: still shown after %s", ticking, tt.age)
					}
					e.Observe(&b.Batch)
					if n := len(shown(e, "/metrics")); n != 1 {
						t.Errorf("ticking %t: not shown when renewed", ticking)
					}
				})
			}
		})
	}
}

func TestWhatGoesStaleIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{})
		var b batch
		e.Observe(&b.with(one("web"), 1, 2, 3).Batch)
		<-time.After(3 * time.Second)
		e.Observe(&sample.Batch{})
		if len(e.groups) != 0 || len(e.known) != 0 {
			t.Errorf("%d groups, %d known", len(e.groups), len(e.known))
		}
	})
}

func TestANameThatNoTextCanCarryCostsOnlyItsSeries(t *testing.T) {
	series := func(name string, labels ...string) sample.Series {
		s := sample.Series{Metric: &sample.Metric{Name: name, Type: sample.Gauge}}
		for _, l := range labels {
			s.Labels = append(s.Labels, sample.Label{Name: l, Value: "v"})
		}
		return s
	}
	e := New(Options{})
	var b batch
	b.with(ofJob("j",
		series("good", "a", "b"), series("http.requests"), series(""), series("1st"), series("a b"), series("ünits"),
		series("good", "a", "a"), series("good", "job"), series("good", "a-b"), series("good", "__name__"), series("good", "")),
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
	b.with(&sample.Group{Labels: []sample.Label{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}}, Series: []sample.Series{series("good")}}, 12)
	b.with(&sample.Group{Series: []sample.Series{series("last", "a")}}, 13)
	e.Observe(&b.Batch)
	if diff := cmp.Diff([]string{`good{a="v",b="v",job="j"}`, `last{a="v"}`}, shown(e, "/metrics")); diff != "" {
		t.Error(diff)
	}
	if n := e.Stats().Unfit; n != 11 {
		t.Errorf("%d series counted as unfit, want 11", n)
	}
}

func TestABatchIsTheAgentsAgainOnceObserved(t *testing.T) {
	e, g := New(Options{}), &sample.Group{Series: []sample.Series{{Metric: load1}}}
	var b batch
	e.Observe(&b.with(g, 1).Batch)
	b.Reset(1, time.Now())
	b.with(g, 2)
	if got := get(e, "/metrics").Body.String(); got != "# TYPE node_load1 gauge\nnode_load1 1\n" {
		t.Errorf("shown before it was observed:\n%s", got)
	}
}

func TestObservingAllocatesNothingInSteadyState(t *testing.T) {
	e := New(Options{})
	var b batch
	for range 200 {
		b.with(one("c"), 1, 2, 3)
	}
	e.Observe(&b.Batch)
	get(e, "/metrics")
	if n := testing.AllocsPerRun(100, func() { e.Observe(&b.Batch) }); n != 0 {
		t.Errorf("%v allocations per tick", n)
	}
}

// TestScrapesSeeWholeTicks has every series carry the number of its tick.
func TestScrapesSeeWholeTicks(t *testing.T) {
	e := New(Options{MaxScrapes: 4})
	stay, groups := one("stay"), make([]*sample.Group, 50)
	var b batch
	e.Observe(&b.with(stay, 0, 0, 0).Batch)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ticks := map[string]bool{}
				for line := range strings.Lines(get(e, "/metrics").Body.String()) {
					if !strings.HasPrefix(line, "#") {
						ticks[line[strings.LastIndexByte(line, ' '):]] = true
					}
				}
				if len(ticks) != 1 {
					t.Errorf("one scrape shows ticks %v", ticks)
					return
				}
			}
		})
	}
	for tick := range 500 {
		b.Reset(uint64(tick), time.Now())
		v := float64(tick)
		b.with(stay, v, v, v)
		at := tick % len(groups)
		if groups[at] != nil {
			b.ending(groups[at])
		}
		groups[at] = one("c")
		for _, g := range groups {
			if g != nil {
				b.with(g, v, v, v)
			}
		}
		e.Observe(&b.Batch)
	}
	close(stop)
	wg.Wait()
}
