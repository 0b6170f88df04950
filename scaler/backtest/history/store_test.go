package history_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/backtest/history"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// recorded is half an hour of a service whose replicas have half a core each: two of
// them with 0.2 cores, from minute 10 on full, from minute 20 on three with 0.3. Three
// are asked for at minute 12, and ready a minute later. Its requests are not known in
// the minutes 5 to 8, and of replica c nothing is heard from minute 25 on.
func recorded(begin time.Time) string {
	var b strings.Builder
	put := func(name, labels string, value func(second int) (float64, bool)) {
		for s := 0; s <= 1800; s += 5 {
			if v, ok := value(s); ok {
				fmt.Fprintf(&b, "%s{%s} %g %d\n", name, labels, v, begin.Unix()+int64(s))
			}
		}
	}
	always := func(v float64) func(int) (float64, bool) { return func(int) (float64, bool) { return v, true } }
	// The format wants the series of a metric together.
	metric := func(name, kind string, of func(id string) func(int) (float64, bool)) {
		fmt.Fprintf(&b, "# TYPE %s %s\n", strings.TrimSuffix(name, "_total"), kind)
		for _, id := range []string{"a", "b", "c"} {
			from, to := 0, 1800
			if id == "c" {
				from, to = 720, 1500
			}
			put(name, `node="n",id="`+id+`",container_label_com_docker_swarm_service_name="shop_web"`, func(s int) (float64, bool) {
				v, ok := of(id)(s)
				return v, ok && s >= from && s <= to
			})
		}
	}
	metric("container_cpu_usage_seconds_total", "counter", func(id string) func(int) (float64, bool) {
		return func(s int) (float64, bool) {
			total := 0.0
			for at := 0; at < s; at += 5 {
				switch {
				case at >= 1200:
					total += 5 * 0.3
				case id == "c" && at < 780:
				case at >= 600:
					total += 5 * 0.5
				default:
					total += 5 * 0.2
				}
			}
			return total, true
		}
	})
	metric("container_spec_cpu_quota", "gauge", func(string) func(int) (float64, bool) { return always(50000) })
	metric("container_spec_cpu_period", "gauge", func(string) func(int) (float64, bool) { return always(100000) })
	b.WriteString("# TYPE rps gauge\n")
	put("rps", `job="a"`, func(s int) (float64, bool) { return 60, s < 300 || s >= 480 })
	put("rps", `job="b"`, func(s int) (float64, bool) { return 40, s < 300 || s >= 480 })
	b.WriteString("# TYPE plimsoll_scaler_replicas_desired gauge\n")
	put("plimsoll_scaler_replicas_desired", `policy="shop"`, func(s int) (float64, bool) { return map[bool]float64{false: 2, true: 3}[s >= 720], true })
	b.WriteString("# TYPE plimsoll_scaler_replicas_ready gauge\n")
	put("plimsoll_scaler_replicas_ready", `policy="shop"`, func(s int) (float64, bool) { return map[bool]float64{false: 2, true: 3}[s >= 780], true })
	b.WriteString("# EOF\n")
	return b.String()
}

// prometheus runs the one of Debian over a text of samples.
func prometheus(t *testing.T, text string) *url.URL {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err == nil {
		_, err = exec.LookPath("prometheus")
	}
	if err != nil {
		lacking(t, "prometheus is not installed: apt-get install prometheus, or build it from its module")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "samples.txt")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "tsdb", "create-blocks-from", "openmetrics", file, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := port.Free(t)
	var said bytes.Buffer
	// Before version 2.43 it hides gaps of up to five minutes, whatever it is asked.
	cmd := exec.Command("prometheus", "--query.lookback-delta=1m", "--config.file="+config, "--storage.tsdb.path="+dir, "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	at := &url.URL{Scheme: "http", Host: address}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for begun := time.Now(); ; <-again.C {
		if resp, err := http.Get(at.JoinPath("-/ready").String()); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return at
			}
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("Prometheus does not get ready: %s", said.String())
		}
	}
}

// app is a policy for the service shop_web.
func app(t testing.TB, signals string) policy.App {
	t.Helper()
	text := "version: plimsoll.scaler/v1\napps:\n- name: shop\n  target: {driver: swarm, service: shop_web}\n  max: 100\n  signals: [" + signals + "]\n"
	f, err := policy.Parse("policy.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f.Apps[0]
}

func TestALoadIsWhatAPrometheusHas(t *testing.T) {
	begin := time.Now().Add(-3 * time.Hour).Truncate(time.Hour).UTC()
	at := prometheus(t, recorded(begin))
	fetch := func(t *testing.T, signals string) (history.History, error) {
		t.Helper()
		store, err := history.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		var told []float64
		h, err := store.Fetch(t.Context(), history.Ask{
			App: app(t, signals), Span: history.Over(begin, begin.Add(30*time.Minute), 15*time.Second),
			Progress: func(done float64) { told = append(told, done) },
		})
		for i := 1; i < len(told); i++ {
			if told[i] < told[i-1] || told[i] > 1 {
				t.Errorf("progress is %v", told)
			}
		}
		if len(told) == 0 {
			t.Error("nobody was told of any progress")
		}
		return h, err
	}
	load := func(t *testing.T, signals string) (history.History, backtest.Lane) {
		t.Helper()
		h, err := fetch(t, signals)
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Lanes) != 1 {
			t.Fatalf("%d lanes", len(h.Lanes))
		}
		if l := h.Lanes[0].Load; !l.Start.Equal(begin) || l.Step != 15*time.Second || len(l.Values) != 120 {
			t.Fatalf("%d values from %v by %v", len(l.Values), l.Start, l.Step)
		}
		return h, h.Lanes[0]
	}
	// value is that of a step which begins so many seconds after the beginning.
	value := func(l backtest.Lane, second int) float64 { return l.Load.Values[second/15] }
	near := func(t *testing.T, l backtest.Lane, want map[int]float64) {
		t.Helper()
		for second, w := range want {
			if got := value(l, second); !(math.Abs(got-w) < 0.01) && !(math.IsNaN(got) && math.IsNaN(w)) {
				t.Errorf("after %d s the load is %v, want %v", second, got, w)
			}
		}
	}

	t.Run("a total is the query's, and a gap stays one", func(t *testing.T) {
		_, l := load(t, "{name: rps, source: query, query: sum(rps), target: 10}")
		near(t, l, map[int]float64{60: 100, 285: 100, 390: math.NaN(), 450: math.NaN(), 480: 100, 1785: 100})
		if l.Kind != backtest.Whole || l.Good != 10 || l.Full != 0 {
			t.Errorf("got %+v", l)
		}
	})
	t.Run("use of the limit is cores, and a lower bound where replicas are full", func(t *testing.T) {
		h, l := load(t, "{source: cpu, target: 60%}")
		near(t, l, map[int]float64{300: 0.4, 660: 1, 900: 1.5, 1320: 0.9})
		if l.Kind != backtest.Shared || math.Abs(l.Full-0.5) > 1e-3 || math.Abs(l.Unit-0.5) > 1e-3 || math.Abs(l.Good-0.3) > 1e-3 {
			t.Errorf("full %v, unit %v, good %v; want 0.5, 0.5, 0.3", l.Full, l.Unit, l.Good)
		}
		for second, want := range map[int]bool{300: false, 660: true, 900: true, 1320: false} {
			if l.Load.Censored[second/15] != want {
				t.Errorf("after %d s it is censored: %t", second, !want)
			}
		}
		if len(h.Notes) != 0 || len(h.Left) != 0 {
			t.Errorf("notes %v, left out %v", h.Notes, h.Left)
		}
	})
	t.Run("a replica that is not heard counts as the others do", func(t *testing.T) {
		_, l := load(t, "{source: cpu, of: cores, target: 0.3}")
		near(t, l, map[int]float64{1785: 0.9})
		if l.Good != 0.3 || l.Full != 0 {
			t.Errorf("got %+v", l)
		}
	})
	t.Run("the replicas that there were, and how long they took", func(t *testing.T) {
		h, _ := load(t, "{name: rps, source: query, query: sum(rps), target: 10}")
		if n := h.Begin(begin); n != 2 {
			t.Errorf("%d replicas at the beginning, want 2", n)
		}
		if d, r := h.Desired.Values[720/15], h.Ready.Values[720/15]; d != 3 || r != 2 {
			t.Errorf("after 720 s %v of %v are ready, want 2 of 3", r, d)
		}
		if b, ok := h.Boot(); ok {
			t.Errorf("one start tells %+v", b)
		}
	})
	t.Run("an average of many replicas is their sum, a single series times them", func(t *testing.T) {
		_, l := load(t, "{name: each, source: query, kind: average, query: 'rate(container_cpu_usage_seconds_total[30s])', target: 0.3}")
		near(t, l, map[int]float64{300: 0.4, 1320: 0.9})
		_, l = load(t, "{name: each, source: query, kind: average, query: 'avg(rate(container_cpu_usage_seconds_total[30s]))', target: 0.3}")
		near(t, l, map[int]float64{300: 0.4, 1320: 0.9})
	})
	t.Run("what follows replicas in an unknown way is told", func(t *testing.T) {
		h, l := load(t, "{name: wait, source: query, type: threshold, query: vector(4), max: 5, min: 1, window: 10s}")
		near(t, l, map[int]float64{300: 8, 1320: 12})
		if l.Kind != backtest.Shared || l.Good != 5 || len(h.Notes) != 1 {
			t.Errorf("got %+v, notes %v", l, h.Notes)
		}
		h, err := fetch(t, "{name: wait, source: query, type: threshold, query: vector(4), max: 5, min: 1, window: 10s}, {name: rps, source: query, query: sum(rps), target: 10}")
		if err != nil || h.Lanes[0].Good != 0 || h.Lanes[1].Good != 10 {
			t.Errorf("beside a target, a threshold says what demand is: %+v, %v", h.Lanes, err)
		}
	})
	t.Run("what a guard vouches for is zero", func(t *testing.T) {
		_, l := load(t, `{name: queue, source: query, query: 'sum(rps) > 1000', target: 10, on_empty: zero, guard: 'rps{job="a"}'}`)
		near(t, l, map[int]float64{60: 0, 420: math.NaN(), 1785: 0})
	})
	t.Run("asked twice, a store says the same", func(t *testing.T) {
		store, err := history.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		ask := history.Ask{App: app(t, "{name: wait, source: query, type: threshold, query: vector(4), max: 5, min: 1, window: 10s}"), Span: history.Over(begin, begin.Add(30*time.Minute), 15*time.Second)}
		for range 2 {
			h, err := store.Fetch(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			near(t, h.Lanes[0], map[int]float64{300: 8, 1320: 12})
		}
	})
	t.Run("a signal without a history is left out", func(t *testing.T) {
		h, err := fetch(t, "{name: rps, source: query, query: sum(rps), target: 10}, {name: none, source: query, query: sum(no_such), target: 10}, {source: memory, target: 50%}")
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Lanes) != 1 || len(h.Left) != 2 || h.Left[0].Signal != "none" || h.Left[1].Signal != "memory" {
			t.Errorf("lanes %+v, left %v", h.Lanes, h.Left)
		}
		if app := h.Without(app(t, "{source: memory, target: 50%}, {name: rps, source: query, query: x, target: 1}")); len(app.Signals) != 1 || app.Signals[0].Name != "rps" {
			t.Errorf("what is left is %+v", app.Signals)
		}
	})
	for name, tt := range map[string]struct{ signals, want string }{
		"nothing at all": {"{name: none, source: query, query: sum(no_such), target: 10}", "nothing was recorded of any signal; none: sum(no_such) returns nothing in that time"},
		"two series":     {"{name: rps, source: query, query: rps, target: 10}", "signal rps: rps returns 2 series where one is meant"},
		"a bad query":    {"{name: rps, source: query, query: 'rps[5m]', target: 10}", "signal rps: rps[5m]: invalid expression type"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := fetch(t, tt.signals); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// More steps than one answer may have are asked for in parts.
func TestALongTimeIsReadInParts(t *testing.T) {
	begin := time.Now().Add(-3 * time.Hour).Truncate(time.Hour).UTC()
	store, err := history.Open(prometheus(t, recorded(begin)))
	if err != nil {
		t.Fatal(err)
	}
	span := history.Over(begin.Add(-8*time.Hour), begin.Add(30*time.Minute), 2*time.Second)
	if span.Steps != 15300 {
		t.Fatalf("%d steps", span.Steps)
	}
	h, err := store.Fetch(t.Context(), history.Ask{App: app(t, "{name: rps, source: query, query: sum(rps), target: 10}"), Span: span})
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for _, v := range h.Lanes[0].Load.Values {
		if v == 100 {
			known++
		}
	}
	// Half an hour, less three minutes, and more the minute that a sample is good for.
	if known < 835 || known > 850 {
		t.Errorf("%d of the values are known, want 835 to 850", known)
	}
}

func TestAStoreThatIsAwayIsTold(t *testing.T) {
	store, err := history.Open(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Fetch(t.Context(), history.Ask{App: app(t, "{source: cpu, target: 60%}"), Span: history.Over(time.Now().Add(-time.Hour), time.Now(), 0)})
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestAStepFitsTheTime(t *testing.T) {
	for span, want := range map[time.Duration]time.Duration{
		time.Hour: 5 * time.Second, 24 * time.Hour: 5 * time.Second, 3 * 24 * time.Hour: 15 * time.Second,
		7 * 24 * time.Hour: 30 * time.Second, 28 * 24 * time.Hour: time.Minute, 90 * 24 * time.Hour: 5 * time.Minute,
	} {
		end := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
		if got := history.Over(end.Add(-span), end, 0); got.Step != want || !got.To().Equal(end) || got.Steps > 41000 {
			t.Errorf("%v is read by %v, %d of them, want %v", span, got.Step, got.Steps, want)
		}
	}
}
