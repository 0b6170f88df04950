// Package agents measures Plimsoll's agent beside its peers: the same
// containers, the same machine, one after the other in one run.
//
//	go test -bench . -benchtime 1x -timeout 4h
//
// It needs root, Docker, netdata, prometheus-node-exporter and strace as Debian
// packages, and builds the others itself.
package agents

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

var (
	counts  = flag.String("counts", "20,100,300", "containers")
	windows = flag.Int("windows", 3, "windows measured of each; the median counts")
	window  = flag.Duration("window", 40*time.Second, "length of one")
	warmUp  = flag.Duration("warm-up", 25*time.Second, "before the first")
	only    = flag.String("peers", ".", "regular expression of the peers' names")
)

// peer is what is measured.
type peer struct {
	name      string
	intervals []time.Duration
	host      bool // it reads the host and no containers
	// command writes what the peer needs to dir and says how it is started.
	// It serves on port.
	command func(interval time.Duration, dir string, port int) []string
	look    func(port int) (picture, error)
}

// picture is what a peer has to show at a moment.
type picture struct {
	series int
	bytes  int           // of text; 0 if it serves none
	age    time.Duration // median of the containers' CPU series; -1 if it does not say
}

var both = []time.Duration{time.Second, 10 * time.Second}

// peers are in the order in which they are measured.
func peers(bin string) []peer {
	cadvisor := func(setting, below string) func(time.Duration, string, int) []string {
		return func(interval time.Duration, _ string, port int) []string {
			return []string{bin + "/cadvisor", "-listen", addr(port), "-set", setting, "-below", below, "-interval", interval.String()}
		}
	}
	return []peer{
		{name: "plimsoll", intervals: both, command: plimsoll(bin), look: atCollector},
		{name: "floor", intervals: both, command: func(interval time.Duration, _ string, _ int) []string {
			return []string{bin + "/floor", "-interval", interval.String()}
		}},
		{name: "netdata cgroups", intervals: both, command: netdata, look: text("/api/v1/allmetrics?format=prometheus", `^netdata_cgroup_cpu_`)},
		{name: "cAdvisor tuned", intervals: both, command: cadvisor("tuned", "/docker"), look: text("/metrics", `^container_cpu_usage_seconds_total.*id="/docker/`)},
		{name: "telegraf cgroup", intervals: both, command: telegraf(bin), look: text("/metrics", `^cgroup_usage_usec`)},
		{name: "cAdvisor kubelet", intervals: both[1:], command: cadvisor("kubelet", "/docker"), look: text("/metrics", `^container_cpu_usage_seconds_total.*id="/docker/`)},
		{name: "cAdvisor default", intervals: both[1:], command: cadvisor("default", ""), look: text("/metrics", `^container_cpu_usage_seconds_total.*id="/docker/`)},
		{name: "node_exporter", intervals: both[1:], host: true, command: func(_ time.Duration, _ string, port int) []string {
			return []string{"prometheus-node-exporter", "--web.listen-address", addr(port)}
		}, look: text("/metrics", "-")},
	}
}

func addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// plimsoll streams to a collector that stands in collectorPort and is not
// measured.
func plimsoll(bin string) func(time.Duration, string, int) []string {
	return func(interval time.Duration, dir string, port int) []string {
		return []string{
			bin + "/plimsoll", "agent", "--interval", interval.String(), "--node.name", "bench",
			"--data.path", dir, "--collector.address", addr(port + 1), "--docker.host", os.Getenv("DOCKER_HOST"),
		}
	}
}

func netdata(interval time.Duration, dir string, port int) []string {
	conf := fmt.Sprintf(`[global]
	run as user = root
[db]
	mode = ram
	update every = %d
	retention = 1200
[directories]
	cache = %[2]s
	lib = %[2]s
	log = %[2]s
[web]
	bind to = %[3]s
[registry]
	enabled = no
[cloud]
	enabled = no
[ml]
	enabled = no
[health]
	enabled = no
[statsd]
	enabled = no
[plugins]
	cgroups = yes
	proc = no
	diskspace = no
	tc = no
	idlejitter = no
	checks = no
	timex = no
	apps = no
	perf = no
	slabinfo = no
	nfacct = no
	freeipmi = no
	cups = no
	ebpf = no
	go.d = no
	python.d = no
	charts.d = no
	node.d = no
	ioping = no
	statsd = no
	enable running new plugins = no
[plugin:cgroups]
	update every = %[1]d
`, int(interval.Seconds()), dir, addr(port))
	file := filepath.Join(dir, "netdata.conf")
	must(os.WriteFile(file, []byte(conf), 0o600))
	return []string{"netdata", "-D", "-c", file}
}

func telegraf(bin string) func(time.Duration, string, int) []string {
	return func(interval time.Duration, dir string, port int) []string {
		conf := fmt.Sprintf(`[agent]
  interval = "%[1]s"
  flush_interval = "%[1]s"
  quiet = true
[[inputs.cgroup]]
  paths = ["/sys/fs/cgroup/cpu,cpuacct/docker/*", "/sys/fs/cgroup/cpu/docker/*"]
  files = ["cpuacct.usage", "cpu.stat"]
[[inputs.cgroup]]
  paths = ["/sys/fs/cgroup/unified/docker/*"]
  files = ["cpu.stat"]
[[inputs.cgroup]]
  paths = ["/sys/fs/cgroup/memory/docker/*"]
  files = ["memory.usage_in_bytes", "memory.stat", "memory.limit_in_bytes"]
[[inputs.cgroup]]
  paths = ["/sys/fs/cgroup/pids/docker/*"]
  files = ["pids.current"]
[[outputs.prometheus_client]]
  listen = "%[2]s"
  export_timestamp = true
  collectors_exclude = ["gocollector", "process"]
`, interval, addr(port))
		file := filepath.Join(dir, "telegraf.conf")
		must(os.WriteFile(file, []byte(conf), 0o600))
		return []string{bin + "/telegraf", file}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// text looks at what is served as Prometheus text. The ages are those of lines
// that match cpu and have a timestamp.
func text(path, cpu string) func(int) (picture, error) {
	line := regexp.MustCompile(cpu)
	return func(port int) (picture, error) {
		resp, err := http.Get("http://" + addr(port) + path)
		if err != nil {
			return picture{}, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			return picture{}, fmt.Errorf("%s: %w", resp.Status, err)
		}
		p := picture{bytes: len(body), age: -1}
		var ages []time.Duration
		now := time.Now()
		for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
			l := lines.Text()
			if l == "" || l[0] == '#' {
				continue
			}
			p.series++
			f := strings.Fields(l[strings.LastIndexByte(l, '}')+1:])
			if line.MatchString(l) && len(f) == 2 {
				if ms, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					ages = append(ages, now.Sub(time.UnixMilli(ms)))
				}
			}
		}
		if len(ages) > 0 {
			p.age = median(ages)
		}
		return p, nil
	}
}

// atCollector asks the collector, as Plimsoll's agent serves nothing itself.
func atCollector(port int) (picture, error) {
	series, err := query(port, `count({node="bench"})`)
	if err != nil {
		return picture{}, err
	}
	age, err := query(port, `quantile(0.5, time() - timestamp(container_cpu_usage_seconds_total{node="bench", image!=""}))`)
	if err != nil {
		return picture{}, err
	}
	return picture{series: int(series), age: time.Duration(age * float64(time.Second))}, nil
}

func query(port int, expr string) (float64, error) {
	resp, err := http.Get("http://" + addr(port) + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if len(answer.Data.Result) != 1 {
		return 0, fmt.Errorf("%s: %d results", expr, len(answer.Data.Result))
	}
	return strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
}

func BenchmarkAgents(b *testing.B) {
	bin := build(b)
	e := engine.Start(b)
	b.Setenv("DOCKER_HOST", e.Host())
	wanted := regexp.MustCompile(*only)
	running := 0
	for count := range strings.SplitSeq(*counts, ",") {
		n, err := strconv.Atoi(count)
		if err != nil {
			b.Fatal(err)
		}
		for ; running < n; running++ {
			e.Docker("run", "-d", "--name", fmt.Sprintf("c%d", running), "--memory", "64m", "--cpus", "0.5", engine.Image, "sleep", "100000")
		}
		for _, p := range peers(bin) {
			for _, interval := range p.intervals {
				if !wanted.MatchString(p.name) || p.host && n != 20 {
					continue
				}
				b.Run(fmt.Sprintf("%s/%d/%s", p.name, n, interval), func(b *testing.B) {
					for b.Loop() {
						measure(b, p, interval, n, bin)
					}
				})
			}
		}
	}
}

// build makes the programs that are measured.
func build(b *testing.B) string {
	bin := b.TempDir()
	for _, program := range []struct{ dir, name, of string }{
		{".", "cadvisor", "./cadvisor"}, {".", "floor", "./floor"}, {"telegraf", "telegraf", "."}, {"../..", "plimsoll", "./cmd/plimsoll"},
	} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(bin, program.name), program.of)
		cmd.Dir = program.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", program.name, err, out)
		}
		dropFromCache(b, filepath.Join(bin, program.name))
	}
	return bin
}

// dropFromCache has a program read from disk when it starts. One that the linker
// just wrote is in the page cache in pieces of 2 MiB, which are mapped whole and
// count as resident.
func dropFromCache(b *testing.B, file string) {
	for _, args := range [][]string{{"sync", file}, {"dd", "of=" + file, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
}

// measure starts a peer, lets it come to rest, and takes its cost.
func measure(b *testing.B, p peer, interval time.Duration, containers int, bin string) {
	port := freePort(b)
	if p.name == "plimsoll" {
		c := start(b, []string{
			bin + "/plimsoll", "collector", "--data.path", b.TempDir(),
			"--web.listen-address", addr(port), "--grpc.listen-address", addr(port + 1),
		})
		defer c.stop()
		c.eventually(func() error {
			conn, err := net.Dial("tcp", addr(port+1))
			if err == nil {
				conn.Close()
			}
			return err
		})
	}
	a := start(b, p.command(interval, b.TempDir(), port))
	defer a.stop()
	if p.look != nil {
		a.eventually(func() error { _, err := p.look(port); return err })
	}
	pause(*warmUp + 2*interval)

	var cpu, rss, ages []float64
	for range *windows {
		began, used := time.Now(), a.cpu()
		for range 4 { // what is looked at is not free for those who serve it
			pause(*window / 4)
		}
		cpu = append(cpu, (a.cpu()-used).Seconds()/time.Since(began).Seconds())
		rss = append(rss, a.rss())
	}
	syscalls := a.syscalls(max(3*interval, 15*time.Second))
	core := median(cpu)
	b.ReportMetric(100*core, "%-of-a-core")
	b.ReportMetric(core*interval.Seconds()*1e6/float64(containers), "µs/container")
	b.ReportMetric(median(rss), "RSS-MB")
	b.ReportMetric(syscalls*interval.Seconds()/float64(containers), "syscalls/container")
	b.ReportMetric(0, "ns/op") // of no meaning
	if p.look == nil {
		return
	}
	var seen picture
	for i := range 8 {
		now, err := p.look(port)
		if err != nil {
			b.Fatal(err)
		}
		seen = now
		ages = append(ages, now.age.Seconds())
		pause(interval/4 + time.Duration(i)*37*time.Millisecond)
	}
	b.ReportMetric(float64(seen.series), "series")
	if seen.bytes > 0 {
		b.ReportMetric(float64(seen.bytes), "B")
	}
	if seen.age >= 0 {
		b.ReportMetric(median(ages), "s-old")
	}
}

func pause(d time.Duration) { <-time.After(d) }

func median[T int | float64 | time.Duration](of []T) T {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

// freePort is a port that is free and so is the next.
func freePort(b *testing.B) int {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		next, err := net.Listen("tcp", addr(port+1))
		l.Close()
		if err == nil {
			next.Close()
			return port
		}
	}
	b.Fatal("no two ports in a row are free")
	return 0
}

// process is a program with its children.
type process struct {
	b    *testing.B
	cmd  *exec.Cmd
	said bytes.Buffer
	done chan error
}

func start(b *testing.B, args []string) *process {
	p := &process{b: b, cmd: exec.Command(args[0], args[1:]...), done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	return p
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

func (p *process) eventually(try func() error) {
	for deadline := time.Now().Add(90 * time.Second); ; pause(200 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		select {
		case end := <-p.done:
			p.b.Fatalf("%v ended: %v\n%s", p.cmd.Args, end, p.said.String())
		default:
		}
		if time.Now().After(deadline) {
			p.b.Fatalf("%v: %v", p.cmd.Args, err)
		}
	}
}

// tree are the process and all below it.
func (p *process) tree() []int {
	tree := []int{p.cmd.Process.Pid}
	for i := 0; i < len(tree); i++ {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", tree[i]))
		for _, file := range files {
			data, _ := os.ReadFile(file)
			for _, child := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(child); err == nil {
					tree = append(tree, pid)
				}
			}
		}
	}
	return tree
}

// cpu is the processor time of all, in ns by clock_gettime(2), and that of their
// children that ended (fields 16 and 17 of /proc/PID/stat, in ticks of 10 ms).
func (p *process) cpu() time.Duration {
	total := time.Duration(0)
	for _, pid := range p.tree() {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		var used unix.Timespec
		if err != nil || unix.ClockGettime(clockOf(pid), &used) != nil {
			continue
		}
		total += time.Duration(used.Nano())
		for _, ticks := range strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))[13:15] {
			n, err := strconv.Atoi(ticks)
			must(err)
			total += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return total
}

// clockOf is the CPU clock of a process as clock_getcpuclockid(3) makes it.
func clockOf(pid int) int32 { return int32(^pid<<3 | 2) }

// rss is in MB of 10^6 bytes.
func (p *process) rss() float64 {
	total := 0.0
	for _, pid := range p.tree() {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		pages, err := strconv.Atoi(strings.Fields(string(data))[1])
		must(err)
		total += float64(pages*os.Getpagesize()) / 1e6
	}
	return total
}

// syscalls is how many are made in a second.
func (p *process) syscalls(in time.Duration) float64 {
	args := []string{"-f", "-c", "-U", "calls"}
	for _, pid := range p.tree() {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.Command("strace", args...)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		p.b.Fatal(err)
	}
	pause(in)
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	total := 0
	for line := range strings.Lines(out.String()) {
		if f := strings.Fields(line); len(f) == 2 && f[1] == "total" {
			total, _ = strconv.Atoi(f[0])
		}
	}
	if total == 0 {
		p.b.Fatalf("strace counted nothing:\n%s", out.String())
	}
	return float64(total) / in.Seconds()
}
