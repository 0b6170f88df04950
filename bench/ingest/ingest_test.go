// Package ingest measures what it costs to take samples in: Plimsoll's collector
// beside a bare TSDB and beside Prometheus, with the same data in one run.
//
//	go test -bench . -benchtime 1x -timeout 2h
//
// Sender and receiver are processes of their own, and what they cost is read
// from their CPU clocks, so that other work on the machine disturbs little.
// Prometheus is built from its module; nothing else is needed.
package ingest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	containers = flag.Int("containers", 1000, "containers, of 60 series each")
	nodes      = flag.Int("nodes", 20, "nodes that they are on")
	rounds     = flag.Int("rounds", 100, "rounds that are measured")
	warmUp     = flag.Int("warm-up", 10, "rounds before them")
	runs       = flag.Int("runs", 3, "times that all is measured; the median counts")
	only       = flag.String("peers", ".", "regular expression of the peers' names")
	million    = flag.Int("million", 16_667, "containers of the benchmark of a million series")
	built      = flag.String("bin", "", "directory with load, plimsoll and prometheus; they are built by default")
)

// figures are what a peer costs.
type figures struct {
	receiver, sender float64 // CPU in ns per sample
	sent, answered   float64 // bytes per sample
	first            float64 // of these, bytes per sample while all is new
	now, most        float64 // resident, of the receiver, in MB
}

// peer is one way of taking samples in.
type peer struct {
	name    string
	data    []string // flags of the generator, that say how values move
	measure func(*testing.B, programs, []string) figures
}

func peers() []peer {
	usual := []string{"-interval", "10s"}
	return []peer{
		{"raw", usual, raw},
		{"plimsoll", usual, plimsoll},
		{"plimsoll at 1 s", []string{"-interval", "1s"}, plimsoll},
		{"plimsoll, all busy", append(usual, "-busy"), plimsoll},
		{"remote write 1.0", usual, remoteWrite("rw1")},
		{"remote write 2.0", usual, remoteWrite("rw2")},
		{"scrape", usual, scrape},
	}
}

// targets are the promises, each of a figure that must not be above.
var targets = []struct {
	of, figure string
	value      func(map[string]figures) float64
	atMost     float64
}{
	{"plimsoll", "receiver CPU of raw", func(f map[string]figures) float64 { return f["plimsoll"].receiver / f["raw"].receiver }, 1.6},
	{"plimsoll", "receiver CPU of remote write 2.0", func(f map[string]figures) float64 { return f["plimsoll"].receiver / f["remote write 2.0"].receiver }, 1. / 8},
	{"plimsoll", "receiver CPU of a scrape", func(f map[string]figures) float64 { return f["plimsoll"].receiver / f["scrape"].receiver }, 1. / 7},
	{"plimsoll", "bytes per sample", func(f map[string]figures) float64 { return f["plimsoll"].sent }, 3},
	{"plimsoll at 1 s", "bytes per sample", func(f map[string]figures) float64 { return f["plimsoll at 1 s"].sent }, 2},
}

func BenchmarkIngest(b *testing.B) {
	bin := build(b)
	wanted := regexp.MustCompile(*only)
	all := map[string][]figures{}
	for range *runs {
		for _, p := range peers() {
			if !wanted.MatchString(p.name) {
				continue
			}
			b.Run(p.name, func(b *testing.B) {
				for b.Loop() {
					f := p.measure(b, bin, p.data)
					all[p.name] = append(all[p.name], f)
					b.ReportMetric(f.receiver, "receiver-ns/sample")
					b.ReportMetric(f.sender, "sender-ns/sample")
					b.ReportMetric(f.sent, "B/sample")
					b.ReportMetric(f.now, "RSS-MB")
					b.ReportMetric(0, "ns/op") // of no meaning
				}
			})
		}
	}
	medians := map[string]figures{}
	for name, f := range all {
		medians[name] = medianOf(f)
	}
	b.Log("\n" + table(medians))
	for _, t := range targets {
		switch got := t.value(medians); {
		case got > t.atMost:
			b.Errorf("missed: %s: %.3f × or of %s, and %.3f were promised", t.of, got, t.figure, t.atMost)
		case got > 0:
			b.Logf("kept: %s: %.3f × or of %s, at most %.3f", t.of, got, t.figure, t.atMost)
		}
	}
}

func table(of map[string]figures) string {
	var t strings.Builder
	fmt.Fprintln(&t, "| | receiver CPU, µs per sample | sender CPU | bytes per sample | with names | answers | resident, at the end / at most, MB |")
	fmt.Fprintln(&t, "|---|---|---|---|---|---|---|")
	for _, p := range peers() {
		if f, ok := of[p.name]; ok {
			fmt.Fprintf(&t, "| %s | %.3f | %.3f | %.2f | %.2f | %.3f | %.0f / %.0f |\n",
				p.name, f.receiver/1000, f.sender/1000, f.sent, f.first, f.answered, f.now, f.most)
		}
	}
	return t.String()
}

func medianOf(all []figures) figures {
	of := func(value func(figures) float64) float64 {
		var vs []float64
		for _, f := range all {
			vs = append(vs, value(f))
		}
		slices.Sort(vs)
		return vs[len(vs)/2]
	}
	return figures{
		receiver: of(func(f figures) float64 { return f.receiver }), sender: of(func(f figures) float64 { return f.sender }),
		sent: of(func(f figures) float64 { return f.sent }), answered: of(func(f figures) float64 { return f.answered }),
		first: of(func(f figures) float64 { return f.first }),
		now:   of(func(f figures) float64 { return f.now }), most: of(func(f figures) float64 { return f.most }),
	}
}

// programs are where they have been built.
type programs string

func (p programs) path(name string) string { return filepath.Join(string(p), name) }

func build(b *testing.B) programs {
	if *built != "" {
		return programs(*built)
	}
	dir := b.TempDir()
	for _, program := range []struct{ dir, name, of string }{
		{".", "load", "./load"},
		{"../..", "plimsoll", "./cmd/plimsoll"},
		{".", "prometheus", "github.com/prometheus/prometheus/cmd/prometheus"},
	} {
		// Without the tag Prometheus knows all clouds, and takes ten minutes more.
		cmd := exec.Command("go", "build", "-trimpath", "-tags", "remove_all_sd", "-o", filepath.Join(dir, program.name), program.of)
		cmd.Dir = program.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", program.name, err, out)
		}
	}
	return programs(dir)
}

// load starts a generator and waits until it has made its data.
func (p programs) load(b *testing.B, by, to string, containers, rounds int, data ...string) *process {
	b.Helper()
	args := []string{
		p.path("load"), "-by", by, "-to", to, "-dir", b.TempDir(), "-nodes", strconv.Itoa(*nodes),
		"-containers", strconv.Itoa(containers), "-rounds", strconv.Itoa(rounds),
	}
	return start(b, true, append(args, data...)...)
}

// collector starts ours, and tells where it listens.
func (p programs) collector(b *testing.B, dir string) (c *process, web, agents string) {
	b.Helper()
	web, agents = freeAddress(b), freeAddress(b)
	// Rules are what Prometheus would not have either.
	return start(b, false, p.path("plimsoll"), "collector", "--data.path", dir, "--no-rules.bundled",
		"--web.listen-address", web, "--grpc.listen-address", agents), web, agents
}

// prometheus starts one.
func (p programs) prometheus(b *testing.B, config string) (c *process, web string) {
	b.Helper()
	web, dir := freeAddress(b), b.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	must(b, os.WriteFile(file, []byte(config), 0o600))
	return start(b, false, p.path("prometheus"), "--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", web, "--web.enable-remote-write-receiver"), web
}

// measured has the load sent, and reads what that costs.
func measured(b *testing.B, load, receiver *process) figures {
	b.Helper()
	f, warm := figures{}, load.rounds(*warmUp)
	f.first = float64(warm.Sent) / float64(warm.Samples)
	sender, taker := load.cpu(), receiver.cpu()
	end := load.rounds(*rounds)
	samples := float64(end.Samples - warm.Samples)
	f.receiver = float64(receiver.cpu()-taker) / samples
	f.sender = float64(load.cpu()-sender) / samples
	f.sent = float64(end.Sent-warm.Sent) / samples
	f.answered = float64(end.Answered-warm.Answered) / samples
	f.now, f.most = receiver.memory()
	return f
}

// stored fails unless the receiver's TSDB has taken at least so many samples.
func stored(b *testing.B, web string, samples int) {
	b.Helper()
	if got := metric(b, web, "prometheus_tsdb_head_samples_appended_total"); got < float64(samples) {
		b.Fatalf("%.0f of %d samples are stored", got, samples)
	}
}

func raw(b *testing.B, bin programs, data []string) figures {
	load := bin.load(b, "raw", "", *containers, *warmUp+*rounds, data...)
	defer load.stop()
	load.hear()
	f := measured(b, load, load)
	f.sender = 0
	return f
}

func plimsoll(b *testing.B, bin programs, data []string) figures {
	c, web, agents := bin.collector(b, b.TempDir())
	defer c.stop()
	c.ready(web)
	load := bin.load(b, "push", agents, *containers, *warmUp+*rounds, data...)
	defer load.stop()
	load.hear()
	f := measured(b, load, c)
	stored(b, web, *containers*60*(*warmUp+*rounds))
	return f
}

func remoteWrite(version string) func(*testing.B, programs, []string) figures {
	return func(b *testing.B, bin programs, data []string) figures {
		c, web := bin.prometheus(b, "")
		defer c.stop()
		c.ready(web)
		load := bin.load(b, version, web, *containers, *warmUp+*rounds, data...)
		defer load.stop()
		load.hear()
		f := measured(b, load, c)
		stored(b, web, *containers*60*(*warmUp+*rounds))
		return f
	}
}

func scrape(b *testing.B, bin programs, data []string) figures {
	at := freeAddress(b)
	load := bin.load(b, "expose", at, *containers, *warmUp+*rounds, data...)
	defer load.stop()
	load.hear()
	var config strings.Builder
	fmt.Fprint(&config, "scrape_configs:\n- job_name: containers\n  scrape_interval: 1s\n  static_configs:\n")
	for i := range *nodes {
		fmt.Fprintf(&config, "  - targets: [%q]\n    labels: {__metrics_path__: /node-%02d, node: node-%02d, instance: node-%02d:9100}\n", at, i, i, i)
	}
	c, web := bin.prometheus(b, config.String())
	defer c.stop()
	c.ready(web)
	f := measured(b, load, c)
	stored(b, web, *containers*60**rounds) // the last round of each is still being taken in
	return f
}
