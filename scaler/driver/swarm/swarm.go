// Package swarm scales the replicated services of a Docker Swarm. It is the
// only package of the scaler that knows the engine's API, and it must talk to a
// manager.
//
// It edits the specification as the raw JSON that the engine gave, and in it
// only the number of replicas. The Go client's own ServiceUpdate is unfit for
// that: it adds ":latest" to an untagged image and drops fields that are newer
// than the client, and either makes the engine restart every replica.
package swarm

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/client"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
)

var (
	_ driver.Driver  = (*Swarm)(nil)
	_ driver.Lister  = (*Swarm)(nil)
	_ driver.Watcher = (*Swarm)(nil)
)

// maxReplicas is the last line of defence, far above the guard's ceiling. A
// manager accepts any number, creates that many tasks without ever looking up,
// and is lost when the number is absurd.
const maxReplicas = 10_000

// errNoCount is for a service that runs on each node, or to its end.
var errNoCount = fmt.Errorf("%w: only services in mode replicated have a count; remove the policy or change the service", driver.ErrRefused)

// timeout bounds what is asked of the engine for one call.
const timeout = 5 * time.Second

// Options say which manager to talk to.
type Options struct {
	// Host is the engine's address, such as unix:///var/run/docker.sock, which
	// is the default, or tcp://manager:2375.
	Host string
}

// Swarm is one Swarm, seen through one of its managers.
type Swarm struct {
	client *client.Client // for engine alone
	turn   chan struct{}  // has room for the one who asks for the version
	agreed atomic.Bool    // the client has the engine's version
	http   *http.Client   // the client's own transport, for requests it cannot express
	base   string         // URL without the version
}

// New prepares a client. It does not connect: an engine that is down now may be
// up at the first call.
func New(opts Options) (*Swarm, error) {
	opts.Host = cmp.Or(opts.Host, client.DefaultDockerHost)
	host, err := client.ParseHostURL(opts.Host)
	if err != nil {
		return nil, fmt.Errorf("engine address %q: %w; want unix:///path or tcp://host:port", opts.Host, err)
	}
	var base string
	switch {
	case host.Scheme == "unix":
		base = "http://engine" // a socket has no host name, HTTP wants one
	case host.Scheme == "tcp" && host.Host != "":
		base = "http://" + host.Host + host.Path
	default:
		return nil, fmt.Errorf("engine address %q: want unix:///path or tcp://host:port", opts.Host)
	}
	c, err := client.NewClientWithOpts(client.WithHost(opts.Host))
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", opts.Host, err)
	}
	return &Swarm{client: c, turn: make(chan struct{}, 1), http: c.HTTPClient(), base: base}, nil
}

// Close lets go of idle connections.
func (s *Swarm) Close() error { return s.client.Close() }

// engine is the client, once it speaks the engine's version of the API. Left to
// find that out by itself, it races with its own Events, and goes on with a
// version of its choice when the engine did not answer.
func (s *Swarm) engine(ctx context.Context) (*client.Client, error) {
	if s.agreed.Load() {
		return s.client, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the engine's version: %w", ctx.Err())
	}
	if !s.agreed.Load() {
		said, err := s.client.Ping(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask the engine for its version: %w", err)
		}
		s.client.NegotiateAPIVersionPing(said)
		s.agreed.Store(true)
	}
	return s.client, nil
}

// Status implements driver.Driver. A replica with a health check counts as
// ready once it is healthy; the engine calls it running only then.
func (s *Swarm) Status(ctx context.Context, w driver.Workload) (driver.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	service, _, err := s.inspect(ctx, w)
	if err != nil {
		return driver.Status{}, fmt.Errorf("look at service %s: %w", serviceName(w), err)
	}
	tasks, err := s.tasks(ctx, service.ID)
	if err != nil {
		return driver.Status{}, fmt.Errorf("list tasks of service %s: %w", serviceName(w), err)
	}
	return status(service, tasks[service.ID], time.Now()), nil
}

// Scale implements driver.Driver.
func (s *Swarm) Scale(ctx context.Context, w driver.Workload, n int, want driver.Rev, epoch uint64) error {
	if n < 0 || n > maxReplicas {
		return fmt.Errorf("scale service %s to %d: %w: a count is between 0 and %d", serviceName(w), n, driver.ErrRefused, maxReplicas)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := s.scale(ctx, w, n, want, epoch); err != nil {
		return fmt.Errorf("scale service %s to %d: %w", serviceName(w), n, err)
	}
	return nil
}

func (s *Swarm) scale(ctx context.Context, w driver.Workload, n int, want driver.Rev, epoch uint64) error {
	service, raw, err := s.inspect(ctx, w)
	if err != nil {
		return err
	}
	if want != "" && want != rev(service) {
		return fmt.Errorf("%w: version %s, not %s", driver.ErrConflict, rev(service), want)
	}
	if err := fenced(service.Spec.Labels[epochLabel], epoch); err != nil {
		return err
	}
	if n == desired(service) {
		return nil
	}
	spec, err := setReplicas(raw, n)
	if err != nil {
		return err
	}
	if epoch > 0 {
		if spec, err = setLabel(spec, epochLabel, strconv.FormatUint(epoch, 10)); err != nil {
			return err
		}
	}
	return s.update(ctx, service.ID, service.Version.Index, spec)
}

// epochLabel is the service's label that tells under which epoch it was written.
// It is none of its tasks': setting it restarts nothing.
const epochLabel = "io.plimsoll.epoch"

// fenced complains if a service was written by a later leader. A label that is no
// number was written by nobody who leads.
func fenced(label string, epoch uint64) error {
	if written, err := strconv.ParseUint(label, 10, 64); err == nil && epoch > 0 && written > epoch {
		return fmt.Errorf("%w: it wrote under epoch %d, this is %d", driver.ErrFenced, written, epoch)
	}
	return nil
}

// inspect reads a service and makes sure that it is the one that was asked for
// and that its replicas are a number one sets.
func (s *Swarm) inspect(ctx context.Context, w driver.Workload) (swarm.Service, []byte, error) {
	name := serviceName(w)
	engine, err := s.engine(ctx)
	if err != nil {
		return swarm.Service{}, nil, err
	}
	service, raw, err := engine.ServiceInspectWithRaw(ctx, name, swarm.ServiceInspectOptions{})
	switch {
	case errdefs.IsNotFound(err):
		return service, nil, driver.ErrNotFound
	case err != nil:
		return service, nil, err
	case service.Spec.Name != name && service.ID != name:
		return service, nil, driver.ErrNotFound // the engine also takes the beginning of any id
	case service.Spec.Mode.Replicated == nil:
		return service, nil, errNoCount
	}
	return service, raw, nil
}

// serviceName joins a stack and its service as "docker stack deploy" does.
func serviceName(w driver.Workload) string {
	if w.Namespace == "" {
		return w.Name
	}
	return w.Namespace + "_" + w.Name
}

func rev(service swarm.Service) driver.Rev {
	return driver.Rev(strconv.FormatUint(service.Version.Index, 10))
}

// desired is the count in the specification. The engine runs one replica where
// it says nothing.
func desired(service swarm.Service) int {
	n := service.Spec.Mode.Replicated.Replicas
	if n == nil {
		return 1
	}
	return int(min(*n, math.MaxInt))
}

func updating(service swarm.Service) bool {
	if service.UpdateStatus == nil {
		return false
	}
	switch service.UpdateStatus.State {
	case swarm.UpdateStateUpdating, swarm.UpdateStateRollbackStarted:
		return true
	}
	return false
}
