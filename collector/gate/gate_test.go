package gate_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/gate"
)

var limits = gate.Limits{}.WithDefaults()

func TestTimesOutsideTheWindowAreRefused(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	window := limits.Window(now)
	tests := map[string]struct {
		ms   int64
		want gate.Reason
	}{
		"now":                        {now.UnixMilli(), ""},
		"a minute ahead, just":       {now.Add(time.Minute).UnixMilli(), ""},
		"a millisecond more":         {now.Add(time.Minute).UnixMilli() + 1, gate.Future},
		"a day behind, just":         {now.Add(-24 * time.Hour).UnixMilli(), ""},
		"a millisecond older":        {now.Add(-24*time.Hour).UnixMilli() - 1, gate.TooOld},
		"the beginning of Unix":      {0, gate.TooOld},
		"seconds in place of ms":     {now.Unix(), gate.TooOld},
		"nanoseconds in place of ms": {now.UnixNano(), gate.Future},
		"the end of time":            {math.MaxInt64, gate.Future},
		"the beginning of time":      {math.MinInt64, gate.TooOld},
		"ten years ahead":            {now.AddDate(10, 0, 0).UnixMilli(), gate.Future},
		"ten years behind":           {now.AddDate(-10, 0, 0).UnixMilli(), gate.TooOld},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := window.Check(tt.ms); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWhatOutsidersMaySend(t *testing.T) {
	long := strings.Repeat("x", 5000)
	many := []string{"__name__", "m"}
	for i := range 64 {
		many = append(many, fmt.Sprintf("l%02d", i), "v")
	}
	wide := []string{"__name__", "m"}
	for i := range 5 {
		wide = append(wide, fmt.Sprintf("l%02d", i), long[:4000])
	}
	tests := map[string]struct {
		labels []string // pairs
		want   gate.Reason
	}{
		"a series":                              {[]string{"__name__", "m", "job", "j", "instance", "i:9100"}, ""},
		"a name that needs quotes":              {[]string{"__name__", "http.server.duration", "a b", "ü"}, ""},
		"a label that sorts before the name":    {[]string{"A", "1", "__name__", "m"}, ""},
		"as many labels as allowed":             {many, ""},
		"one more":                              {append(slices.Clone(many), "more", "v"), gate.Labels},
		"no labels at all":                      {nil, gate.NoName},
		"no name":                               {[]string{"job", "j"}, gate.NoName},
		"an empty name":                         {[]string{"__name__", "", "job", "j"}, gate.NoName},
		"a long name":                           {[]string{"__name__", long}, gate.LabelValue},
		"a label without a name":                {[]string{"", "v", "__name__", "m"}, gate.NoName},
		"a long label name":                     {[]string{"__name__", "m", long, "v"}, gate.LabelName},
		"a long value":                          {[]string{"__name__", "m", "l", long}, gate.LabelValue},
		"a long value before the name":          {[]string{"L", long, "__name__", "m"}, gate.LabelValue},
		"values that are too long together":     {wide, gate.TooLong},
		"a label twice":                         {[]string{"__name__", "m", "l", "1", "l", "2"}, gate.Twice},
		"the name twice":                        {[]string{"__name__", "m", "__name__", "n"}, gate.Twice},
		"bytes that are no text":                {[]string{"__name__", "m", "l", "\xff"}, gate.UTF8},
		"bytes that are no text in a name":      {[]string{"__name__", "m\xff"}, gate.UTF8},
		"the collector's own sequence":          {[]string{"__name__", "plimsoll_ingest_seq", "agent", "a"}, gate.Reserved},
		"an alert":                              {[]string{"__name__", "ALERTS", "alertname", "a"}, gate.Reserved},
		"the state of an alert":                 {[]string{"__name__", "ALERTS_FOR_STATE", "alertname", "a"}, gate.Reserved},
		"whether an agent is there":             {[]string{"__name__", "up", "job", "plimsoll-agent"}, gate.Identity},
		"anything of the collector's":           {[]string{"__name__", "go_goroutines", "job", "plimsoll-collector"}, gate.Identity},
		"a series of an agent":                  {[]string{"__name__", "m", "instance", "n1:9100", "node", "n1"}, gate.Identity},
		"a node_exporter on another port":       {[]string{"__name__", "m", "instance", "n1:9101", "node", "n1"}, ""},
		"a node_exporter, without a node label": {[]string{"__name__", "m", "instance", "n1:9100"}, ""},
		"a series about a node":                 {[]string{"__name__", "m", "node", "n1"}, ""},
		"somebody's up":                         {[]string{"__name__", "up", "instance", "n1:9100", "job", "node"}, ""},
		"another's metrics about Plimsoll":      {[]string{"__name__", "plimsoll_agent_ticks_total", "job", "p"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := labels.NewScratchBuilder(8)
			for i := 0; i < len(tt.labels); i += 2 {
				b.Add(tt.labels[i], tt.labels[i+1])
			}
			b.Sort()
			if got := limits.Outside(b.Labels()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNaNsAreOneOrTheEndOfASeries(t *testing.T) {
	stale := math.Float64frombits(value.StaleNaN)
	if got := math.Float64bits(gate.Value(stale)); got != value.StaleNaN {
		t.Errorf("the end of a series became %x", got)
	}
	for _, bits := range []uint64{value.NormalNaN, 0x7ff0000000000001, 0xfff8000000000000, value.StaleNaN + 1} {
		if got := math.Float64bits(gate.Value(math.Float64frombits(bits))); got != value.NormalNaN {
			t.Errorf("NaN %x became %x", bits, got)
		}
	}
	for _, v := range []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.MaxFloat64, 1.5} {
		if got := gate.Value(v); math.Float64bits(got) != math.Float64bits(v) {
			t.Errorf("%v became %v", v, got)
		}
	}
}

func TestOnlyWhatTheStoreDoesNotWantIsARefusal(t *testing.T) {
	for err, want := range map[error]gate.Reason{
		storage.ErrDuplicateSampleForTimestamp: gate.Duplicate,
		storage.ErrOutOfOrderSample:            gate.OutOfOrder,
		storage.ErrTooOldSample:                gate.TooOld,
		storage.ErrOutOfBounds:                 gate.TooOld,
		storage.ErrNativeHistogramsDisabled:    gate.Histogram,
		histogram.ErrHistogramNegativeCount:    gate.Histogram,
		errors.New("no space left on device"):  "",
	} {
		if got := gate.Refusal(fmt.Errorf("append: %w", err)); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

func TestEachReasonIsListedOnce(t *testing.T) {
	all := gate.Reasons()
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) || slices.Contains(all, "") {
		t.Errorf("%q", all)
	}
}

func TestWhatIsWantedCostsNoAllocation(t *testing.T) {
	series := labels.FromStrings("__name__", "container_cpu_usage_seconds_total", "container", "web", "instance", "n1:9101", "job", "j", "node", "n1")
	pairs := []string{"container", "web", "image", "web:1"}
	window := limits.Window(time.Now())
	n := testing.AllocsPerRun(100, func() {
		if limits.Outside(series) != "" || limits.Series("m", pairs) != "" || window.Check(window.To) != "" || gate.Value(1) != 1 {
			t.Error("refused")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What passes the gate has to be what the store can keep.
func FuzzOutside(f *testing.F) {
	f.Add("__name__", "m", "job", "j", "", "")
	f.Add("__name__", "ALERTS", "", "", "\xff", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3 string) {
		b := labels.NewScratchBuilder(3)
		pairs := []string{k1, v1, k2, v2, k3, v3}
		for i := 0; i < len(pairs); i += 2 {
			b.Add(pairs[i], pairs[i+1])
		}
		b.Sort()
		series := b.Labels()
		why := limits.Outside(series)
		if why != "" {
			if !slices.Contains(gate.Reasons(), why) {
				t.Fatalf("reason %q", why)
			}
			return
		}
		if _, twice := series.HasDuplicateLabelNames(); twice || series.Get("__name__") == "" {
			t.Fatalf("%v passed", series)
		}
		for _, s := range pairs {
			if !utf8.ValidString(s) {
				t.Fatalf("%q passed", s)
			}
		}
	})
}

func BenchmarkOutside(b *testing.B) {
	series := labels.FromStrings("__name__", "container_cpu_usage_seconds_total", "container", "web", "id", strings.Repeat("a", 64),
		"image", "registry/web:1", "instance", "n1:9101", "job", "j", "node", "n1", "service", "web")
	b.ReportAllocs()
	for b.Loop() {
		if limits.Outside(series) != "" {
			b.Fatal("refused")
		}
	}
}
