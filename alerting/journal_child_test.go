package alerting_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/plimsoll-io/plimsoll/alerting"
)

// childDir, in the environment, makes of this test binary a process that alerts
// and may be killed, on the data in that directory.
const childDir = "PLIMSOLL_TEST_ALERTING_DIR"

// TestProcessToKill is that process.
func TestProcessToKill(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("the other tests run it")
	}
	w := openWorld(t, dir)
	opts := w.options()
	said, err := os.Create(w.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	opts.Log = slog.New(slog.NewTextHandler(said, nil))
	reg := opts.Registerer.(*prometheus.Registry)
	a, err := alerting.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	mux := http.NewServeMux()
	mux.Handle("/api/v2/", a.Handler())
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	// What containers use, which is sampled from then on.
	var mu sync.Mutex
	uses, last := map[string]float64{}, int64(0)
	sample := func(name string) {
		for time.Now().UnixMilli() <= last { // two samples of a series need two times
			runtime.Gosched()
		}
		w.uses(name, uses[name])
		last = time.Now().UnixMilli()
	}
	mux.HandleFunc("POST /uses", func(_ http.ResponseWriter, r *http.Request) {
		value, err := strconv.ParseFloat(r.FormValue("bytes"), 64)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		uses[r.FormValue("name")] = value
		sample(r.FormValue("name"))
	})
	mux.HandleFunc("POST /end", func(http.ResponseWriter, *http.Request) { cancel() })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	var sampling sync.WaitGroup
	sampling.Go(func() {
		tick := time.NewTicker(evaluation)
		defer tick.Stop()
		for ctx.Err() == nil {
			mu.Lock()
			for name := range uses {
				sample(name)
			}
			mu.Unlock()
			<-tick.C
		}
	})
	fmt.Printf("\nlistening on %s\n", listener.Addr())
	if err := a.Run(ctx); err != nil {
		t.Error(err)
	}
	_ = server.Shutdown(context.Background()) // answers the one who ended it
	sampling.Wait()
	http.DefaultClient.CloseIdleConnections()
}

// child is such a process as its parent sees it.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	api string
	up  chan struct{} // closed: api is known, or it is dead
	out chan bool     // whether it has passed
}

// spawn starts a process. It does not wait for it.
func spawn(t *testing.T, dir string) *child {
	t.Helper()
	c := &child{t: t, up: make(chan struct{}), out: make(chan bool, 1)}
	c.cmd = exec.Command(os.Args[0], "-test.run=^TestProcessToKill$", "-test.v")
	c.cmd.Env = append(os.Environ(), childDir+"="+dir, "NO_PROXY=127.0.0.1", "GOMAXPROCS=2")
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stderr = c.cmd.Stdout
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		said, passed := bufio.NewScanner(out), false
		for said.Scan() {
			if address, ok := strings.CutPrefix(said.Text(), "listening on "); ok {
				c.api = "http://" + address
				close(c.up)
			} else if strings.Contains(said.Text(), "_test.go:") || strings.Contains(said.Text(), "panic") {
				t.Errorf("the process says: %s", said.Text())
			}
			passed = passed || strings.HasPrefix(said.Text(), "--- PASS")
		}
		if c.api == "" {
			close(c.up)
		}
		c.out <- passed
	}()
	t.Cleanup(c.kill)
	return c
}

// kill does what no process survives.
func (c *child) kill() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	<-c.up
	_ = c.cmd.Wait()
}

// ready waits until the process answers.
func (c *child) ready() {
	c.t.Helper()
	<-c.up
	if c.api == "" {
		c.t.Fatal("the process ended before it listened")
	}
	c.eventually("the API answers", func() bool {
		code, _ := c.ask(http.MethodGet, "/api/v2/status", "")
		return code == http.StatusOK
	})
}

// eventually waits until something is so. A promise of two minutes is in some of
// what it waits for.
func (c *child) eventually(what string, is func() bool) {
	c.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			c.t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// ask returns 0 if nobody answers.
func (c *child) ask(method, path, body string) (int, string) {
	<-c.up
	if c.api == "" {
		return 0, ""
	}
	r, err := http.NewRequest(method, c.api+path, strings.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(data)
}

// uses tells the process what a container uses. It may not hear it.
func (c *child) uses(name string, bytes float64) bool {
	code, _ := c.ask(http.MethodPost, fmt.Sprintf("/uses?name=%s&bytes=%v", name, bytes), "")
	return code == http.StatusOK
}

// silence returns the ID of a new silence, or nothing if it was not acknowledged.
func (c *child) silence(name string) string {
	code, body := c.ask(http.MethodPost, "/api/v2/silences", fmt.Sprintf(
		`{"matchers":[{"name":"name","value":%q,"isRegex":false}],"createdBy":"t","comment":"c","startsAt":"2026-01-01T00:00:00Z","endsAt":"2126-01-01T00:00:00Z"}`, name))
	var made struct{ SilenceID string }
	if code != http.StatusOK || json.Unmarshal([]byte(body), &made) != nil {
		return ""
	}
	return made.SilenceID
}

// silenceState is active or expired, or nothing if it cannot be known.
func (c *child) silenceState(id string) string {
	code, body := c.ask(http.MethodGet, "/api/v2/silence/"+id, "")
	var s struct{ Status struct{ State string } }
	if code != http.StatusOK || json.Unmarshal([]byte(body), &s) != nil {
		return ""
	}
	return s.Status.State
}

// metric is the sum of a metric of the process.
func (c *child) metric(name string) (sum float64) {
	_, body := c.ask(http.MethodGet, "/metrics", "")
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			fields := strings.Fields(line)
			v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				c.t.Error(err)
			}
			sum += v
		}
	}
	return sum
}

// end lets the process end as it should.
func (c *child) end() {
	c.t.Helper()
	c.ask(http.MethodPost, "/end", "")
	if !<-c.out {
		c.t.Error("the process did not end well")
	}
	_ = c.cmd.Wait() // not well: its connections to the webhook are still open
}

// ledger is a webhook that writes down all it gets.
type ledger struct {
	mu      sync.Mutex
	entries []ledgerEntry
	held    chan struct{} // while not nil, answers wait for it to close
	reached chan message  // gets what waits
	url     string
}

type ledgerEntry struct {
	at      time.Time
	process int // that sent it, if its URL says so
	message
}

func newLedger(t *testing.T) *ledger {
	l := &ledger{reached: make(chan message, 100)}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			return // its sender was killed in the middle of it
		}
		process, err := strconv.Atoi(r.URL.Query().Get("process"))
		if err != nil && r.URL.RawQuery != "" {
			t.Errorf("a message to %v: %v", r.URL, err)
		}
		l.mu.Lock()
		l.entries = append(l.entries, ledgerEntry{time.Now(), process, m})
		held := l.held
		l.mu.Unlock()
		if held != nil {
			l.reached <- m
			select {
			case <-held:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(hook.Close)
	l.url = hook.URL
	return l
}

// of is what was told of a group, by the name of its container, in the order of
// the processes that told it.
func (l *ledger) of(name string) (list []ledgerEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.GroupLabels["name"] == name {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b ledgerEntry) int { return a.process - b.process })
	return list
}

// hold lets what comes wait for its answer until the function that it returns is
// called.
func (l *ledger) hold() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := make(chan struct{})
	l.held = held
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(held)
		l.held = nil
	})
}
