package doctor

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// serve has an engine answer at a socket.
func serve(t *testing.T, answer http.HandlerFunc) (host string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "plimsoll-doctor-") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: answer}}
	s.Start()
	t.Cleanup(s.Close)
	return "unix://" + socket
}

func TestAnEngineIsAskedAndItsSilenceHasAReason(t *testing.T) {
	root := write(t, v1(nil))
	at := func(host string) Finding {
		return find(t, "discover", "engine", Options{Discover: discover.Options{CgroupRoot: root, DockerHost: host}})
	}
	expect(t, at(""), Off, "--docker.host is empty", "")
	expect(t, at("unix:///no/such/docker.sock"), Missing, "no such file", "docker run -v /var/run/docker.sock:/no/such/docker.sock")
	old := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Version":"1.9.1","ApiVersion":"1.21"}`))
	})
	expect(t, at(old), Limited, "API 1.21", "API 1.24")
	proxied := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/version") {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"Version":"28.5.2","ApiVersion":"1.51"}`))
	})
	expect(t, at(proxied), Limited, "not all it is asked", "GET /events")
	forbidden := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	expect(t, at(forbidden), Missing, "403", "node:")

	expect(t, at(engineAt(t, nil)), OK, "version 28.5.2, API 1.51", "")

	left := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	expect(t, at("unix://"+left), Missing, "refused", "start Docker")
}

// engineAt is an engine without containers that does something before it answers.
func engineAt(t *testing.T, before func(r *http.Request)) (host string) {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if before != nil {
			before(r)
		}
		engine28(w, r)
	})
}

// engine28 answers as version 28 does.
func engine28(w http.ResponseWriter, r *http.Request) {
	switch path.Base(r.URL.Path) {
	case "version":
		_, _ = w.Write([]byte(`{"Version":"28.5.2","ApiVersion":"1.51"}`))
	case "_ping":
		w.Header().Set("Api-Version", "1.51")
	case "json":
		_, _ = w.Write([]byte("[]"))
	case "events":
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// Busy as it may be, it refuses nothing.
func TestAnEngineThatIsSlowIsNotTakenForOneThatRefuses(t *testing.T) {
	root := write(t, v1(map[string]string{"pids" + container + "/cgroup.procs": ""})) // which nobody names
	for _, slow := range []string{"events", "containers/json"} {
		surveyed := make(chan struct{}) // the check comes after it, and asks for the version first
		var once sync.Once
		host := engineAt(t, func(r *http.Request) {
			switch {
			case r.URL.Path == "/version":
				once.Do(func() { close(surveyed) })
			case strings.HasSuffix(r.URL.Path, slow):
				select {
				case <-surveyed:
				case <-r.Context().Done():
				}
			}
		})
		f := find(t, "discover", "engine", Options{Discover: discover.Options{CgroupRoot: root, DockerHost: host}})
		expect(t, f, OK, "not when it was asked first", "")
	}
}

// An engine that has just been started refuses a little.
func TestAnEngineThatComesToItsSensesIsWell(t *testing.T) {
	var ready atomic.Bool
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			ready.Store(true)
		}
		if !ready.Load() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		engine28(w, r)
	})
	f := find(t, "discover", "engine", Options{Discover: discover.Options{CgroupRoot: write(t, v1(nil)), DockerHost: host}})
	expect(t, f, OK, "not when it was asked first", "")
}

// When the time is over, discovery must not have left the engine by the time that
// it is asked whether it has one.
func TestWhatALookHasSeenIsToldBeforeItEnds(t *testing.T) {
	host := engineAt(t, nil)
	opts := discover.Options{CgroupRoot: write(t, v1(nil)), DockerHost: host}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stats, _, err := look(ctx, opts, func(w *discover.Watcher) bool {
		if w.Stats().EngineConnected {
			cancel()
			for end := time.Now().Add(300 * time.Millisecond); w.Stats().EngineConnected && time.Now().Before(end); {
				<-time.After(time.Millisecond) // time enough to leave
			}
		}
		return false
	})
	if err != nil || !stats.EngineConnected {
		t.Errorf("%+v, %v; want an engine that is connected", stats, err)
	}
}

// An engine that accepts and says nothing is the worst: it costs its own line, in
// time.
func TestAnEngineThatHangsCostsItsOwnLine(t *testing.T) {
	hang := make(chan struct{})
	host := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	defer close(hang)
	const limit = 3 * time.Second // the checks of the rest have it, too
	began := time.Now()
	findings := Run(t.Context(), Options{
		Discover: discover.Options{CgroupRoot: write(t, v1(nil)), DockerHost: host},
		Limit:    limit, DataPath: t.TempDir(),
	})
	if took := time.Since(began); took > 5*limit {
		t.Errorf("it took %v", took)
	}
	for _, f := range findings {
		switch f.Source + " " + f.Check {
		case "discover engine":
			expect(t, f, Missing, "deadline", "does not answer")
		case "cgroup root", "agent spool":
			if f.Status != OK {
				t.Errorf("an engine that hangs costs %+v", f)
			}
		}
	}
}
