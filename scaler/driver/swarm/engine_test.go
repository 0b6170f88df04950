package swarm

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/drivertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// untagged names an image without a tag, which a careless client spoils.
const untagged = "plimsoll/untagged"

var (
	web   = driver.Workload{Namespace: "shop", Name: "web"}
	watch = driver.Workload{Namespace: "shop", Name: "watch"}
)

// TestRealEngine runs everything that needs a manager against one engine. No
// case asks for more than five replicas: a manager obeys any number.
func TestRealEngine(t *testing.T) {
	e := engine.Start(t)
	e.Swarm()
	e.Docker("tag", engine.Image, untagged)
	create(t, e, web, `"Replicated":{"Replicas":1}`)
	create(t, e, watch, `"Global":{}`)

	s, err := New(Options{Host: e.Host()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })

	drivertest.Run(t, drivertest.Platform{
		Driver:   s,
		Workload: web,
		Fixed:    watch,
		Replicas: func(t *testing.T) []string { return running(e, web) },
		Patience: time.Minute,
	})
	t.Run("a scale leaves the task template alone", func(t *testing.T) { keepsTemplate(t, e, s) })
	t.Run("a version that went stale on the way is a conflict", func(t *testing.T) { staleOnTheWay(t, s) })
	t.Run("the beginning of an id names nothing", func(t *testing.T) { idPrefix(t, s) })
	t.Run("the list tells what every service was asked for", func(t *testing.T) { lists(t, s) })
	t.Run("a node that is no manager says so", func(t *testing.T) { noManager(t, e, s) })
}

// create makes a service through the raw API, as the command line would tag the
// image.
func create(t *testing.T, e *engine.Engine, w driver.Workload, mode string) {
	t.Helper()
	spec := `{"Name":"` + serviceName(w) + `","Labels":{"plimsoll.scale.max":"5"},"Mode":{` + mode + `},"TaskTemplate":{"ContainerSpec":{
		"Image":"` + untagged + `","Command":["sleep","3600"],"StopGracePeriod":100000000}}}`
	s, err := New(Options{Host: e.Host()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	api, err := s.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.http.Post(s.base+"/v"+api.ClientVersion()+"/services/create", "application/json", strings.NewReader(spec))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("create service: %s", resp.Status)
	}
}

// running lists the tasks that run, as the command line sees them.
func running(e *engine.Engine, w driver.Workload) []string {
	out := e.Docker("service", "ps", "--no-trunc", "--filter", "desired-state=running", "--format", "{{.ID}} {{.CurrentState}}", serviceName(w))
	var ids []string
	for line := range strings.Lines(out) {
		if id, state, _ := strings.Cut(line, " "); strings.HasPrefix(state, "Running") {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func template(t *testing.T, s *Swarm) string {
	t.Helper()
	_, raw, err := s.inspect(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	var service struct {
		Spec struct{ TaskTemplate json.RawMessage }
	}
	if err := json.Unmarshal(raw, &service); err != nil {
		t.Fatal(err)
	}
	return string(service.Spec.TaskTemplate)
}

func keepsTemplate(t *testing.T, e *engine.Engine, s *Swarm) {
	before := template(t, s)
	if strings.Contains(before, untagged+":latest") {
		t.Fatalf("the image is tagged from the start, the test shows nothing: %s", before)
	}
	for _, n := range []int{2, 3} {
		if err := s.Scale(t.Context(), web, n, "", 0); err != nil {
			t.Fatal(err)
		}
	}
	if after := template(t, s); after != before {
		t.Errorf("task template changed:\nbefore %s\nafter  %s", before, after)
	}
	if out := e.Docker("service", "inspect", "--format", "{{json .UpdateStatus}}", serviceName(web)); strings.TrimSpace(out) != "null" {
		t.Errorf("update status %s: the engine took the scale for a rollout", out)
	}
}

func staleOnTheWay(t *testing.T, s *Swarm) {
	service, raw, err := s.inspect(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := setReplicas(raw, desired(service)%3+1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.update(t.Context(), service.ID, service.Version.Index-1, spec); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("error %v, want ErrConflict", err)
	}
}

func idPrefix(t *testing.T, s *Swarm) {
	services, err := s.services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	short := driver.Workload{Name: services[0].ID[:6]}
	if _, err := s.Status(t.Context(), short); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
}

func lists(t *testing.T, s *Swarm) {
	want, err := s.Status(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	services, err := s.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range services {
		got[one.Name] = one.Desired
		labels := map[string]string{serviceName(web): "5"}[one.Name] // none of what has no number to scale
		if one.Labels["plimsoll.scale.max"] != labels {
			t.Errorf("%s: labels %v", one.Name, one.Labels)
		}
		if one.Ready == nil || *one.Ready < 0 || *one.Ready > 5 {
			t.Errorf("%s: ready %v", one.Name, one.Ready)
		}
	}
	if len(got) != 2 || got[serviceName(web)] != want.Desired || got[serviceName(watch)] != 1 {
		t.Errorf("listed %v; want %s with %d and %s, which is global, with one", got, serviceName(web), want.Desired, serviceName(watch))
	}
}

// noManager comes last: it takes the Swarm apart.
func noManager(t *testing.T, e *engine.Engine, s *Swarm) {
	e.Docker("swarm", "leave", "--force")
	_, err := s.Status(t.Context(), web)
	if err == nil || !strings.Contains(err.Error(), "not a swarm manager") {
		t.Errorf("error %v, want the engine's own words", err)
	}
	if _, err := s.Services(t.Context()); !errors.Is(err, ErrNoManager) {
		t.Errorf("error %v, want ErrNoManager", err)
	}
	away, err := New(Options{Host: "unix:///no/such/engine.sock"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := away.Services(t.Context()); !errors.Is(err, ErrNoManager) {
		t.Errorf("error %v, want ErrNoManager", err)
	}
}
