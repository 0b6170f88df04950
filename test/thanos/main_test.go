//go:build thanos

// Package thanos runs collectors together with the real Thanos, as it is
// released: its sidecar, store gateway, receiver and querier, unmodified.
package thanos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

const (
	// plimsoll is what make build has built.
	plimsoll = "../../bin/plimsoll"
	// release is the newest that builds with this Go.
	release = "github.com/thanos-io/thanos@v0.42.4"
)

// thanos is the program, built once and kept in bin/. The tag is needed: with
// the label type that is the default now, Thanos builds and then crashes.
var thanos = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("PLIMSOLL_THANOS"); path != "" {
		return path, nil
	}
	path, err := filepath.Abs("../../bin/thanos-" + release[strings.Index(release, "@")+1:])
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	out, err := exec.Command("go", "mod", "download", "-json", release).Output()
	if err != nil {
		return "", fmt.Errorf("download %s: %w", release, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-mod=readonly", "-tags", "slicelabels", "-o", path, "./cmd/thanos")
	build.Dir = module.Dir
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", release, err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	if _, err := thanos(); err != nil {
		panic(err)
	}
	m.Run()
}

// process is a running plimsoll or thanos.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

func start(t *testing.T, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(path) + " " + args[0], cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.Dir = t.TempDir()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			log := p.log.String()
			t.Logf("%s, the end of its log:\n%s", p.name, log[max(0, len(log)-4000):])
		}
	})
	return p
}

// Write takes what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// end signals the process and waits for it.
func (p *process) end(sig syscall.Signal) {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	select {
	case <-p.ended:
	case <-time.After(60 * time.Second):
		p.t.Errorf("%s did not end within 60 s of %v", p.name, sig)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// collector is a running collector.
type collector struct {
	*process
	data, web, grpc string
	args            []string
}

// collect starts a collector on a data directory, and waits until it is ready.
func collect(t *testing.T, data string, args ...string) *collector {
	t.Helper()
	c := &collector{data: data, web: port.Free(t), grpc: port.Free(t)}
	c.args = append([]string{
		"collector", "--data.path=" + data, "--web.listen-address=" + c.web, "--grpc.listen-address=" + c.grpc,
		"--storage.tsdb.retention.time=30d",
	}, args...)
	c.again(t)
	return c
}

// again starts it once more, at the same addresses.
func (c *collector) again(t *testing.T) {
	t.Helper()
	path, err := filepath.Abs(plimsoll)
	if err != nil {
		t.Fatal(err)
	}
	c.process = start(t, path, c.args...)
	c.ready(c.web)
}

// ready waits for a component's /-/ready.
func (p *process) ready(web string) {
	p.t.Helper()
	until(p.t, p.name+" is ready", time.Minute, func() error { _, err := get("http://" + web + "/-/ready"); return err })
}

// until waits for something, and fails with what stood against it last.
func until(t *testing.T, what string, limit time.Duration, ok func() error) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for err := ok(); err != nil; err = ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v that %s: %v", limit, what, err)
		}
	}
}

// component starts a part of Thanos and returns its HTTP and gRPC addresses.
func component(t *testing.T, name string, args ...string) (p *process, web, grpc string) {
	t.Helper()
	path, err := thanos()
	if err != nil {
		t.Fatal(err)
	}
	web, grpc = port.Free(t), port.Free(t)
	p = start(t, path, append([]string{name, "--http-address=" + web, "--grpc-address=" + grpc}, args...)...)
	p.ready(web)
	return p, web, grpc
}

// sidecar starts one beside a collector.
func (c *collector) sidecar(t *testing.T, args ...string) (p *process, grpc string) {
	t.Helper()
	p, _, grpc = component(t, "sidecar", append([]string{
		"--prometheus.url=http://" + c.web, "--tsdb.path=" + filepath.Join(c.data, "tsdb"), "--prometheus.get_config_interval=2s",
	}, args...)...)
	return p, grpc
}

// querier starts thanos query over the given gRPC addresses.
func querier(t *testing.T, merge string, endpoints ...string) string {
	t.Helper()
	args := []string{"--query.replica-label=plimsoll_replica", "--deduplication.func=" + merge}
	for _, e := range endpoints {
		args = append(args, "--endpoint="+e)
	}
	_, web, _ := component(t, "query", args...)
	return web
}

// gateway starts a store gateway over a bucket.
func gateway(t *testing.T, bucket string) (grpc string) {
	t.Helper()
	_, _, grpc = component(t, "store", "--data-dir="+t.TempDir(), "--objstore.config-file="+bucket, "--sync-block-duration=2s")
	return grpc
}

// bucketFile makes an empty bucket in a directory, and a file that names it.
func bucketFile(t *testing.T) (file, dir string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(t.TempDir(), "bucket.yml")
	if err := os.WriteFile(file, []byte("type: FILESYSTEM\nconfig:\n  directory: "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, dir
}

func get(address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", resp.Status, body)
	}
	return body, err
}

// result is one series of an answer.
type result struct {
	Metric map[string]string
	Value  [2]any
	Values [][2]any
}

// ask sends an instant query to anything that speaks the API.
func ask(web, promql string, at time.Time) ([]result, error) {
	body, err := get(fmt.Sprintf("http://%s/api/v1/query?query=%s&time=%d.%03d", web, url.QueryEscape(promql), at.Unix(), at.UnixMilli()%1000))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Warnings []string
		Data     struct{ Result []result }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	if len(answer.Warnings) > 0 {
		return answer.Data.Result, fmt.Errorf("warnings: %v", answer.Warnings)
	}
	return answer.Data.Result, nil
}
