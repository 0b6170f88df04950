//go:build thanos

package thanos

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

// forwarded are the series that the test of the receiver is about: those of the
// node, of which an agent sends some hundred each second or so.
const forwarded = `{__name__=~"node_.+",node="n7"}`

// samples are those that an engine has of the last ten minutes, by series, and
// without the labels that they got on the way.
func samples(web string) (map[string]map[any]any, int, error) {
	got, err := ask(web, forwarded+"[10m]", time.Now())
	all, n := map[string]map[any]any{}, 0
	for _, r := range got {
		maps.DeleteFunc(r.Metric, func(name, _ string) bool {
			return name == "receive" || name == "tenant_id" || strings.HasPrefix(name, "plimsoll_")
		})
		points := map[any]any{}
		for _, v := range r.Values {
			points[v[0]] = v[1]
		}
		all[fmt.Sprint(r.Metric)] = points // maps are printed in the order of their keys
		n += len(r.Values)
	}
	return all, n, err
}

// agent starts one that sends to a collector.
func agent(t *testing.T, to string) *process {
	t.Helper()
	path, err := filepath.Abs(plimsoll)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, path, "agent", "--data.path="+t.TempDir(), "--collector.address="+to, "--node.name=n7",
		"--docker.host=unix:///nonexistent", "--no-gpu", "--no-disk")
}

// The receiver takes what the collector sends on, while one of the two is away as
// well: what the collector had acknowledged, and what its agent kept for it.
func TestTheReceiverGetsEverySampleThroughKillsOnBothSides(t *testing.T) {
	write, dir := port.Free(t), t.TempDir()
	args := []string{
		"--tsdb.path=" + dir, "--remote-write.address=" + write, `--label=receive="r1"`,
		"--tsdb.out-of-order.time-window=1d", "--tsdb.wal-compression",
	}
	receiver, _, grpc := component(t, "receive", args...)
	file := filepath.Join(t.TempDir(), "forward.yaml")
	err := os.WriteFile(file, []byte("global:\n  external_labels: {plimsoll_cluster: e2e}\nremote_write:\n- name: thanos\n  url: http://"+write+
		"/api/v1/receive\n  queue_config: {batch_send_deadline: 1s, max_backoff: 1s}\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	c := collect(t, t.TempDir(), "--forward.config.file="+file)
	a := agent(t, c.grpc)
	query := querier(t, "chain", grpc)
	more := func(web string, than int) func() error {
		return func() error {
			_, n, err := samples(web)
			if err == nil && n <= than {
				err = fmt.Errorf("%d samples, no more than before", n)
			}
			return err
		}
	}
	until(t, "samples arrive", time.Minute, more(query, 1000))

	receiver.end(syscall.SIGKILL)
	_, before, err := samples(c.web)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "samples come while the receiver is away", time.Minute, more(c.web, before+2000))
	c.end(syscall.SIGKILL)
	again := start(t, receiver.cmd.Path, receiver.cmd.Args[1:]...)
	again.ready(strings.TrimPrefix(receiver.cmd.Args[2], "--http-address="))
	c.again(t)
	_, before, err = samples(c.web)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "samples come with both back", time.Minute, more(c.web, before+2000))
	a.end(syscall.SIGTERM)

	var series, total int
	until(t, "the receiver has what the collector has", time.Minute, func() error {
		want, n, err := samples(c.web)
		if err != nil {
			return err
		}
		got, m, err := samples(query)
		if err != nil {
			return err
		}
		for name, points := range want {
			if !maps.Equal(points, got[name]) {
				return fmt.Errorf("%d samples there, %d here; %s has %d there, %d here", m, n, name, len(got[name]), len(points))
			}
		}
		series, total = len(want), n
		return nil
	})
	t.Logf("%d samples of %d series, the same here and there", total, series)
}
