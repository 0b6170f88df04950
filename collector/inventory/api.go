package inventory

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// The paths of the API.
const (
	Prefix         = "/api/plimsoll/v1/inventory/"
	NodesPath      = Prefix + "nodes"
	ContainersPath = Prefix + "containers"
	ServicesPath   = Prefix + "services"
	GPUsPath       = Prefix + "gpus"
	EventsPath     = Prefix + "events"
)

// maxLimit is how many things one answer may have, defaultLimit how many it has
// if nobody says.
const (
	defaultLimit = 1000
	maxLimit     = 20_000
)

// Handler serves what there is, for reading only, in the envelope of Prometheus'
// API: {"status":"success","data":{"as_of":…,"trouble":[…],"total":…,"left_out":…,"items":[…]}}.
//
//	GET /api/plimsoll/v1/inventory/nodes
//	GET /api/plimsoll/v1/inventory/containers
//	GET /api/plimsoll/v1/inventory/services
//	GET /api/plimsoll/v1/inventory/gpus
//	GET /api/plimsoll/v1/inventory/events
//
// ?node= and ?state= select items that have them, ?service= those of a service by
// its name, and ?limit= says how many to give at most. What is not known is null.
// as_of is when the store was last read in full, null if it has not been yet: an
// empty list says nothing then.
func (v *Inventory) Handler() http.Handler {
	mux := http.NewServeMux()
	serve := func(path string, list func(now time.Time, f filter) (items []any, total, leftOut int)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			f, err := parseFilter(r.URL.Query())
			if err != nil {
				send(w, http.StatusBadRequest, map[string]any{"status": "error", "errorType": "bad_data", "error": err.Error()})
				return
			}
			v.answer(w, f, list)
		})
	}
	serve(NodesPath, func(now time.Time, f filter) ([]any, int, int) {
		return pick(f, v.Nodes(), func(n Node) item { return nodeItem(n, now) }, 0)
	})
	serve(ContainersPath, func(now time.Time, f filter) ([]any, int, int) {
		return pick(f, v.Containers(), func(c Container) item { return containerItem(c, now) }, v.tooMany("containers"))
	})
	serve(ServicesPath, func(now time.Time, f filter) ([]any, int, int) {
		return pick(f, v.Services(), func(s Service) item { return serviceItem(s, now) }, v.tooManyServices())
	})
	serve(GPUsPath, func(now time.Time, f filter) ([]any, int, int) {
		return pick(f, v.GPUs(), func(g GPU) item { return gpuItem(g, now) }, v.tooMany("gpus"))
	})
	serve(EventsPath, func(_ time.Time, f filter) ([]any, int, int) {
		return pick(f, v.Events(), func(e Event) item { return item{shown: e, nodes: []string{e.Node}, state: e.Kind} }, 0)
	})
	return mux
}

// filter is what a request asks for.
type filter struct {
	node, state, service string
	limit                int
}

func parseFilter(form url.Values) (filter, error) {
	f := filter{node: form.Get("node"), state: form.Get("state"), service: form.Get("service"), limit: defaultLimit}
	for name := range form {
		if !slices.Contains([]string{"node", "state", "service", "limit"}, name) {
			return f, fmt.Errorf("unknown parameter %q: want node, state, service or limit", name)
		}
	}
	if text := form.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return f, fmt.Errorf("limit %q: want a number from 1 to %d", text, maxLimit)
		}
		f.limit = n
	}
	return f, nil
}

// item is something to be shown, and what requests may select it by.
type item struct {
	shown   any
	nodes   []string
	state   string
	service string
}

func (f filter) wants(i item) bool {
	return (f.node == "" || slices.Contains(i.nodes, f.node)) &&
		(f.state == "" || i.state == f.state) && (f.service == "" || i.service == f.service)
}

// pick is what of a list a request asks for, how many that would be without a
// limit, and how many there was no room for in the first place.
func pick[T any](f filter, list []T, show func(T) item, leftOut int) (items []any, total, over int) {
	items = []any{} // none is [], not null
	for _, one := range list {
		i := show(one)
		if !f.wants(i) {
			continue
		}
		if total++; len(items) < f.limit {
			items = append(items, i.shown)
		}
	}
	return items, total, leftOut
}

func (v *Inventory) answer(w http.ResponseWriter, f filter, list func(time.Time, filter) ([]any, int, int)) {
	items, total, leftOut := list(v.opts.Now(), f)
	v.mu.Lock()
	data := map[string]any{
		"as_of": optional(v.read), "trouble": append([]string{}, v.trouble...),
		"total": total, "left_out": leftOut, "items": items,
	}
	for _, d := range v.declared {
		if d.problem != "" {
			data["trouble"] = append(data["trouble"].([]string), d.problem)
		}
	}
	v.mu.Unlock()
	send(w, http.StatusOK, map[string]any{"status": "success", "data": data})
}

func (v *Inventory) tooMany(kind string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.leftOut[kind]
}

func (v *Inventory) tooManyServices() (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for platform := range v.declared {
		n += v.leftOut["services of "+platform]
	}
	return n
}

// optional is a time that is not known if it is zero.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// age is how long ago something was, in seconds; nil if it is not known when.
func age(t, now time.Time) Seconds {
	if t.IsZero() {
		return nil
	}
	s := seen(t, now).Seconds()
	return &s
}

func send(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n')) // the client left; nobody to tell
}
