//go:build e2e

package differential

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

// program finds one of Prometheus' programs, or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing := err.Error() + ": install the package prometheus of the distribution; the test starts it by itself"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return path
}

// run runs a program to its end and returns what it said.
func run(t *testing.T, path string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(path), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// startPeer runs Prometheus over a directory, with a configuration, until the
// test ends. It returns its URL.
func startPeer(t *testing.T, dir, config string, flags ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := port.Free(t)
	cmd := exec.Command(program(t, "prometheus"), append([]string{
		"--config.file=" + file, "--storage.tsdb.path=" + dir, "--web.listen-address=" + address, "--storage.tsdb.retention.time=30d",
	}, flags...)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("prometheus: %v\n%s", err, log.Bytes())
		}
	})
	until(t, time.Minute, "Prometheus is ready", func() bool {
		code, _ := get(t, "http://"+address+"/-/ready")
		return code == http.StatusOK
	})
	return "http://" + address
}

// until waits for something to be so.
func until(t *testing.T, patience time.Duration, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %v it is not so that %s", patience, what)
		}
	}
}

// get fetches a URL; a code of 0 is a server that is not there.
func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, fmt.Append(nil, err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, body
}
