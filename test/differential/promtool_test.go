//go:build e2e

package differential

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Prometheus' own tool works on our API.
func TestPromtoolAsksUs(t *testing.T) {
	promtool := program(t, "promtool")
	us := startOurs(t, filepath.Join(t.TempDir(), "ours"))
	start := beginning()
	fill(t, us.store, start)
	at := func(d time.Duration) string { return fmt.Sprint(start.Add(d).Unix()) }
	for name, tt := range map[string]struct {
		args []string
		says []string
	}{
		"query instant": {[]string{"query", "instant", "--time=" + at(time.Hour), us.url, `sum by (job) (build_info)`}, []string{`{job="web"} => 2 @`}},
		"query range":   {[]string{"query", "range", "--start=" + at(time.Hour), "--end=" + at(2*time.Hour), "--step=30m", us.url, "sum(build_info)"}, []string{"2 @[" + at(time.Hour), "2 @[" + at(2*time.Hour)}},
		"query series":  {[]string{"query", "series", "--match=build_info", "--start=" + at(0), "--end=" + at(span), us.url}, []string{`version="1.2.3"`, `version="1.3.0"`}},
		"query labels":  {[]string{"query", "labels", "--start=" + at(0), "--end=" + at(span), us.url, "job"}, []string{"web", "db"}},
		"query analyze": {[]string{"query", "analyze", "--server=" + us.url, "--type=histogram", "--match=latency_seconds_bucket", "--time=" + at(time.Hour), "--duration=10m"}, nil},
		"check healthy": {[]string{"check", "healthy", "--url=" + us.url}, []string{"SUCCESS"}},
		"check ready":   {[]string{"check", "ready", "--url=" + us.url}, []string{"SUCCESS"}},
		"push metrics":  {[]string{"push", "metrics", "--label=job=pushed", us.url, "testdata/pushed.txt"}, []string{"SUCCESS"}},
	} {
		t.Run(name, func(t *testing.T) {
			knows(t, promtool, tt.args...)
			out := run(t, promtool, tt.args...)
			for _, want := range tt.says {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q:\n%.2000s", want, out)
				}
			}
			if name == "push metrics" {
				if out := run(t, promtool, "query", "instant", us.url, `pushed_total{job="pushed"}`); !strings.Contains(out, "=> 42 @") {
					t.Errorf("it was not stored: %s", out)
				}
			}
		})
	}
}

// Prometheus' own tool reads our directory: a block, and the log behind it. It
// does not while we have it open: older ones write into what they read.
func TestPromtoolReadsOurDirectory(t *testing.T) {
	promtool := program(t, "promtool")
	start, dir := beginning(), filepath.Join(t.TempDir(), "ours")
	first := startOurs(t, filepath.Join(t.TempDir(), "first"))
	fill(t, first.store, start)
	if err := first.store.Snapshot(dir, true); err != nil {
		t.Fatal(err)
	}
	first.stop()
	us := startOurs(t, dir)
	fill(t, us.store, start.Add(span))
	us.stop()
	for name, tt := range map[string]struct {
		args []string
		says []string
	}{
		"list":    {[]string{"tsdb", "list", dir}, []string{"BLOCK ULID"}},
		"analyze": {[]string{"tsdb", "analyze", dir}, []string{"Series: ", "Highest cardinality metric names"}},
		"dump":    {[]string{"tsdb", "dump", `--match={__name__="build_info",instance="a:1"}`, dir}, []string{`{__name__="build_info", instance="a:1", job="web", version="1.2.3"} 1 `}},
	} {
		t.Run(name, func(t *testing.T) {
			out := run(t, promtool, tt.args...)
			for _, want := range tt.says {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q:\n%.2000s", want, out)
				}
			}
			if n := strings.Count(out, "\n"); name == "dump" && n != 2*int(span/interval) {
				t.Errorf("%d samples, want %d", n, 2*int(span/interval))
			}
		})
	}
}

// knows skips what the installed promtool is too old for.
func knows(t *testing.T, promtool string, args ...string) {
	t.Helper()
	help := append([]string{"help"}, args[:2]...)
	out, err := exec.CommandContext(t.Context(), promtool, help...).CombinedOutput()
	if err != nil {
		t.Skipf("promtool knows no %q; that of Prometheus 3 does", strings.Join(args[:2], " "))
	}
	for _, arg := range args {
		if flag, _, _ := strings.Cut(arg, "="); strings.HasPrefix(flag, "--") && !strings.Contains(string(out), flag) {
			t.Skipf("promtool knows no %s; that of Prometheus 3 does", flag)
		}
	}
}
