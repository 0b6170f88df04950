package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dockerswarm "github.com/docker/docker/api/types/swarm"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
)

// manager answers as an engine does, from what it holds, and counts its requests.
type manager struct {
	services []dockerswarm.Service
	tasks    []dockerswarm.Task
	events   chan string
	down     atomic.Bool // behind a proxy that answers in its place

	mu    sync.Mutex
	asked map[string]int
}

func (m *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.down.Load() {
		http.Error(w, "no engine here", http.StatusBadGateway)
		return
	}
	path := r.URL.Path
	if strings.HasPrefix(path, "/v1.") {
		path = path[strings.Index(path[1:], "/")+1:]
	}
	m.mu.Lock()
	m.asked[path]++
	m.mu.Unlock()
	w.Header().Set("Api-Version", "1.43")
	switch path {
	case "/services":
		_ = json.NewEncoder(w).Encode(m.services)
	case "/tasks":
		var by struct{ Service map[string]bool }
		if err := json.Unmarshal([]byte(r.URL.Query().Get("filters")), &by); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var of []dockerswarm.Task
		for _, t := range m.tasks {
			if by.Service[t.ServiceID] {
				of = append(of, t)
			}
		}
		_ = json.NewEncoder(w).Encode(of)
	case "/events":
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case text, open := <-m.events:
				if !open {
					return
				}
				_, _ = io.WriteString(w, text)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	case "/_ping":
	default:
		http.NotFound(w, r)
	}
}

// serve starts a manager and a driver that speaks to it.
func serve(tb testing.TB, m *manager) *Swarm {
	tb.Helper()
	m.asked = map[string]int{}
	server := httptest.NewServer(m)
	tb.Cleanup(server.Close)
	s, err := New(Options{Host: "tcp://" + server.Listener.Addr().String()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// service runs so many replicas of those it is to have.
func service(name string, desired, running uint64) dockerswarm.Service {
	var s dockerswarm.Service
	s.ID, s.Spec.Name, s.Version.Index = "id-"+name, name, 12
	s.Spec.Mode.Replicated = &dockerswarm.ReplicatedService{Replicas: &desired}
	s.ServiceStatus = &dockerswarm.ServiceStatus{RunningTasks: running, DesiredTasks: desired}
	return s
}

func TestOneListSaysWhatIsKnownOfEach(t *testing.T) {
	global, updating, old := service("global", 1, 1), service("updating", 3, 3), service("old", 2, 2)
	global.Spec.Mode = dockerswarm.ServiceMode{Global: &dockerswarm.GlobalService{}}
	updating.UpdateStatus = &dockerswarm.UpdateStatus{State: dockerswarm.UpdateStateUpdating}
	old.ServiceStatus = nil // an engine before 20.10
	m := &manager{services: []dockerswarm.Service{service("calm", 3, 3), service("starting", 3, 1), service("leaving", 2, 4), global, updating, old}}
	add := func(service string, tasks ...dockerswarm.Task) {
		for _, one := range tasks {
			one.ServiceID = "id-" + service
			m.tasks = append(m.tasks, one)
		}
	}
	run := dockerswarm.TaskStateRunning
	now := func(slot int, state dockerswarm.TaskState) dockerswarm.Task {
		one := ended(slot, state, 0)
		one.Status.Timestamp = time.Now()
		return one
	}
	add("starting", task(1, run), task(2, dockerswarm.TaskStatePending), now(3, dockerswarm.TaskStateFailed), now(3, dockerswarm.TaskStateFailed), task(3, dockerswarm.TaskStateReady))
	add("leaving", task(1, run), task(2, run), now(3, run), now(4, run))
	add("updating", task(1, run), task(2, run), task(3, dockerswarm.TaskStateStarting))
	add("old", task(1, run), task(2, run))
	s := serve(t, m)

	ws := []driver.Workload{{Name: "calm"}, {Name: "starting"}, {Name: "leaving"}, {Name: "global"}, {Name: "updating"}, {Name: "old"}, {Name: "gone"}}
	got, err := s.StatusAll(t.Context(), ws)
	if err != nil || len(got) != len(ws) {
		t.Fatalf("%d replies, error %v", len(got), err)
	}
	for i, want := range []driver.Reply{
		{Status: driver.Status{Desired: 3, Ready: 3, Rev: "12"}},
		{Status: driver.Status{Desired: 3, Ready: 1, Starting: 1, Pending: 1, Failing: 1, Rev: "12"}},
		{Status: driver.Status{Desired: 2, Ready: 2, Rev: "12"}},
		{Err: driver.ErrRefused},
		{Status: driver.Status{Desired: 3, Ready: 2, Starting: 1, Updating: true, Rev: "12"}},
		{Status: driver.Status{Desired: 2, Ready: 2, Rev: "12"}},
		{Err: driver.ErrNotFound},
	} {
		if got[i].Status != want.Status || !errors.Is(got[i].Err, want.Err) {
			t.Errorf("%s: %+v, want %+v", ws[i].Name, got[i], want)
		}
	}
	if m.asked["/services"] != 1 || m.asked["/tasks"] != 1 {
		t.Errorf("asked %v, want one list of services and one of tasks", m.asked)
	}
}

func TestTheTasksOfManyServicesAreAskedForInParts(t *testing.T) {
	m := &manager{}
	var ws []driver.Workload
	for i := range 2*mostTasks + 50 {
		name := fmt.Sprint("service-", i)
		m.services = append(m.services, service(name, 2, 1))
		one := task(1, dockerswarm.TaskStateRunning)
		one.ServiceID = "id-" + name
		m.tasks = append(m.tasks, one)
		ws = append(ws, driver.Workload{Name: name})
	}
	s := serve(t, m)
	got, err := s.StatusAll(t.Context(), ws)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range got {
		if r.Err != nil || r.Status.Desired != 2 || r.Status.Ready != 1 {
			t.Fatalf("%s: %+v", ws[i].Name, r)
		}
	}
	if m.asked["/tasks"] != 3 {
		t.Errorf("tasks asked for %d times, want in three parts", m.asked["/tasks"])
	}
}

func TestAManagerThatIsGoneSaysNothingOfAny(t *testing.T) {
	s, err := New(Options{Host: "unix:///nonexistent/engine.sock"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.StatusAll(t.Context(), []driver.Workload{web}); err == nil || got != nil {
		t.Errorf("replies %v, error %v; want an error", got, err)
	}
}

func TestChangesOfServicesAndNodesAreHeard(t *testing.T) {
	m := &manager{events: make(chan string)}
	s := serve(t, m)
	heard := make(chan driver.Workload, 10)
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(t.Context(), func(w driver.Workload) { heard <- w }) }()
	next := func(what string, want driver.Workload) {
		t.Helper()
		select {
		case got := <-heard:
			if got != want {
				t.Errorf("%s: heard %+v, want %+v", what, got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: nothing heard", what)
		}
	}
	next("at the beginning", driver.Workload{})
	m.events <- `{"Type":"service","Action":"update","Actor":{"ID":"x","Attributes":{"name":"shop_web","replicas.new":"3"}},"scope":"swarm"}`
	next("a service", driver.Workload{Name: "shop_web"})
	m.events <- `{"Type":"node","Action":"update","Actor":{"ID":"y","Attributes":{"name":"n1","availability.new":"drain"}},"scope":"swarm"}`
	next("a node", driver.Workload{})
	close(m.events)
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error though nothing is heard any more")
		}
	case <-time.After(time.Minute):
		t.Error("still listening to a manager that hung up")
	}
}

func TestListeningEndsWithItsContext(t *testing.T) {
	s := serve(t, &manager{events: make(chan string)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(ctx, func(driver.Workload) { cancel() }) }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("still listening")
	}
}

// The race detector is the judge.
func TestWhoListensAndWhoAsksMayBeginAtOnce(t *testing.T) {
	s := serve(t, &manager{services: []dockerswarm.Service{service("web", 1, 1)}, events: make(chan string)})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { _ = s.Watch(ctx, func(driver.Workload) {}) })
		all.Go(func() {
			if _, err := s.StatusAll(t.Context(), []driver.Workload{web}); err != nil {
				t.Error(err)
			}
		})
	}
	_, err := s.Services(t.Context())
	cancel()
	all.Wait()
	if err != nil {
		t.Error(err)
	}
}

func TestAnEngineIsSpokenToOnceItHasSaidItsVersion(t *testing.T) {
	m := &manager{services: []dockerswarm.Service{service("web", 1, 1)}}
	s := serve(t, m)
	m.down.Store(true)
	if _, err := s.StatusAll(t.Context(), []driver.Workload{web}); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("error %v, want that the version is not known", err)
	}
	m.down.Store(false)
	for range 2 {
		if _, err := s.StatusAll(t.Context(), []driver.Workload{web}); err != nil {
			t.Error(err)
		}
	}
	if m.asked["/_ping"] != 1 {
		t.Errorf("asked for its version %d times, want once", m.asked["/_ping"])
	}
}

// BenchmarkStatusAll lists 2,000 calm services of the usual size.
func BenchmarkStatusAll(b *testing.B) {
	var one dockerswarm.Service
	if err := json.Unmarshal(fixture(b, "replicated.json"), &one); err != nil {
		b.Fatal(err)
	}
	m := &manager{}
	var ws []driver.Workload
	n := uint64(desired(one))
	for i := range 2000 {
		s := one
		s.ID, s.Spec.Name = fmt.Sprint("id-", i), fmt.Sprint("service-", i)
		s.ServiceStatus = &dockerswarm.ServiceStatus{RunningTasks: n, DesiredTasks: n}
		m.services = append(m.services, s)
		ws = append(ws, driver.Workload{Name: s.Spec.Name})
	}
	text, err := json.Marshal(m.services)
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/services") {
			_, _ = w.Write(text)
		}
	}))
	b.Cleanup(server.Close)
	s, err := New(Options{Host: "tcp://" + server.Listener.Addr().String()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if got, err := s.StatusAll(b.Context(), ws); err != nil || got[1999].Status.Ready != int(n) {
			b.Fatal(err)
		}
	}
}
