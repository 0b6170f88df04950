//go:build e2e

package e2e

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// burn is a shell loop that takes all the CPU it is given.
const burn = "while :; do :; done"

func TestARunningContainerIsThereWithinFiveSecondsOfTheURL(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "c1", engine.Image, "sleep", "600")
	p := up(t, "--docker.host="+e.Host())
	took := p.eventually(5*time.Second, `container_memory_working_set_bytes{name="c1"}`, func(v []element) bool {
		return len(v) == 1 && v[0].value > 0
	})
	t.Logf("container_memory_working_set_bytes{name=\"c1\"} after %v", took.Round(10*time.Millisecond))
}

func TestWhatIsStoredIsWhatTheKernelSays(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "fifth", "--cpus", "0.2", "--memory", "64m", engine.Image, "sh", "-c", burn)
	e.Docker("run", "-d", "--name", "free", engine.Image, "sh", "-c",
		"dd if=/dev/zero of=/dev/shm/a bs=1M count=8 2>/dev/null; head -c 4194304 /bin/busybox >/dev/null; sleep 600")
	p := up(t, "--docker.host="+e.Host())

	t.Run("CPU of a limited container", func(t *testing.T) {
		p.t = t
		group := "docker/" + e.Docker("inspect", "-f", "{{.Id}}", "fifth")
		account := func() (at time.Time, used, periods, throttled float64) {
			stat := keyed(t, filepath.Join("/sys/fs/cgroup/cpu", group, "cpu.stat"))
			return time.Now(), number(t, filepath.Join("/sys/fs/cgroup/cpuacct", group, "cpuacct.usage")) / 1e9, stat["nr_periods"], stat["nr_throttled"]
		}
		p.eventually(patience, `count_over_time(container_cpu_usage_seconds_total{name="fifth"}[30s]) >= 9`, some)
		began, used, periods, throttles := account()
		p.eventually(patience, fmt.Sprintf(`timestamp(container_cpu_usage_seconds_total{name="fifth"}) > %v`, seconds(began)+20), some)
		ended, used2, periods2, throttles2 := account()
		// 0.2, unless the machine is so busy that not even that is to be had.
		want := (used2 - used) / ended.Sub(began).Seconds()
		got := p.value(`rate(container_cpu_usage_seconds_total{name="fifth"}[20s])`)
		t.Logf("rate over 20 s: %.4f CPU, by the kernel %.4f, limit 0.2", got, want)
		if math.Abs(got-want) > 0.01+(0.2-want)/2 || got > 0.21 {
			t.Errorf("%.4f CPU, the kernel says %.4f", got, want)
		}
		parts := p.value(`(increase(container_cpu_user_seconds_total{name="fifth"}[20s]) + on(name)
			increase(container_cpu_system_seconds_total{name="fifth"}[20s]))
			/ on(name) increase(container_cpu_usage_seconds_total{name="fifth"}[20s])`)
		if math.Abs(parts-1) > 0.01 {
			t.Errorf("user + system is %.4f of the total, want within 1 %%", parts)
		}
		throttled := p.value(`increase(container_cpu_cfs_throttled_periods_total{name="fifth"}[20s])
			/ on(name) increase(container_cpu_cfs_periods_total{name="fifth"}[20s])`)
		if want := (throttles2 - throttles) / (periods2 - periods); math.Abs(throttled-want) > 0.1+(1-want)/2 {
			t.Errorf("throttled in %.2f of its periods, the kernel says %.2f", throttled, want)
		}
	})

	t.Run("memory by the kernel's own files", func(t *testing.T) {
		p.t = t
		id := e.Docker("inspect", "-f", "{{.Id}}", "free")
		dir := filepath.Join("/sys/fs/cgroup/memory/docker", id)
		stat := keyed(t, filepath.Join(dir, "memory.stat"))
		usage := number(t, filepath.Join(dir, "memory.usage_in_bytes"))
		const page = 4096
		for metric, want := range map[string]float64{
			"container_memory_usage_bytes":       usage,
			"container_memory_working_set_bytes": max(usage-stat["total_inactive_file"], 0),
			"container_memory_rss":               stat["total_rss"],
			"container_memory_cache":             stat["total_cache"],
		} {
			got := p.value(fmt.Sprintf(`%s{name="free"}`, metric))
			if math.Abs(got-want) > 32*page { // the kernel charges pages in batches of 32
				t.Errorf("%s is %.0f, the files say %.0f", metric, got, want)
			}
		}
		if got := p.value(`container_spec_memory_limit_bytes{name="free"}`); got != 0 {
			t.Errorf("limit of an unlimited container: %v, want 0", got)
		}
		if got := p.value(`container_spec_memory_limit_bytes{name="fifth"}`); got != 64<<20 {
			t.Errorf("limit: %v, want 64 MiB", got)
		}
	})

	t.Run("nothing that the kernel does not give", func(t *testing.T) {
		p.t = t
		for _, promql := range []string{
			`container_cpu_cfs_periods_total{name="free"}`,                // no quota
			`container_spec_cpu_quota{name="free"}`,                       // no quota
			`{__name__=~"container_memory_events_.+"}`,                    // cgroup v2 only
			`{__name__=~"container_fs_(sector|read_seconds).+", id!="/"}`, // no source per cgroup
			`{__name__=~"container_(tasks_state|cpu_load.+)"}`,            // never measured
			`{__name__=~"container_network_.+", interface="lo"}`,          // no network to others
		} {
			if v := p.query(promql); len(v) != 0 {
				t.Errorf("%s: %v", promql, v)
			}
		}
	})
}

func TestABurstOfAnIdleContainerIsSeenWithinThreeSeconds(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "idle", engine.Image, "sleep", "600")
	p := up(t, "--docker.host="+e.Host())
	p.eventually(patience, `count_over_time(container_cpu_usage_seconds_total{name="idle"}[30s]) > 8`, some)
	account := filepath.Join("/sys/fs/cgroup/cpuacct/docker", e.Docker("inspect", "-f", "{{.Id}}", "idle"), "cpuacct.usage")
	before := number(t, account) / 1e9
	e.Docker("exec", "-d", "idle", "sh", "-c", burn)
	// How soon it is given some time, and how much, is the machine's affair.
	used := before
	if wait(patience, func() bool { used = number(t, account) / 1e9; return used > before+0.25 }) < 0 {
		t.Fatalf("no burst: %.2f s, %.2f s before", used, before)
	}
	took := p.eventually(3*time.Second, fmt.Sprintf(`container_cpu_usage_seconds_total{name="idle"} >= %.3f and rate(container_cpu_usage_seconds_total{name="idle"}[3s]) > 0`, used), some)
	t.Logf("seen after %v", took.Round(10*time.Millisecond))
}

func TestShortLivesLeakNothing(t *testing.T) {
	e := engine.Start(t)
	p := up(t, "--docker.host="+e.Host())
	p.eventually(patience, `up{job="plimsoll-agent"} == 1`, some)
	run := func(n int) {
		for range n {
			e.Docker("run", "--rm", engine.Image, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
		}
	}
	run(5) // what is made once is made
	// What a container leaves for five minutes is the count of its OOM kills and
	// when it was last seen; all else must be gone.
	const left = `count({__name__=~"container_.+", __name__!~"container_(oom_events_total|last_seen|scrape_error)", id!="/"}) or vector(0)`
	settle := func() (fds, goroutines float64) {
		p.eventually(patience, left, func(v []element) bool { return len(v) == 1 && v[0].value == 0 })
		return float64(fdCount(t, p.cmd.Process.Pid)), p.metric("go_goroutines")
	}
	fds, goroutines := settle()
	run(60)
	var fds2, goroutines2 float64
	// What is leaked stays; what is at work at the moment does not.
	if wait(patience, func() bool {
		fds2, goroutines2 = settle()
		return fds2 <= fds+5 && goroutines2 <= goroutines+10
	}) < 0 {
		t.Errorf("descriptors or goroutines leak: %v and %v before, %v and %v after 60 containers", fds, goroutines, fds2, goroutines2)
	}
	t.Logf("descriptors %v → %v, goroutines %v → %v", fds, fds2, goroutines, goroutines2)
}

// metric reads a metric of one series from the process' own /metrics.
func (p *process) metric(name string) float64 {
	p.t.Helper()
	values := p.metrics(name)
	if len(values) != 1 {
		p.t.Fatalf("/metrics has %d series of %s, want 1", len(values), name)
	}
	return values[0]
}

// sum adds all series of a metric in the process' own /metrics.
func (p *process) sum(name string) float64 {
	p.t.Helper()
	total := 0.0
	for _, v := range p.metrics(name) {
		total += v
	}
	return total
}

func (p *process) metrics(name string) []float64 {
	p.t.Helper()
	var values []float64
	for line := range strings.Lines(p.text("/metrics")) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if base, _, _ := strings.Cut(series, "{"); !ok || base != name {
			continue
		}
		v, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64)
		if err != nil {
			p.t.Fatal(err)
		}
		values = append(values, v)
	}
	return values
}

func fdCount(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func number(t *testing.T, file string) float64 {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(string(data)), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func keyed(t *testing.T, file string) map[string]float64 {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]float64{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if m[key], err = strconv.ParseFloat(value, 64); err != nil {
			t.Fatal(err)
		}
	}
	return m
}
