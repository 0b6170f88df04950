//go:build e2e

package differential

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/store"
)

const (
	interval = 15 * time.Second
	span     = 6 * time.Hour
)

// series is what both are given: a name, labels in pairs, and a value for each
// step, or none.
type series struct {
	name, kind string
	labels     []string
	value      func(step int) (v float64, there bool)
}

// all series, sorted by name as the text format wants it. They have what
// queries stumble over: resets, gaps, series that begin late or end early,
// numbers that are none, and negative, huge and tiny ones.
func all() []series {
	var list []series
	for i, instance := range []string{"a:1", "b:1"} {
		for j, code := range []string{"200", "404", "500"} {
			list = append(list, series{"http_requests", "counter", []string{"code", code, "instance", instance, "job", "web"}, func(n int) (float64, bool) {
				since := n % (400 + 100*j) // it is started anew now and then
				return float64(since*(3*i+j+1)) + float64(since*since%(7+j))/10, (n+i)%97 != 0
			}})
		}
	}
	for i, instance := range []string{"a:1", "b:1"} {
		for j, le := range []string{"0.1", "0.5", "1.0", "5.0", "+Inf"} {
			list = append(list, series{"latency_seconds_bucket", "histogram", []string{"instance", instance, "job", "web", "le", le}, func(n int) (float64, bool) {
				return float64(n * (j + 1) * (i + 2)), true
			}})
		}
	}
	for i, instance := range []string{"a:1", "b:1", "c:1", "d:1"} {
		list = append(list, series{"temperature_celsius", "gauge", []string{"instance", instance, "job", []string{"web", "db"}[i%2]}, func(n int) (float64, bool) {
			v := 20 + 15*math.Sin(float64(n)/(20+7*float64(i))) - float64(i*i*i)
			return v, n > 200*i && !(i == 1 && n%300 > 270) && !(i == 2 && n > 1200)
		}})
	}
	list = append(list,
		series{"odd_number", "gauge", []string{"instance", "a:1", "job", "web"}, func(n int) (float64, bool) {
			return []float64{0, math.NaN(), 1e300, -1e-300, math.Inf(1), -2.5, 1e15 + 1, 0.1}[n/40%8], true
		}},
		series{"build_info", "gauge", []string{"instance", "a:1", "job", "web", "version", "1.2.3"}, func(int) (float64, bool) { return 1, true }},
		series{"build_info", "gauge", []string{"instance", "b:1", "job", "web", "version", "1.3.0"}, func(int) (float64, bool) { return 1, true }},
	)
	return list
}

// metric is the name of the samples of a series.
func (s series) metric() string {
	if s.kind == "counter" {
		return s.name + "_total"
	}
	return s.name
}

// writeText writes all samples from start as OpenMetrics.
func writeText(t *testing.T, dir string, start time.Time) string {
	t.Helper()
	path := filepath.Join(dir, "samples.txt")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	described := ""
	for _, s := range all() {
		if s.name != described {
			described = s.name
			if s.kind != "histogram" { // its buckets alone are none
				fmt.Fprintf(w, "# TYPE %s %s\n", s.name, s.kind)
			}
		}
		for n := range int(span / interval) {
			v, there := s.value(n)
			if !there {
				continue
			}
			pairs := make([]string, 0, len(s.labels)/2)
			for i := 0; i < len(s.labels); i += 2 {
				pairs = append(pairs, fmt.Sprintf("%s=%q", s.labels[i], s.labels[i+1]))
			}
			fmt.Fprintf(w, "%s{%s} %g %d\n", s.metric(), strings.Join(pairs, ","), v, start.Add(time.Duration(n)*interval).Unix())
		}
	}
	fmt.Fprintln(w, "# EOF")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return path
}

// fill appends all samples from start.
func fill(t *testing.T, s *store.Store, start time.Time) {
	t.Helper()
	list := all()
	for n := range int(span / interval) {
		app := s.AppenderV2(context.Background())
		for _, one := range list {
			v, there := one.value(n)
			if !there {
				continue
			}
			ls := labels.FromStrings(append([]string{"__name__", one.metric()}, one.labels...)...)
			if _, err := app.Append(0, ls, 0, start.Add(time.Duration(n)*interval).UnixMilli(), v, nil, nil, storage.AOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}
