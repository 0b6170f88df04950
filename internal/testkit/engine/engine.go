// Package engine starts real Docker engines for tests: each with its own
// directories, its own network and an image made on the spot, so that nothing
// is pulled, nothing is shared with an engine that may already run here, and
// several tests can have one at the same time.
//
//	e := engine.Start(t)
//	id := e.Docker("run", "-d", "--name", "web", engine.Image, "sleep", "1000")
//
// It takes about half a second, so each test starts its own. What cannot be
// shared is the kernel: containers of every engine are siblings below
// /sys/fs/cgroup/<controller>/docker.
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Image is the one image an engine has: a static busybox with its applets.
const Image = "plimsoll/busybox:test"

// commandLimit bounds each docker command. The slowest that tests use take 5 s, and
// where there are twenty at a time on a busy machine, each takes a minute.
const commandLimit = 5 * time.Minute

// Engine is a running dockerd. Its methods fail the test when the engine does
// not do as told, and so belong to the test's own goroutine; Try does not.
type Engine struct {
	t    testing.TB
	dir  string
	net  *network // nil on the node's own network
	args []string // of dockerd

	daemon *daemon // nil while killed
}

// Option changes how an engine is started.
type Option func(*Engine)

// LiveRestore lets containers outlive their engine, Kill included. Swarm
// refuses to be combined with it.
func LiveRestore() Option {
	return func(e *Engine) { e.args = append(e.args, "--live-restore") }
}

// HostNetwork leaves the engine in the node's own network, where `--network
// host` means what it says and the other networks do not exist.
func HostNetwork() Option {
	return func(e *Engine) {
		e.net = nil
		e.args = append(e.args, "--bridge=none")
	}
}

// Start starts an engine that ends with the test, together with its containers.
// Where there is no Docker, or no right to start it, the test is skipped; under
// CI=true it fails instead, so that a broken build machine cannot hide tests.
func Start(t testing.TB, opts ...Option) *Engine {
	t.Helper()
	if err := possible(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no Docker engine for this test: %v", err)
		}
		t.Skipf("no Docker engine for this test: %v", err)
	}

	// Not t.TempDir: a socket's path has room for 107 characters only.
	dir, err := os.MkdirTemp("", "plimsoll-engine-")
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{t: t, dir: dir}
	t.Cleanup(e.cleanUp)

	if e.net, err = newNetwork(); err != nil {
		t.Fatalf("make a network for the engine: %v", err)
	}
	own := e.net
	t.Cleanup(func() { _ = own.Close() })
	for _, o := range opts {
		o(e)
	}

	// An empty configuration, lest the node's /etc/docker/daemon.json apply.
	if err := os.WriteFile(e.path("daemon.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.start()
	e.importImage()
	return e
}

// Host is where the engine listens, as DOCKER_HOST has it.
func (e *Engine) Host() string { return "unix://" + e.path("docker.sock") }

// Pid is the process id of dockerd.
func (e *Engine) Pid() int { return e.daemon.cmd.Process.Pid }

// Docker runs a docker command and returns what it printed, without the last
// newline.
func (e *Engine) Docker(args ...string) string {
	e.t.Helper()
	out, err := e.Try(args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// Try is Docker for commands that may fail.
func (e *Engine) Try(args ...string) (string, error) {
	return e.docker(nil, args...)
}

func (e *Engine) docker(stdin []byte, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", append([]string{"-H", e.Host()}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+e.dir, "DOCKER_CONTEXT=", "DOCKER_HOST=")
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// Swarm makes the engine the manager of a swarm of one node.
func (e *Engine) Swarm() {
	e.t.Helper()
	e.Docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:0")
}

// Service creates a Swarm service of Image with flags of docker service create,
// such as --replicas and --limit-cpu, and the image's command. It returns the
// service's id once the service exists, not when its tasks run.
func (e *Engine) Service(name string, flags []string, command ...string) string {
	e.t.Helper()
	// Detached, as the command otherwise watches for 5 s; unresolved, as there
	// is no registry to ask for a digest.
	args := append([]string{"service", "create", "--detach", "--no-resolve-image", "--name", name}, flags...)
	args = append(args, Image)
	return e.Docker(append(args, command...)...)
}

// Kill ends the engine as kill -9 does. Containers live on under LiveRestore;
// otherwise they do until the engine is started again.
func (e *Engine) Kill() {
	e.t.Helper()
	e.signal(syscall.SIGKILL)
	<-e.daemon.ended
	e.daemon = nil

	// containerd dies with its parent, but dockerd takes a zombie that nobody
	// has reaped yet for a containerd that runs, and waits for it in vain.
	pidfile := e.path("exec/containerd/containerd.pid")
	pid, err := os.ReadFile(pidfile)
	if err != nil {
		e.t.Fatal(err)
	}
	wait(func() bool { return !running(string(pid)) })
	if err := os.Remove(pidfile); err != nil {
		e.t.Fatal(err)
	}
}

// Start starts an engine that was killed and waits until it answers.
func (e *Engine) Start() {
	e.t.Helper()
	if e.daemon != nil {
		e.t.Fatal("the engine is running")
	}
	e.start()
}

// Freeze stops the engine's process: it accepts connections and never answers,
// until Thaw. It returns once the last thread has stopped.
func (e *Engine) Freeze() {
	e.t.Helper()
	e.signal(syscall.SIGSTOP)
	stat := fmt.Sprintf("/proc/%d/stat", e.Pid())
	wait(func() bool {
		data, err := os.ReadFile(stat)
		return err != nil || strings.Contains(string(data), ") T ")
	})
}

// Thaw lets a frozen engine go on.
func (e *Engine) Thaw() { e.t.Helper(); e.signal(syscall.SIGCONT) }

func (e *Engine) signal(s syscall.Signal) {
	e.t.Helper()
	if e.daemon == nil {
		e.t.Fatal("the engine is not running")
	}
	if err := e.daemon.cmd.Process.Signal(s); err != nil {
		e.t.Fatal(err)
	}
}

func (e *Engine) start() {
	e.t.Helper()
	args := append([]string{
		"--config-file", e.path("daemon.json"),
		"--data-root", e.path("data"),
		"--exec-root", e.path("exec"),
		"--pidfile", e.path("pid"),
		"--host", e.Host(),
		"--iptables=false", "--ip-masq=false", "--ip-forward=false",
	}, e.args...)
	d, err := startDaemon(e.net, e.path("log"), args...)
	if err != nil {
		e.t.Fatal(err)
	}
	e.daemon = d
	if err := d.ready(e.path("docker.sock")); err != nil {
		e.t.Fatalf("%v; it said\n%s", err, e.log())
	}
}

func (e *Engine) path(name string) string { return filepath.Join(e.dir, name) }

// log is the end of what dockerd said.
func (e *Engine) log() string {
	said, err := os.ReadFile(e.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(said[max(0, len(said)-8<<10):])
}

// possible tells what is missing on this machine.
func possible() error {
	if os.Geteuid() != 0 {
		return errors.New("it needs root")
	}
	for _, name := range []string{"dockerd", "containerd", "runc", "docker"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: install docker.io", err)
		}
	}
	return static(busybox)
}
