package discover

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// How patient we are with an engine: one that accepts and never answers must
// cost no more than one that is not there.
const (
	callLimit  = 5 * time.Second
	checkEvery = 2 * time.Second
	pingEvery  = 10 * time.Second
	listEvery  = 30 * time.Second
	maxBackoff = 5 * time.Second
)

var errSilent = fmt.Errorf("the engine accepts and does not answer within %v", callLimit)

// heard are the events asked for.
var heard = []events.Action{
	events.ActionStart, events.ActionDie, events.ActionOOM, events.ActionDestroy, events.ActionRename, events.ActionHealthStatus,
}

// docker listens to a Docker engine, or to what speaks its API, 1.24 or later.
type docker struct {
	host string
	out  *registry
	log  *slog.Logger

	last time.Time // of the last event heard, by the engine's clock

	connected  atomic.Bool
	reconnects atomic.Uint64 // connections after the first
	failures   atomic.Uint64 // to connect, and of connections
}

// newDocker complains of a host that can be none.
func newDocker(host string, out *registry, log *slog.Logger) (*docker, error) {
	if _, err := client.ParseHostURL(host); err != nil {
		return nil, fmt.Errorf("docker host %q: %w; give an address such as unix:///var/run/docker.sock", host, err)
	}
	return &docker{host: host, out: out, log: log.With("host", host)}, nil
}

// run listens until ctx ends, and tries again whenever there is nobody to
// listen to. That is said once, not at each try.
func (d *docker) run(ctx context.Context) error {
	first, said, tries := true, false, 0
	for ctx.Err() == nil {
		err := d.session(ctx, func() {
			if !first {
				d.reconnects.Add(1)
			}
			d.connected.Store(true) // last: who sees it finds it counted
			first, said, tries = false, false, 0
			d.log.Info("listening to the container engine")
		})
		d.connected.Store(false)
		d.out.unheard()
		if ctx.Err() != nil {
			break
		}
		d.failures.Add(1)
		if !said {
			d.log.Warn("no container engine to learn names from, measuring goes on without", "err", err)
			said = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff(tries)):
			tries++
		}
	}
	return nil
}

// backoff doubles from 100 ms to 5 s; jitter keeps agents from knocking in step.
func backoff(tries int) time.Duration {
	delay := min(maxBackoff, 100*time.Millisecond<<min(tries, 10))
	return delay/2 + rand.N(delay/2)
}

// session listens to the engine until it fails or ctx ends. What happens while
// it lists what is there is already being heard.
func (d *docker) session(ctx context.Context, connected func()) error {
	api, err := client.NewClientWithOpts(client.WithHost(d.host), client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	defer api.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	messages, errs := d.listen(ctx, cancel, api)
	defer func() {
		cancel(nil)
		for range errs { // closed when the client's goroutine ends
		}
	}()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := d.list(ctx, api); err != nil {
		return err
	}
	connected()
	return d.follow(ctx, api, messages, errs)
}

// follow keeps what was listed up to date.
func (d *docker) follow(ctx context.Context, api *client.Client, messages <-chan events.Message, errs <-chan error) error {
	listed, seen := time.Now(), d.out.state()
	unstarted := d.out.unstarted()
	always := make(chan struct{})
	close(always)
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	answered := listed
	for {
		var ask <-chan struct{}
		if len(unstarted) > 0 {
			ask = always
		}
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-messages:
			d.hear(m)
		case err := <-errs:
			return fmt.Errorf("listen to events: %w", err)
		case <-ask:
			err = d.inspect(ctx, api, unstarted[0])
			unstarted = unstarted[1:]
		case <-check.C:
			d.out.settle()
			// A list mends what events left out. One is due when a container has
			// no name yet, unless nothing has changed since the last list.
			if d.out.unknown() && d.out.state() != seen || time.Since(listed) > listEvery {
				err = d.list(ctx, api)
				listed, seen = time.Now(), d.out.state()
				answered, unstarted = listed, d.out.unstarted()
				check.Reset(checkEvery) // time enough to hear how those ended that were not listed
			} else if time.Since(answered) > pingEvery {
				err = d.ping(ctx, api)
				answered = time.Now()
			}
		}
		if err != nil {
			return err
		}
	}
}

// listen starts to hear events, those since the last one heard included as far
// as the engine remembers: some hundred. It returns when the engine has
// answered, if only by an error in the second channel.
func (d *docker) listen(ctx context.Context, cancel context.CancelCauseFunc, api *client.Client) (<-chan events.Message, <-chan error) {
	since := time.Now()
	if !d.last.IsZero() {
		since = d.last.Add(1)
	}
	wanted := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)))
	for _, action := range heard {
		wanted.Add("event", string(action))
	}
	// A deadline for the answer, not for the stream that follows.
	limit := time.AfterFunc(callLimit, func() { cancel(errSilent) })
	defer limit.Stop()
	return api.Events(ctx, events.ListOptions{
		Since:   fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond()),
		Filters: wanted,
	})
}

// hear takes in an event. Its attributes are the labels of the container, over
// which the engine writes name and image.
func (d *docker) hear(m events.Message) {
	at := time.Unix(0, m.TimeNano)
	if at.After(d.last) {
		d.last = at
	}
	id, attributes := m.Actor.ID, m.Actor.Attributes
	name, image := attributes["name"], attributes["image"]
	event := sample.Event{Time: at, Container: line(name)}

	switch m.Action {
	case events.ActionStart:
		labels := maps.Clone(attributes)
		delete(labels, "name")
		delete(labels, "image")
		a := described(name, image, labels)
		a.Started = at
		d.out.learned(id, a)
		event.Kind, event.Text = sample.ContainerStarted, line("started from "+image)
	case events.ActionDie:
		event.Kind, event.Text = sample.ContainerExited, "exited"
		// Here it is a label that wins over the engine's word.
		if a, ok := d.out.of(id); ok && !a.exitLabel && attributes["exitCode"] != "" {
			event.Text = line("exited with code " + attributes["exitCode"])
			if code, err := strconv.Atoi(attributes["exitCode"]); err == nil {
				d.out.exited(Exit{ID: id, At: at, Code: code})
			}
		}
		d.out.ended(id)
	case events.ActionOOM:
		event.Kind, event.Text = sample.ContainerOOM, "ran out of memory"
	case events.ActionDestroy:
		d.out.ended(id)
		return
	case events.ActionRename:
		d.out.update(id, func(a *about) { a.Name = name })
		return
	case events.ActionHealthStatusHealthy:
		d.out.update(id, func(a *about) { a.Health = Healthy })
		return
	case events.ActionHealthStatusUnhealthy:
		d.out.update(id, func(a *about) { a.Health = Unhealthy })
		return
	default:
		return
	}
	d.out.happened(id, event)
}

// described is what the engine says of a container wherever it does.
func described(name, image string, labels map[string]string) about {
	_, exitLabel := labels["exitCode"]
	return about{Runtime: "docker", Name: name, Image: image, Labels: labels, kube: kubeOf(labels), exitLabel: exitLabel}
}

// list learns of all running containers, and so of all that have ended.
func (d *docker) list(ctx context.Context, api *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	all, err := api.ContainerList(ctx, container.ListOptions{})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	running := make(map[string]bool, len(all))
	for _, c := range all {
		running[c.ID] = true
		a := described(ownName(c.Names), c.Image, c.Labels)
		a.Health = healthIn(c.Status)
		if c.Created > 0 {
			a.Created = time.Unix(c.Created, 0)
		}
		d.out.learned(c.ID, a)
	}
	d.out.onlyRunning(running)
	return nil
}

// inspect learns when a container started, which a list does not say.
func (d *docker) inspect(ctx context.Context, api *client.Client, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	c, err := api.ContainerInspect(ctx, id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspect container: %w", err)
	}
	if c.ContainerJSONBase == nil || c.State == nil {
		return nil
	}
	if at := instant(c.State.StartedAt); !at.IsZero() && c.State.Running {
		d.out.update(id, func(a *about) { a.Created, a.Started = instant(c.Created), at })
	}
	return nil
}

func (d *docker) ping(ctx context.Context, api *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if _, err := api.Ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// healthIn is the health in a status such as "Up 5 minutes (healthy)", where the
// list has it in all versions of the API.
func healthIn(status string) Health {
	switch {
	case strings.HasSuffix(status, "(healthy)"):
		return Healthy
	case strings.HasSuffix(status, "(unhealthy)"):
		return Unhealthy
	case strings.HasSuffix(status, "(health: starting)"):
		return Starting
	}
	return NoHealth
}

// ownName is a container's name among those that links give it: "/web" is its
// own, "/shop/db" is what the container shop calls it.
func ownName(names []string) string {
	for _, name := range names {
		if own := strings.TrimPrefix(name, "/"); !strings.Contains(own, "/") {
			return own
		}
	}
	return ""
}

// line makes a text fit to be shown in one line, whatever is in it.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), 256)], "")
}
