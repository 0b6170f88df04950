//go:build e2e

// Package e2e runs the product as users run it: the real binary, a real Docker
// engine, real containers, and questions in PromQL.
package e2e

import (
	"bufio"
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
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

// binary is what make e2e has built.
const binary = "../../bin/plimsoll"

// installed is binary as a node has it after its next start: a copy that is read
// from the disk. What was written a moment ago is in the page cache in pieces of
// up to 2 MiB, and Linux since 6.18 maps such a piece whole for one page of it,
// which would count 20 MiB more as resident.
var installed = sync.OnceValues(func() (path string, err error) {
	data, err := os.ReadFile(binary)
	if err != nil {
		return "", fmt.Errorf("%w (make build first)", err)
	}
	dir, err := os.MkdirTemp("", "plimsoll-e2e-")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "plimsoll")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return path, errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
})

func TestMain(m *testing.M) {
	m.Run()
	if path, err := installed(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
}

// patience is how long to wait for what must come and whose time is no promise.
const patience = time.Minute

// process is a running plimsoll.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string // of the console; empty for an agent
	grpc string

	mu  sync.Mutex
	log bytes.Buffer

	lines chan string
	ended chan struct{}
	err   error
}

// start runs plimsoll with args and ends it with the test.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startUnder(t, nil, args...)
}

// startUnder does so by a command that becomes plimsoll, such as prlimit.
func startUnder(t *testing.T, command []string, args ...string) *process {
	t.Helper()
	path, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	line := append(append(slices.Clone(command), path), args...)
	p := &process{t: t, cmd: exec.Command(line[0], line[1:]...), lines: make(chan string, 1024), ended: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = writer(func(b []byte) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.log.Write(b)
	})
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		s := bufio.NewScanner(stdout)
		for s.Scan() {
			select {
			case p.lines <- s.Text():
			default:
			}
		}
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.terminate()
		if t.Failed() {
			t.Logf("log of plimsoll %s:\n%s", strings.Join(args, " "), p.logged())
		}
	})
	return p
}

// up runs plimsoll up on free ports and waits for its URL.
func up(t *testing.T, args ...string) *process {
	t.Helper()
	return serve(t, "up", args...)
}

// serve runs a subcommand that has a console, and waits for its URL.
func serve(t *testing.T, command string, args ...string) *process {
	t.Helper()
	web, grpc := port.Free(t), port.Free(t)
	p := start(t, append([]string{command, "--web.listen-address=" + web, "--grpc.listen-address=" + grpc}, args...)...)
	p.grpc = grpc
	p.url = p.waitLine(patience, "http://")
	return p
}

// waitLine waits for a line on standard output with a word that has the given
// prefix, and returns the word.
func (p *process) waitLine(limit time.Duration, prefix string) string {
	p.t.Helper()
	timeout := time.After(limit)
	for {
		select {
		case line := <-p.lines:
			for word := range strings.FieldsSeq(line) {
				if strings.HasPrefix(word, prefix) {
					return word
				}
			}
		case <-p.ended:
			p.t.Fatalf("plimsoll ended: %v\n%s", p.err, p.logged())
		case <-timeout:
			p.t.Fatalf("no line with %q within %v\n%s", prefix, limit, p.logged())
		}
	}
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// terminate ends the process as an operator would, and waits.
func (p *process) terminate() { p.end(syscall.SIGTERM) }

// kill ends it as a power cut of the process would, and waits.
func (p *process) kill() { p.end(syscall.SIGKILL) }

func (p *process) end(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("plimsoll did not end within %v of %v", patience, sig)
		_ = p.cmd.Process.Kill() // the test has failed already
		<-p.ended
	}
}

// exitCode waits for the process and returns its code.
func (p *process) exitCode(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.t.Fatalf("plimsoll still runs after %v\n%s", limit, p.logged())
		return -1
	}
}

// element is one element of an instant vector.
type element struct {
	labels map[string]string
	value  float64
}

// query asks for an instant vector, now.
func (p *process) query(promql string) []element {
	p.t.Helper()
	v, err := p.ask(promql)
	if err != nil {
		p.t.Fatalf("query %s: %v", promql, err)
	}
	return v
}

func (p *process) ask(promql string) ([]element, error) {
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := p.get("/api/v1/query?query="+escape(promql), &answer); err != nil {
		return nil, err
	}
	var v []element
	for _, r := range answer.Data.Result {
		f, err := strconv.ParseFloat(r.Value[1].(string), 64)
		if err != nil {
			return nil, err
		}
		v = append(v, element{r.Metric, f})
	}
	return v, nil
}

// get reads JSON from the console's address.
func (p *process) get(path string, into any) error {
	body, err := p.read(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// text reads a page that is not JSON.
func (p *process) text(path string) string {
	p.t.Helper()
	body, err := p.read(path)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(body)
}

func (p *process) read(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience/2)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return body, nil
}

// value asks for exactly one number.
func (p *process) value(promql string) float64 {
	p.t.Helper()
	v := p.query(promql)
	if len(v) != 1 {
		p.t.Fatalf("query %s: %d elements, want 1: %v", promql, len(v), v)
	}
	return v[0].value
}

// eventually waits until a query's vector satisfies ok, and returns how long it
// took.
func (p *process) eventually(limit time.Duration, promql string, ok func([]element) bool) time.Duration {
	p.t.Helper()
	begin := time.Now()
	last := ""
	took := wait(limit, func() bool {
		v, err := p.ask(promql)
		last = fmt.Sprint(v, err)
		return err == nil && ok(v)
	})
	if took < 0 {
		p.t.Fatalf("not within %v: %s; last answer: %s", limit, promql, last)
	}
	return time.Since(begin)
}

// some says that a vector is not empty.
func some(v []element) bool { return len(v) > 0 }

// wait polls until ok, and returns how long it took, or -1 if it took too long.
func wait(limit time.Duration, ok func() bool) time.Duration {
	begin := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Since(begin) > limit {
			return -1
		}
		<-tick.C
	}
	return time.Since(begin)
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

func escape(promql string) string { return url.QueryEscape(promql) }
