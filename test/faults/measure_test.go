package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/internal/faults"
)

// measure is a second of work, and what the agents make of it.
func (w *world) measure(t *testing.T, at time.Duration) {
	t.Helper()
	ids := w.platform.Replicas(web)
	ready := w.ready()
	load := w.script.Cores(at)
	each := 0.0
	if ready > 0 {
		each = load / float64(ready)
	}
	missing := 0
	if f, some := w.script.Active(faults.Miss, at); some {
		missing = int(f.Number * float64(len(ids)))
	}
	app := w.db.Appender(context.Background())
	for i, id := range ids {
		work := 0.0
		if i < ready { // the newest are the ones that are not
			work = each
			w.cpu[id] += min(faults.Limit, each) * second.Seconds()
		}
		if i >= missing {
			w.replica(app, at, id, work)
		}
	}
	if ready > 0 && w.signal == faults.Total {
		w.send(app, at, load, "load", "service", "web")
		if f, two := w.script.Active(faults.Two, at); two {
			w.send(app, at, load*f.Number, "load", "service", "web", "instance", "old")
		}
	}
	w.held = slices.DeleteFunc(w.held, func(h held) bool {
		if h.due > at {
			return false
		}
		keep(t, app, h)
		return true
	})
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
}

// replica is what the agent of a replica's node sends of it.
func (w *world) replica(app storage.Appender, at time.Duration, id string, work float64) {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "replica-"))
	if err != nil {
		panic(err) // the fake names them so
	}
	node := nodeName(n % faults.Nodes)
	if w.silent(node, at) {
		return
	}
	name := fmt.Sprintf("/docker/%s-%d", id, w.names)
	of := []string{"node", node, "id", name, "container_label_com_docker_swarm_service_name", "web"}
	switch w.signal {
	case faults.CPU:
		w.send(app, at, w.cpu[id], append([]string{"container_cpu_usage_seconds_total"}, of...)...)
		if at%limits == 0 {
			w.send(app, at, 100_000, append([]string{"container_spec_cpu_quota"}, of...)...)
			w.send(app, at, 100_000, append([]string{"container_spec_cpu_period"}, of...)...)
		}
	case faults.Average:
		w.send(app, at, work, "work_under_way", "service", "web", "node", node, "id", name)
	case faults.Total: // is of all replicas
	}
}

// send is a sample, with what goes wrong on its way. The first of the words is the
// metric's name, the others are labels.
func (w *world) send(app storage.Appender, at time.Duration, v float64, words ...string) {
	if _, gap := w.script.Active(faults.Gap, at); gap {
		return
	}
	spec := strings.HasPrefix(words[0], "container_spec")
	if f, bad := w.script.Active(faults.Value, at); bad && !spec {
		v = f.Number
	}
	h := held{due: at, at: w.begin.Add(at).UnixMilli(), value: v}
	h.labels = labels.FromStrings(append([]string{model.MetricNameLabel}, words...)...)
	if f, stale := w.script.Active(faults.Stale, at); stale {
		h.at = w.begin.Add(f.From).UnixMilli()
	}
	if f, late := w.script.Active(faults.Late, at); late {
		h.due += time.Duration(f.Number) * time.Second
	}
	w.held = append(w.held, h)
	if f, twice := w.script.Active(faults.Duplicate, at); twice && !spec {
		h.value *= f.Number
		w.held = append(w.held, h)
	}
}

// keep stores a sample. What the store does not take is lost, as in life.
func keep(t *testing.T, app storage.Appender, h held) {
	t.Helper()
	_, err := app.Append(0, h.labels, h.at, h.value)
	if err != nil && !errors.Is(err, storage.ErrDuplicateSampleForTimestamp) && !errors.Is(err, storage.ErrOutOfOrderSample) {
		t.Fatalf("append %s %v: %v", h.labels, h.value, err)
	}
}
