package rollup

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// parse reads samples as a person writes them: one each 10 s, "-" for none,
// "stale" for the end of the series.
func parse(t *testing.T, text string) []point {
	t.Helper()
	var samples []point
	for i, word := range strings.Fields(text) {
		p := point{t: int64(i+1) * 10_000}
		switch word {
		case "-":
			continue
		case "stale":
			p.v = staleMarker
		default:
			if _, err := fmt.Sscan(word, &p.v); err != nil {
				t.Fatal(err)
			}
		}
		samples = append(samples, p)
	}
	return samples
}

func format(samples []point) string {
	var words []string
	for _, p := range samples {
		if p.stale() {
			words = append(words, "stale")
		} else {
			words = append(words, fmt.Sprint(p.v))
		}
	}
	return strings.Join(words, " ")
}

func TestOfAWindowRemains(t *testing.T) {
	for name, tt := range map[string]struct {
		kind          kind
		samples, want string
	}{
		"of a counter the first and the last":                   {counter, "1 2 3 4 5", "1 5"},
		"of a counter that stands still the same":               {counter, "7 7 7", "7 7"},
		"both sides of a reset":                                 {counter, "100 120 150 20 40 90", "100 150 20 90"},
		"both sides of a reset that the last sample would hide": {counter, "100 150 20 200", "100 150 20 200"},
		"each of many resets":                                   {counter, "5 6 1 2 0 7 3 4", "5 6 1 2 0 7 3 4"},
		"of a gauge the lowest, the highest and the last":       {gauge, "3 9 4 1 5 5", "9 1 5"},
		"of a gauge that does not move the last":                {gauge, "4 4 4 4", "4"},
		"of a gauge that is back at its lowest two":             {gauge, "1 9 3 1", "9 1"},
		"one sample as it is":                                   {gauge, "3", "3"},
		"of an unknown metric both, if it falls rarely":         {unknown, "2 3 8 1 4 5", "2 8 1 5"},
		"of an unknown metric that falls often no falls":        {unknown, "2 5 4 5 4 5 4 9 4 1 3", "2 9 1 3"},
		"where a series ended, and each part on its own":        {counter, "1 2 3 stale 4 5 6", "1 3 stale 4 6"},
		"of a gauge that returned, when it did":                 {gauge, "5 1 5 stale 3 4 9 4", "1 5 stale 3 9 4"},
		"the ends of a stretch without value":                   {gauge, "1 2 NaN NaN NaN 3", "1 2 NaN NaN 3"},
		"no reset across a stretch without value":               {counter, "1 5 NaN 3 4", "1 5 NaN 3 4"},
		"infinity":           {gauge, "1 +Inf -Inf 2", "+Inf -Inf 2"},
		"nothing of nothing": {gauge, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := format(reduce(parse(t, tt.samples), tt.kind)); got != tt.want {
				t.Errorf("%s\nleft %s\nwant %s", tt.samples, got, tt.want)
			}
		})
	}
}

// increase is what PromQL sees of a range before it extrapolates: the first and
// the last time, the growth with resets made good, and how many there were.
func increase(samples []point, from, to int64) (first, last int64, grown float64, resets int) {
	var before point
	begun := false
	for _, p := range samples {
		if p.t <= from || p.t > to || p.stale() {
			continue
		}
		if !begun {
			begun, first, grown = true, p.t, -p.v
		} else if p.v < before.v {
			grown += before.v
			resets++
		}
		before, last = p, p.t
	}
	if begun {
		// In PromQL's order: the difference of the ends first.
		return first, last, grown + before.v, resets
	}
	return 0, 0, 0, 0
}

// extremes are what max_over_time and min_over_time see.
func extremes(samples []point, from, to int64) (lowest, highest float64) {
	lowest, highest = math.NaN(), math.NaN()
	for _, p := range samples {
		if p.t <= from || p.t > to || p.stale() {
			continue
		}
		if p.v > highest || math.IsNaN(highest) {
			highest = p.v
		}
		if p.v < lowest || math.IsNaN(lowest) {
			lowest = p.v
		}
	}
	return lowest, highest
}

// drawSeries draws an hour or so of a counter or a gauge with gaps, jitter, ends
// and returns, and stretches without a value. Values are whole, so that sums in
// any order are equal.
func drawSeries(t *rapid.T, k kind) []point {
	interval := rapid.SampledFrom([]int64{100, 1000, 15_000, 60_000}).Draw(t, "interval")
	n := rapid.IntRange(0, int(min(2000, 2*ms(60*60*1e9)/interval))).Draw(t, "samples")
	at := rapid.Int64Range(-ms(60*60*1e9), ms(60*60*1e9)).Draw(t, "begin")
	// One number decides what a sample is: rapid shrinks it to the plain one.
	moods := rapid.SliceOfN(rapid.IntRange(0, 999), n, n).Draw(t, "moods")
	value := float64(rapid.IntRange(0, 100).Draw(t, "value"))
	samples := make([]point, 0, n)
	for i, mood := range moods {
		at += interval
		v := value
		switch {
		case mood < 900 && k == counter:
			value += float64(mood % 7)
			v = value
		case mood < 900:
			value += float64(mood%7 - 3)
			v = value
		case mood < 920:
			at += interval * int64(mood%90)
			continue
		case mood < 940:
			value = float64(mood % 5)
			v = value
		case mood < 960:
			v = staleMarker
		case mood < 970:
			v = math.NaN()
		case mood < 980:
			at += int64(mood) % interval
		}
		samples = append(samples, point{t: at + int64(i%2), v: v})
	}
	return samples
}

// reduced reduces a whole series.
func reduced(samples []point, k kind) []point {
	var kept []point
	w := windows{it: &list{rest: samples}}
	for _, window, ok := w.next(); ok; _, window, ok = w.next() {
		kept = append(kept, reduce(window, k)...)
	}
	return kept
}

func same64(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestOverWholeWindowsACounterIncreasesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := drawSeries(t, counter)
		kept := reduced(raw, counter)
		for _, length := range []int64{window, 2 * window, 6 * window} {
			for from := floor(-2*ms(60*60*1e9), window); from < 4*ms(60*60*1e9); from += window {
				f1, l1, g1, r1 := increase(raw, from, from+length)
				f2, l2, g2, r2 := increase(kept, from, from+length)
				if f1 != f2 || l1 != l2 || !same64(g1, g2) || r1 != r2 {
					t.Fatalf("from %d for %d: increase %v (%d..%d, %d resets), of what is kept %v (%d..%d, %d)", from, length, g1, f1, l1, r1, g2, f2, l2, r2)
				}
			}
		}
	})
}

func TestOverWholeWindowsExtremesAreTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom([]kind{counter, gauge, unknown}).Draw(t, "kind")
		raw := drawSeries(t, k)
		kept := reduced(raw, k)
		for from := floor(-2*ms(60*60*1e9), window); from < 4*ms(60*60*1e9); from += window {
			l1, h1 := extremes(raw, from, from+3*window)
			l2, h2 := extremes(kept, from, from+3*window)
			if !same64(l1, l2) || !same64(h1, h2) {
				t.Fatalf("from %d: %v to %v, of what is kept %v to %v", from, l1, h1, l2, h2)
			}
		}
	})
}

// What is reduced twice, say because it is restored and rolled up again, stays.
func TestWhatIsReducedStaysAsItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom([]kind{counter, gauge, unknown}).Draw(t, "kind")
		once := reduced(drawSeries(t, k), k)
		if want, got := format(once), format(reduced(once, k)); got != want {
			t.Fatalf("once  %s\ntwice %s", want, got)
		}
	})
}

// Restarts within five minutes are exact even if nobody says that it is a
// counter.
func TestAnUnknownCounterMayBeginAnewTwiceAWindow(t *testing.T) {
	samples := parse(t, "100 150 20 60 5 200 300")
	kept := reduce(parse(t, "100 150 20 60 5 200 300"), unknown)
	_, _, want, _ := increase(samples, 0, window)
	if _, _, got, _ := increase(kept, 0, window); got != want {
		t.Errorf("increase %v of %s, want %v", got, format(kept), want)
	}
}

func TestATotalHoldsItsCountInItsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := windowEnd(rapid.Int64Range(-1e12, 1e13).Draw(t, "time"))
		n := rapid.Int64Range(1, 3000).Draw(t, "count")
		samples := make([]point, n)
		for i := range samples {
			samples[i] = point{t: end - n + int64(i) + 1, v: 0.5}
		}
		p, ok := total(end, samples)
		if !ok || windowEnd(p.t) != end {
			t.Fatalf("total at %d is not in the window that ends at %d", p.t, end)
		}
		if sum, count := ofTotal(p); count != n || sum != float64(n)/2 {
			t.Fatalf("%v of %d, want %v of %d", sum, count, float64(n)/2, n)
		}
	})
}

func TestTheKindIsToldByNameAndType(t *testing.T) {
	for name, tt := range map[string]struct {
		metric, declared string
		want             kind
	}{
		"a total is a counter before anyone says so": {"http_requests_total", "", counter},
		"buckets are counters":                       {"latency_seconds_bucket", "histogram", counter},
		"so are the sum and the count of them":       {"latency_seconds_sum", "histogram", counter},
		"a quantile is a gauge":                      {"latency_seconds", "summary", gauge},
		"a count that is declared a gauge":           {"members_count", "gauge", gauge},
		"a count that nobody declares":               {"members_count", "", unknown},
		"a declared counter":                         {"container_processes_started", "counter", counter},
		"a type of another world":                    {"x", "complex", unknown},
	} {
		t.Run(name, func(t *testing.T) {
			if got := kindOf(tt.metric, tt.declared); got != tt.want {
				t.Errorf("kind %d, want %d", got, tt.want)
			}
		})
	}
}
