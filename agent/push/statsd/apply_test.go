package statsd

import (
	"fmt"
	"hash/maphash"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

func newIntake() (*push.Table, *intake) {
	table := push.NewTable(push.Options{})
	return table, &intake{
		feed: table.Feed("test", 1e9, 1e9), seed: maphash.MakeSeed(), timers: []float64{.1, 1}, values: []float64{10, 100},
	}
}

func TestLinesBecomeSamples(t *testing.T) {
	tests := map[string]struct{ datagram, want string }{
		"counters add up":                        {"hits:1|c\nhits:2|c\n", "hits_total{} 3"},
		"a sampled count stands for more":        {"hits:3|c|@0.1", "hits_total{} 30"},
		"a total is not called so twice":         {"hits_total:1|c", "hits_total{} 1"},
		"several values in a line":               {"hits:1:2:3.5|c", "hits_total{} 6.5"},
		"a gauge has its last value":             {"depth:5|g\ndepth:3|g", "depth{} 3"},
		"a signed gauge moves":                   {"depth:5|g\ndepth:-7|g\ndepth:+1|g", "depth{} -1"},
		"a gauge only moved began at nothing":    {"depth:+4|g", "depth{} 4"},
		"tags are labels":                        {"depth:1|g|#page:cart,zone:b", "depth{page=cart,zone=b} 1"},
		"the order of tags means nothing":        {"hits:1|c|#a:1,b:2\nhits:1|c|#b:2,a:1", "hits_total{a=1,b=2} 2"},
		"a tag without a value is true":          {"depth:1|g|#cold", "depth{cold=true} 1"},
		"a tag with an empty value is none":      {"depth:1|g|#cold:", "depth{} 1"},
		"values of tags may have colons":         {"depth:1|g|#at:10:15", "depth{at=10:15} 1"},
		"the rate may follow the tags":           {"hits:1|c|#a:1|@0.5", "hits_total{a=1} 2"},
		"names are made fit":                     {"api.GET-/cart:1|g|#Ünit.x:1", "api_GET__cart{_nit_x=1} 1"},
		"a name does not begin with a digit":     {"4xx:1|g", "_4xx{} 1"},
		"times are in seconds":                   {"t:320|ms", "t_seconds_bucket{le=+Inf} 1\nt_seconds_bucket{le=0.1} 0\nt_seconds_bucket{le=1} 1\nt_seconds_count{} 1\nt_seconds_sum{} 0.32"},
		"a bound is in its bucket":               {"t:100|ms|@0.5", "t_seconds_bucket{le=+Inf} 2\nt_seconds_bucket{le=0.1} 2\nt_seconds_bucket{le=1} 2\nt_seconds_count{} 2\nt_seconds_sum{} 0.2"},
		"other distributions keep their unit":    {"b:50|h\nb:500|d", "b_bucket{le=+Inf} 2\nb_bucket{le=100} 1\nb_bucket{le=10} 0\nb_count{} 2\nb_sum{} 550"},
		"fields of later versions are passed by": {"hits:1|c|c:ci-0123|e:it-false", "hits_total{} 1"},
		"lines may end as in Windows":            {"hits:1|c\r\nhits:1|c\r\n\r\n", "hits_total{} 2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			table, in := newIntake()
			in.datagram([]byte(tt.datagram), push.Origin{})
			if diff := cmp.Diff(tt.want, text(ticks(table))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLinesAreRefusedByTheirReason(t *testing.T) {
	tests := map[string]struct {
		line string
		want push.Reason
	}{
		"no value":                     {"hits", push.Malformed},
		"no name":                      {":1|c", push.Malformed},
		"no type":                      {"hits:1", push.Malformed},
		"an empty type":                {"hits:1|", push.Malformed},
		"a type nobody knows":          {"hits:1|x", push.Unsupported},
		"no number":                    {"hits:one|c", push.Malformed},
		"a number for Go only":         {"hits:0x1p4|c", push.Malformed},
		"infinity":                     {"depth:inf|g", push.Malformed},
		"a number beyond all":          {"depth:1e999|g", push.Malformed},
		"a long number":                {"depth:" + strings.Repeat("1", 33) + "|g", push.Malformed},
		"a rate of nothing":            {"hits:1|c|@0", push.Malformed},
		"a rate above one":             {"hits:1|c|@2", push.Malformed},
		"an empty field":               {"hits:1|c||#a:1", push.Malformed},
		"a counter that counts down":   {"hits:-1|c", push.BadValue},
		"a count beyond all numbers":   {"hits:1e308|c|@1e-9", push.BadValue},
		"a name of nothing":            {"---:1|g", push.Malformed},
		"a name that is reserved":      {"__name:1|g", push.Reserved},
		"a name of the agent's":        {"container_memory_usage_bytes:1|g", push.Reserved},
		"a tag that is reserved":       {"hits:1|c|#__name__:x", push.Reserved},
		"a name that is no text":       {"hi\xffts:1|c", push.BadUTF8},
		"a tag that is no text":        {"hits:1|c|#a:\xff", push.BadUTF8},
		"a long name":                  {strings.Repeat("n", 201) + ":1|c", push.TooLong},
		"a long tag":                   {"hits:1|c|#a:" + strings.Repeat("v", 1025), push.TooLong},
		"many tags":                    {"hits:1|c|#" + strings.Repeat("a:1,", 31), push.TooManyLabels},
		"an event":                     {"_e{5,4}:title|text", push.Unsupported},
		"a service check":              {"_sc|db|0", push.Unsupported},
		"a time of its own":            {"hits:1|c|T1656581400", push.Unsupported},
		"an empty thing in a set":      {"users:|s", push.Malformed},
		"a name that is another thing": {"taken_count:1|g", push.Conflict},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			table, in := newIntake()
			in.datagram([]byte("taken:1|h"), push.Origin{})
			in.datagram([]byte(tt.line), push.Origin{})
			for why := push.Reason(1); why < push.Reasons; why++ {
				want := uint64(0)
				if why == tt.want {
					want = 1
				}
				if got := in.feed.Dropped(why); got != want {
					t.Errorf("%d dropped as %q, want %d", got, why, want)
				}
			}
			for series, v := range ticks(table) {
				if v != 0 && !strings.HasPrefix(series, "taken") {
					t.Errorf("there is %s %v", series, v)
				}
			}
		})
	}
}

func TestWhatIsTakenIsCounted(t *testing.T) {
	_, in := newIntake()
	in.datagram([]byte("a:1:2:x:4|c\nb:1|g\nc\n"), push.Origin{})
	if taken, dropped := in.feed.Taken(), in.feed.Dropped(push.Malformed); taken != 3 || dropped != 2 {
		t.Errorf("%d taken and %d dropped, want 3 values and 2 lines", taken, dropped)
	}
}

func TestDatagramsBeyondTheRateAreDroppedWhole(t *testing.T) {
	table := push.NewTable(push.Options{})
	in := &intake{feed: table.Feed("test", 1, 5), values: []float64{1}}
	in.datagram([]byte("a:1|g\na:2|g\na:3|g"), push.Origin{})
	in.datagram([]byte("a:4|g\na:5|g\na:6|g"), push.Origin{})
	if got := text(ticks(table)); got != "a{} 3" || in.feed.Dropped(push.RateLimit) != 3 {
		t.Errorf("%s, and %d dropped", got, in.feed.Dropped(push.RateLimit))
	}
}

// steady is a datagram as clients pack them.
func steady() []byte {
	var b strings.Builder
	for i := range 5 {
		fmt.Fprintf(&b, "shop.requests:1|c|@0.5|#page:cart,code:20%d\n", i)
		fmt.Fprintf(&b, "shop.render:32%d.5:290|ms|#page:cart\n", i)
		fmt.Fprintf(&b, "shop.queue:%d|g\nshop.queue.moved:+1|g\nshop.body:512|d\nshop.users:u%d|s\n", i, i)
	}
	return []byte(b.String())
}

func TestASteadyStreamAllocatesNothing(t *testing.T) {
	_, in := newIntake()
	datagram := steady()
	in.datagram(datagram, push.Origin{})
	if n := testing.AllocsPerRun(100, func() { in.datagram(datagram, push.Origin{}) }); n != 0 {
		t.Errorf("%v allocations a datagram", n)
	}
}

func BenchmarkDatagram(b *testing.B) {
	_, in := newIntake()
	datagram := steady()
	b.ReportAllocs()
	b.SetBytes(int64(len(datagram)))
	for b.Loop() {
		in.datagram(datagram, push.Origin{})
	}
	b.ReportMetric(float64(b.N*30)/b.Elapsed().Seconds(), "lines/s")
}

// A flood of ever new names is refused at a price.
func BenchmarkFlood(b *testing.B) {
	_, in := newIntake()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		in.datagram(fmt.Appendf(nil, "a%d:1|g|#x:%d,y:%d", i, i, i), push.Origin{})
		i++
	}
}

func FuzzDatagram(f *testing.F) {
	f.Add([]byte("hits:1|c|@0.1|#a:1,b\nt:320:290|ms\nd:-3|g"))
	f.Add([]byte("u:x|s\n_e{5,4}:title|text\n4:1|h|c:ci-1|T1"))
	f.Add(steady())
	f.Fuzz(func(t *testing.T, b []byte) {
		table := push.NewTable(push.Options{Series: 200, Bytes: 1 << 20})
		in := &intake{feed: table.Feed("test", 1e9, 1e9), seed: maphash.MakeSeed(), timers: []float64{.1, 1}, values: []float64{10}}
		for range 2 { // the second time by what was remembered
			in.datagram(b, push.Origin{})
		}
		for series, v := range ticks(table) {
			if v != v {
				t.Errorf("%s is not a number", series)
			}
			if series[0] >= '0' && series[0] <= '9' || strings.HasPrefix(series, "__") {
				t.Errorf("%s is no name", series)
			}
		}
	})
}
