package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// served is a collector that the command line has started in this process.
type served struct {
	t    *testing.T
	url  string
	stop func()
}

// collect runs "plimsoll collector" on a directory until the test, or stop, ends
// it.
func collect(t *testing.T, data string, flags ...string) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	said, stdout := io.Pipe()
	log := &lockedBuffer{}
	args := append([]string{"collector", "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=127.0.0.1:0", "--data.path=" + data}, flags...)
	ended := make(chan int, 1)
	go func() {
		code := run(ctx, args, stdout, log, nil)
		_ = stdout.Close()
		ended <- code
	}()
	s := &served{t: t, stop: sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("exit code %d\n%s", code, log)
		}
	})}
	t.Cleanup(s.stop)
	lines := bufio.NewReader(said)
	line, err := lines.ReadString('\n')
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	for word := range strings.FieldsSeq(line) {
		if strings.HasPrefix(word, "http://") {
			s.url = word
		}
	}
	if s.url == "" {
		t.Fatalf("it says %q, %v\n%s", line, err, log)
	}
	return s
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// api gets a path of the Prometheus API into what its data is.
func (s *served) api(path string, params url.Values, data any) {
	s.t.Helper()
	resp, err := http.Get(s.url + path + "?" + params.Encode())
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		s.t.Fatalf("%s %v: %s %s %v", path, params, resp.Status, answer.Error, err)
	}
}

// values answers a query, at an instant if step is 0, by series and time.
func (s *served) values(query string, from, to time.Time, step time.Duration) map[string]float64 {
	s.t.Helper()
	var data struct {
		Result []struct {
			Metric model.Metric
			Value  model.SamplePair
			Values []model.SamplePair
		}
	}
	seconds := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	if step == 0 {
		s.api("/api/v1/query", url.Values{"query": {query}, "time": {seconds(to)}}, &data)
	} else {
		s.api("/api/v1/query_range", url.Values{"query": {query}, "start": {seconds(from)}, "end": {seconds(to)}, "step": {step.String()}}, &data)
	}
	all := map[string]float64{}
	for _, r := range data.Result {
		if step == 0 {
			r.Values = []model.SamplePair{r.Value}
		}
		for _, v := range r.Values {
			all[fmt.Sprint(r.Metric, "@", v.Timestamp)] = float64(v.Value)
		}
	}
	return all
}

// metric is the sum of the collector's own series of a name, as it shows them.
func (s *served) metric(name string) float64 {
	s.t.Helper()
	resp, err := http.Get(s.url + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return sum
}

func (s *served) await(what string, limit time.Duration, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

const aDay = 24 * time.Hour

// storeDays writes days that are over, a block each, with samples a minute apart
// up to the very end, as an average of fewer is another.
func storeDays(t *testing.T, dir string, first, end time.Time) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	level, requests := 1000.0, 0.0
	for day := first; day.Before(end); day = day.Add(aDay) {
		w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, aDay.Milliseconds())
		if err != nil {
			t.Fatal(err)
		}
		app := w.AppenderV2(t.Context())
		put := func(name string, at time.Time, v float64) {
			ls := labels.FromStrings(model.MetricNameLabel, name, "node", "n1")
			if _, err := app.Append(0, ls, 0, at.UnixMilli(), v, nil, nil, storage.AOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for at := day; at.Before(day.Add(aDay)) || at.Equal(end); at = at.Add(time.Minute) {
			requests += math.Floor(random.Float64() * 40)
			if random.Float64() < 0.003 {
				requests = 0
			}
			level += math.Floor(random.Float64()*9) - 4
			put("requests_total", at, requests)
			put("memory_bytes", at, level)
			if day.Before(first.Add(2 * aDay)) {
				put("gone_total", at, requests)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// oldest is from when on a store has blocks.
func oldest(t *testing.T, dir string) time.Time {
	t.Helper()
	metas, err := filepath.Glob(filepath.Join(dir, "*", "meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	for _, path := range metas {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has just been deleted
		}
		var meta tsdb.BlockMeta
		if err := json.Unmarshal(text, &meta); err != nil {
			t.Fatal(err)
		}
		if at := time.UnixMilli(meta.MinTime); at.Before(from) {
			from = at
		}
	}
	return from
}

func TestAMonthIsAnsweredFromRollupsWhereDaysAreKeptOfSamples(t *testing.T) {
	data := t.TempDir()
	end := time.Now().UTC().Truncate(aDay)
	first := end.Add(-32 * aDay)
	raw := filepath.Join(data, "tsdb")
	storeDays(t, raw, first, end)

	questions := []struct {
		query string
		step  time.Duration
	}{
		{"increase(requests_total[1d])", aDay},
		{"rate(requests_total[6h])", 6 * time.Hour},
		{"increase(requests_total[30d])", 0},
		{"resets(requests_total[1d])", aDay},
		{"max_over_time(memory_bytes[1d])", aDay},
		{"avg_over_time(memory_bytes[6h])", 6 * time.Hour},
		{"sum(memory_bytes)", time.Hour},
	}
	ask := func(s *served) (answers []map[string]float64) {
		for _, q := range questions {
			answers = append(answers, s.values(q.query, end.Add(-30*aDay), end, q.step))
		}
		return answers
	}
	same := func(t *testing.T, want, got []map[string]float64) {
		t.Helper()
		for i, q := range questions {
			n := 1
			if q.step > 0 {
				n += int(30 * aDay / q.step)
			}
			if len(got[i]) != n || len(want[i]) != n {
				t.Errorf("%s: %d values, from the samples %d, want %d", q.query, len(got[i]), len(want[i]), n)
			}
			for key, v := range want[i] {
				if there, ok := got[i][key]; !ok || math.Abs(there-v) > 1e-12*math.Abs(v) {
					t.Errorf("%s: %s is %v (%v), want %v as from the samples", q.query, key, there, ok, v)
				}
			}
		}
	}

	samples := collect(t, data, "--storage.tsdb.retention.time=60d", "--storage.rollup.retention.time=0s")
	want := ask(samples)
	if _, err := os.Stat(filepath.Join(data, rollupDir)); err == nil {
		t.Error("there are rollups, and they are off")
	}
	samples.stop()

	both := collect(t, data, "--storage.tsdb.retention.time=60d")
	both.await("a month is rolled up", 2*time.Minute, func() bool {
		return both.metric("plimsoll_rollup_samples_out_total") > 0 && both.metric("plimsoll_rollup_pending_slices") == 0
	})
	both.stop()

	short := collect(t, data, "--storage.tsdb.retention.time=2d", "--web.enable-admin-api")
	short.await("the samples are gone", 2*time.Minute, func() bool { return oldest(t, raw).After(end.Add(-12 * aDay)) })
	same(t, want, ask(short))
	var names []string
	short.api("/api/v1/label/__name__/values", url.Values{"start": {first.Format(time.RFC3339)}, "end": {end.Format(time.RFC3339)}}, &names)
	if !slices.Contains(names, "gone_total") {
		t.Errorf("names %v, want that of a series that ended a month ago", names)
	}

	var made strings.Builder
	if code := run(t.Context(), []string{"snapshot", "create", "--url=" + short.url}, &made, &made, nil); code != exitOK || !strings.Contains(made.String(), "rollup: ") {
		t.Fatalf("exit code %d of making a snapshot: %s", code, made.String())
	}
	lines := strings.Split(strings.TrimSpace(made.String()), "\n")
	copied := lines[len(lines)-1]
	var native struct{ Name string }
	short.post("/api/v1/admin/tsdb/snapshot", &native)
	if !isDir(filepath.Join(raw, "snapshots", native.Name)) {
		t.Errorf("Prometheus' API has made no snapshot %q", native.Name)
	}
	short.stop()

	restored := t.TempDir()
	for _, args := range [][]string{{"verify", copied}, {"restore", copied, "--data.path=" + restored}} {
		if code := run(t.Context(), append([]string{"snapshot"}, args...), &made, &made, nil); code != exitOK {
			t.Fatalf("exit code %d of %v: %s", code, args, made.String())
		}
	}
	second := collect(t, restored)
	same(t, want, ask(second))
}

func (s *served) post(path string, data any) {
	s.t.Helper()
	resp, err := http.Post(s.url+path, "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		s.t.Fatalf("%s: %s %s %v", path, resp.Status, answer.Error, err)
	}
}
