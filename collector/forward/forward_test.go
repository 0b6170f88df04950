package forward

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

func TestWhatIsStoredReachesTheTarget(t *testing.T) {
	for name, version := range map[string]string{"version 1": version1, "version 2": message2} {
		t.Run(name, func(t *testing.T) {
			tg := newTarget(t, 24*time.Hour)
			r := start(t, Options{Dir: t.TempDir()}, configured(t, "global: {external_labels: {cluster: a, node: none}}\n"+quick(tg.server.URL, version+`
  write_relabel_configs:
  - {source_labels: [name], regex: secret.*, action: drop}
  - {target_label: team, replacement: web}`)))
			ls := append(container(1300, "c"), container(10, "secret")...)
			now := time.Now().Truncate(time.Second).UnixMilli()
			for tick := range int64(5) {
				hand(t, r.Forwarder, now-10_000+1000*tick, ls, valued(len(ls), float64(tick)))
			}
			hand(t, r.Forwarder, now-3600_000, ls[:700], valued(700, -1)) // an agent's backlog
			e := r.drained(t)
			if e.Sent != 5*1300+700 || e.Filtered != 50 || len(e.Dropped) != 0 || e.Failing {
				t.Errorf("%+v", e)
			}
			if n := tg.count(); n != 5*1300+700 {
				t.Errorf("%d samples at the target, want %d", n, 5*1300+700)
			}
			points := tg.samples()[`{__name__="container_memory_usage_bytes", cluster="a", name="c3", node="n1", team="web"}`]
			if points[now-3600_000] != -1+0.75 || points[now-6_000] != 4.75 || len(points) != 6 {
				t.Errorf("c3 has %v", points)
			}
		})
	}
}

func TestATargetThatWasAwayGetsItAll(t *testing.T) {
	tg := newTarget(t, 24*time.Hour)
	addr := tg.server.URL
	tg.answers(func(n int, _ []byte, w http.ResponseWriter, _ *http.Request) bool {
		switch {
		case n <= 3:
			http.Error(w, "no room", http.StatusInternalServerError)
		case n <= 6:
			w.Header().Set("Retry-After", "0")
			http.Error(w, "slow down", http.StatusTooManyRequests)
		case n <= 8:
			http.Error(w, "who are you", http.StatusUnauthorized)
		case n == 9:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			return false
		}
		return true
	})
	var log lockedBuffer
	r := start(t, Options{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}, configured(t, quick(addr, version1)))
	ls := container(400, "c")
	now := time.Now().UnixMilli()
	for tick := range int64(20) {
		hand(t, r.Forwarder, now-20_000+1000*tick, ls, valued(400, float64(tick)))
	}
	e := r.drained(t)
	if e.Sent != 8000 || len(e.Dropped) != 0 || e.Retries < 9 || tg.count() != 8000 {
		t.Errorf("%d at the target: %+v", tg.count(), e)
	}
	if n := strings.Count(log.String(), "they wait in the spool"); n == 0 || n > 9 {
		t.Errorf("said %d times that samples wait: %s", n, log.String())
	}
}

func TestASlowTargetIsAskedAgain(t *testing.T) {
	tg := newTarget(t, time.Hour)
	tg.answers(func(n int, _ []byte, _ http.ResponseWriter, r *http.Request) bool {
		if n <= 2 {
			<-r.Context().Done() // until the sender gives up
		}
		return n <= 2
	})
	r := start(t, Options{Dir: t.TempDir()}, configured(t, quick(tg.server.URL, version1+"\n  remote_timeout: 50ms")))
	hand(t, r.Forwarder, time.Now().UnixMilli(), container(10, "c"), valued(10, 1))
	if e := r.drained(t); e.Sent != 10 || e.Retries < 2 || !strings.Contains(e.LastError, "deadline") {
		t.Errorf("%+v", e)
	}
}

// Prometheus takes back a whole request of version 1 for one bad sample.
func TestOneBadSampleCostsItselfAlone(t *testing.T) {
	tg := newTarget(t, 0) // takes nothing out of order
	r := start(t, Options{Dir: t.TempDir()}, configured(t, quick(tg.server.URL, version1)))
	ls := container(400, "c")
	now := time.Now().UnixMilli()
	hand(t, r.Forwarder, now, ls[123:124], valued(1, 0))
	r.drained(t)
	hand(t, r.Forwarder, now-1000, ls, valued(400, 1))
	e := r.drained(t)
	if e.Dropped["http_400"] != 1 || e.Sent != 400 || tg.count() != 400 {
		t.Errorf("%d at the target: %+v", tg.count(), e)
	}
	if n := tg.asked(); n > 30 {
		t.Errorf("%d requests for one bad sample", n)
	}
}

// What is sent after the bad sample, while that is searched for, must not be
// older than what the target has taken meanwhile.
func TestABadSampleDoesNotCostItsOwnSeriesTheRest(t *testing.T) {
	tg := newTarget(t, 0) // takes nothing out of order
	now := time.Now().UnixMilli()
	dir, cfg, ls := t.TempDir(), configured(t, quick(tg.server.URL, version1)), container(1, "c")
	first := start(t, Options{Dir: dir}, cfg)
	hand(t, first.Forwarder, now, ls, valued(1, 0))
	first.drained(t)
	first.stop()

	f, err := Open(Options{Dir: dir}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(500) { // a batch
		hand(t, f, now+i-1, ls, valued(1, float64(max(i-1, 0)))) // the first is too old, the second is there already
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	e := start(t, Options{Dir: dir}, cfg).drained(t)
	if e.Dropped["http_400"] != 1 || e.Sent != 499 || tg.count() != 499 {
		t.Errorf("%d at the target: %+v", tg.count(), e)
	}
}

func TestATargetThatRefusesEverythingIsNotAskedForever(t *testing.T) {
	tg := newTarget(t, 0)
	tg.answers(func(_ int, _ []byte, w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "not today", http.StatusBadRequest)
		return true
	})
	var log lockedBuffer
	r := start(t, Options{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}, configured(t, quick(tg.server.URL, version1)))
	now := time.Now().UnixMilli()
	for i := range int64(20) {
		hand(t, r.Forwarder, now+i, container(500, "c"), valued(500, 1))
	}
	e := r.drained(t)
	if e.Dropped["http_400"] != 10_000 || e.Sent != 0 {
		t.Errorf("%+v", e)
	}
	if n := tg.asked(); n > 100 {
		t.Errorf("%d requests for 20 batches", n)
	}
	if n := strings.Count(log.String(), "target refuses samples"); n == 0 || n > 3 {
		t.Errorf("said so %d times", n)
	}
}

func TestWhatATargetOfVersion2LeavesOutIsCounted(t *testing.T) {
	tg := newTarget(t, 0)
	r := start(t, Options{Dir: t.TempDir()}, configured(t, quick(tg.server.URL, message2)))
	ls := container(400, "c")
	now := time.Now().UnixMilli()
	hand(t, r.Forwarder, now, ls[:3], valued(3, 0))
	r.drained(t)
	hand(t, r.Forwarder, now-1000, ls, valued(400, 1)) // three of them are out of order
	e := r.drained(t)
	if e.Dropped["http_400"] != 3 || e.Sent != 400 || tg.count() != 400 || tg.asked() != 2 {
		t.Errorf("%d at the target after %d requests: %+v", tg.count(), tg.asked(), e)
	}
}

func TestATargetThatDoesNotConfirmVersion2IsNotBelieved(t *testing.T) {
	tg := newTarget(t, 0)
	tg.answers(func(_ int, _ []byte, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNoContent)
		return true
	})
	var log lockedBuffer
	r := start(t, Options{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}, configured(t, quick(tg.server.URL, message2)))
	hand(t, r.Forwarder, time.Now().UnixMilli(), container(7, "c"), valued(7, 0))
	if e := r.drained(t); e.Dropped[reasonUnconfirmed] != 7 || e.Sent != 0 || !strings.Contains(log.String(), "protobuf_message") {
		t.Errorf("%+v, said %s", e, log.String())
	}
}

func TestSamplesOverTheEndpointsAgeAreDroppedAndCounted(t *testing.T) {
	tg := newTarget(t, 24*time.Hour)
	r := start(t, Options{Dir: t.TempDir()}, configured(t, quick(tg.server.URL, ", sample_age_limit: 1h}")))
	ls := container(10, "c")
	now := time.Now().UnixMilli()
	hand(t, r.Forwarder, now-7200_000, ls, valued(10, 0))
	hand(t, r.Forwarder, now, ls, valued(10, 0))
	if e := r.drained(t); e.Dropped[reasonAge] != 10 || e.Sent != 10 || tg.count() != 10 {
		t.Errorf("%d at the target: %+v", tg.count(), e)
	}
}

// A sample that arrives twice is no harm; one that overtakes another is.
func TestASeriesKeepsItsOrderOnManyShards(t *testing.T) {
	tg := newTarget(t, 0)
	last := map[string]int64{}
	atOnce, most, two := 0, 0, make(chan struct{})
	tg.answers(func(n int, body []byte, w http.ResponseWriter, _ *http.Request) bool {
		tg.mu.Lock()
		if atOnce++; atOnce > most {
			if most = atOnce; most == 2 {
				close(two)
			}
		}
		tg.mu.Unlock()
		defer func() {
			tg.mu.Lock()
			atOnce--
			tg.mu.Unlock()
		}()
		<-two // the first request waits for another beside it
		if n%7 == 0 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return true
		}
		tg.mu.Lock()
		defer tg.mu.Unlock()
		for _, ts := range decode1(t, body).Timeseries {
			for _, s := range ts.Samples {
				if key := ts.Labels[1].Value; s.Timestamp < last[key] {
					t.Errorf("%s: %d after %d", key, s.Timestamp, last[key])
				} else {
					last[key] = s.Timestamp
				}
			}
		}
		return false
	})
	r := start(t, Options{Dir: t.TempDir()}, configured(t, quick(tg.server.URL, ", min_shards: 4}")))
	ls := container(1000, "c")
	for tick := range int64(40) {
		hand(t, r.Forwarder, 1_700_000_000_000+tick, ls, valued(1000, float64(tick)))
	}
	e := r.drained(t)
	if tg.count() != 40_000 || len(e.Dropped) != 0 {
		t.Errorf("%d at the target: %+v", tg.count(), e)
	}
	if most > 4 {
		t.Errorf("%d requests at once, want 4 at most", most)
	}
}

func TestARestartGoesOnWhereItStopped(t *testing.T) {
	tg := newTarget(t, time.Hour)
	dir := t.TempDir()
	cfg := configured(t, quick(tg.server.URL, version1))
	r := start(t, Options{Dir: dir}, cfg)
	ls := container(10, "c")
	now := time.Now().UnixMilli()
	hand(t, r.Forwarder, now, ls, valued(10, 0))
	r.drained(t)
	r.stop()
	asked := tg.asked()
	r = start(t, Options{Dir: dir}, cfg)
	hand(t, r.Forwarder, now+1, ls, valued(10, 0))
	if e := r.drained(t); e.Sent != 10 || tg.count() != 20 || tg.asked() != asked+1 {
		t.Errorf("%d at the target after %d more requests: %+v", tg.count(), tg.asked()-asked, e)
	}
}

func TestAnEndpointThatIsAwayHoldsNoOtherBack(t *testing.T) {
	tg := newTarget(t, time.Hour)
	r := start(t, Options{Dir: t.TempDir()}, configured(t, quick(tg.server.URL, version1)+`
- {url: 'http://127.0.0.1:1/write', name: gone, queue_config: {min_backoff: 1ms, max_backoff: 10ms, batch_send_deadline: 1ms}}`))
	for i := range int64(10) {
		hand(t, r.Forwarder, time.Now().UnixMilli()+i, container(100, "c"), valued(100, 0))
	}
	if e := r.drained(t); e.Sent != 1000 {
		t.Errorf("%+v", e)
	}
	eventually(t, "a failure", func() bool { return r.Status()[1].Failing })
	if gone := r.Status()[1]; gone.Pending != 1000 || gone.Lag <= 0 || !strings.Contains(gone.LastError, "refused") {
		t.Errorf("%+v", gone)
	}
}

func TestAReloadTakesEndpointsInAndOut(t *testing.T) {
	one, two := newTarget(t, time.Hour), newTarget(t, time.Hour)
	r := start(t, Options{Dir: t.TempDir()}, configured(t, quick(one.server.URL, version1)))
	ls := container(10, "c")
	now := time.Now().UnixMilli()
	hand(t, r.Forwarder, now, ls, valued(10, 0))
	r.drained(t)
	other := strings.Replace(quick(two.server.URL, version1), "name: target", "name: other", 1)
	if err := r.Reload(configured(t, other)); err != nil {
		t.Fatal(err)
	}
	hand(t, r.Forwarder, now+1, ls, valued(10, 0))
	eventually(t, "samples at the second target", func() bool { return r.Status()[0].Pending == 0 && two.count() >= 10 })
	if n := one.count(); n != 10 {
		t.Errorf("the first target has %d samples, want the 10 from before", n)
	}
	bad := configured(t, other)
	bad.Endpoints[0].HTTPClientConfig.TLSConfig.CAFile = "/nonexistent/ca.pem"
	if err := r.Reload(bad); err == nil {
		t.Error("a configuration that cannot be used was taken")
	}
	if err := r.Reload(Config{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no endpoints", func() bool { return len(r.Status()) == 0 })
	hand(t, r.Forwarder, now+2, ls, valued(10, 0)) // for nobody
	if b := r.spool.Stats().Appended; b != 20 {
		t.Errorf("%d samples were spooled, want 20", b)
	}
}

func TestMetadataIsSentWithEitherVersion(t *testing.T) {
	known := func(metric string) Metric {
		switch metric {
		case "container_memory_usage_bytes":
			return Metric{Type: "gauge", Help: "Memory in use.", Unit: "bytes"}
		case "latency_seconds":
			return Metric{Type: "histogram", Help: "How long it takes."}
		}
		return Metric{}
	}
	tg := newTarget(t, time.Hour)
	r := start(t, Options{Dir: t.TempDir(), Metadata: known}, configured(t, quick(tg.server.URL, version1)))
	hand(t, r.Forwarder, time.Now().UnixMilli(), []labels.Labels{
		container(1, "c")[0], labels.FromStrings("__name__", "latency_seconds_bucket", "le", "1"), labels.FromStrings("__name__", "unknown"),
	}, valued(3, 1))
	r.drained(t)
	eventually(t, "metadata", func() bool {
		tg.mu.Lock()
		defer tg.mu.Unlock()
		return len(tg.metadata) > 0
	})
	tg.mu.Lock()
	defer tg.mu.Unlock()
	if m := tg.metadata["container_memory_usage_bytes"]; m.Help != "Memory in use." || m.Unit != "bytes" || m.Type.String() != "GAUGE" {
		t.Errorf("%+v", m)
	}
	if m := tg.metadata["latency_seconds"]; m.Type.String() != "HISTOGRAM" || len(tg.metadata) != 2 {
		t.Errorf("%+v", tg.metadata)
	}
}

// Nothing that anybody can see shows what is secret.
func TestSecretsAreNeverShown(t *testing.T) {
	const canary = "SECRET-CANARY"
	var log lockedBuffer
	text := fmt.Sprintf(`remote_write:
- url: http://user:%[1]s@127.0.0.1:1/write?token=%[1]s
  headers: {X-Token: %[1]s}
  queue_config: {min_backoff: 1ms, max_backoff: 10ms, batch_send_deadline: 1ms}
- url: http://127.0.0.1:1/bearer?token=%[1]s
  authorization: {credentials: %[1]s}
  queue_config: {min_backoff: 1ms, max_backoff: 10ms, batch_send_deadline: 1ms}
- url: http://127.0.0.1:1/basic
  basic_auth: {username: u, password: %[1]s}
  queue_config: {min_backoff: 1ms, max_backoff: 10ms, batch_send_deadline: 1ms}
- url: http://127.0.0.1:1/oauth
  oauth2: {client_id: me, client_secret: %[1]s, token_url: 'http://127.0.0.1:1/token?x=%[1]s'}
  queue_config: {min_backoff: 1ms, max_backoff: 10ms, batch_send_deadline: 1ms}
`, canary)
	r := start(t, Options{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, configured(t, text))
	hand(t, r.Forwarder, time.Now().UnixMilli(), container(1, "c"), valued(1, 1))
	for i := range r.Status() {
		eventually(t, "a failure", func() bool { return r.Status()[i].Retries > 1 })
	}
	shown := fmt.Sprintf("%+v\n%s\n", r.Status(), log.String())
	for _, broken := range []string{
		"remote_write:\n- url: 'http://u:" + canary + "@ho st/'\n",
		"remote_write:\n- url: http://u:pass@" + canary + ":port\n",
		"remote_write:\n- {url: http://x/, basic_auth: {username: u, password: " + canary + "}, authorization: {credentials: " + canary + "}}\n",
		"remote_write:\n- {url: http://x/, headers: " + canary + "}\n",
		"remote_write:\n- {url: http://x/, authorization: " + canary + "}\n",
	} {
		_, problems := parse("f", []byte(broken))
		if len(problems) == 0 {
			t.Errorf("accepted: %s", broken)
		}
		shown += problems.Error() + "\n"
	}
	if i := strings.Index(shown, canary); i >= 0 {
		t.Errorf("shown: …%s…", shown[max(0, i-200):i+len(canary)])
	}
}

// lockedBuffer is a buffer that several goroutines write to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
