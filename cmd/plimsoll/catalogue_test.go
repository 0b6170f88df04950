package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/alerting/arrival"
)

var update = flag.Bool("update", false, "write the golden files anew")

const catalogueFile = "../../alerting/rules/catalogue.txt"

// What checks rules knows every metric that there is: those of agents from the
// page that a test of theirs keeps true, those of a collector from one that
// runs with everything on.
func TestTheCatalogueOfMetricsIsTrue(t *testing.T) {
	lines := agentMetrics(t)
	for name, kind := range collectorMetrics(t) {
		if _, known := lines[name]; !known {
			lines[name] = kind + " 15"
		}
	}
	// What rules write of themselves.
	lines["ALERTS"], lines["ALERTS_FOR_STATE"] = "gauge 0", "gauge 0"

	committed := committedCatalogue(t)
	for name, line := range lines {
		// The type of what has no value yet only shows now and then.
		if unknown := strings.HasPrefix(line, "unknown "); committed[name] != "" && (unknown || strings.HasPrefix(committed[name], "unknown ") && !*update) {
			lines[name] = committed[name]
		}
	}
	if *update {
		text := "# Every metric that agents and collectors export: name, type, seconds between values.\n" +
			"# Written by make generate from docs/metrics.md and the code.\n"
		for _, name := range slices.Sorted(maps.Keys(lines)) {
			text += name + " " + lines[name] + "\n"
		}
		if err := os.WriteFile(catalogueFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(committed, lines); diff != "" {
		t.Errorf("%s is not what the code says (make generate writes it anew):\n%s", catalogueFile, diff)
	}
}

func committedCatalogue(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(catalogueFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			lines[name] = rest
		}
	}
	return lines
}

var (
	metricRow   = regexp.MustCompile("^\\| `([A-Za-z_][\\w<>]*)` \\|")
	placeholder = regexp.MustCompile(`<\w+>`)
)

// agentMetrics are the rows of the tables of docs/metrics.md that have a type.
func agentMetrics(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	lanes := map[string]string{"first": "1", "second": "5", "third": "15", "fourth": "60"}
	found := map[string]string{}
	var head []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if strings.HasPrefix(line, "| Metric |") {
			head = cells
			continue
		}
		m := metricRow.FindStringSubmatch(line)
		column := func(name string) string {
			i := slices.Index(head, name)
			if i < 0 || i >= len(cells) {
				return ""
			}
			return strings.TrimSpace(cells[i])
		}
		if m == nil || column("Type") == "" {
			continue
		}
		every := lanes[column("Lane")]
		if every == "" {
			every = "0"
		}
		name := placeholder.ReplaceAllString(m[1], "*")
		if _, again := found[name]; !again {
			found[name] = column("Type") + " " + every
		}
	}
	if len(found) < 300 {
		t.Fatalf("only %d metrics found in docs/metrics.md", len(found))
	}
	return found
}

// collectorMetrics are what a collector with everything on registers, and the
// types of those that have a value.
func collectorMetrics(t *testing.T) map[string]string {
	t.Helper()
	dir, err := os.MkdirTemp("", "collector") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	var f collectorFlags
	app := kingpin.New("test", "")
	f.add(app.Command("collector", ""))
	if _, err := app.Parse([]string{
		"collector", "--data.path=" + dir, "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=127.0.0.1:0", "--grpc.tls=on",
		"--scaler.policy.file=" + write("policies.yml", "{version: plimsoll.scaler/v1, apps: []}"), "--scaler.labels", "--pair.name=a", "--pair.peer=127.0.0.1:1", "--pair.secret-file=" + write("secret", "0123456789abcdef"), "--query.upstream=http://127.0.0.1:1", "--ingest.series-limit=1000000",
		"--grpc.relay.listen-address=127.0.0.1:0", "--grpc.relay.upstream=127.0.0.1:1",
		"--forward.config.file=" + write("forward.yml", "remote_write: [{name: a, url: 'http://127.0.0.1:1'}]"),
		"--objstore.config-file=" + write("bucket.yml", "{type: FILESYSTEM, config: {directory: "+dir+"/bucket}}"),
	}); err != nil {
		t.Fatal(err)
	}
	p, err := newCollector(t.Context(), f, map[string]string{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := arrival.New(arrival.Options{Registerer: p.registry}); err != nil { // there is none with an upstream
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, nil) }()

	registries := []*prometheus.Registry{p.registry, prometheus.DefaultRegisterer.(*prometheus.Registry)}
	found := map[string]string{}
	for { // some of Alertmanager's are there only once it runs
		answer := httptest.NewRecorder()
		p.alerting.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/api/v2/status", nil))
		if answer.Code == http.StatusOK {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the collector has ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	for _, r := range registries {
		describe(r, found)
	}
	for _, r := range registries {
		families, err := r.Gather()
		if err != nil {
			t.Error(err)
		}
		for _, f := range families {
			found[f.GetName()] = strings.ToLower(f.GetType().String())
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
	return found
}

var fqName = regexp.MustCompile(`^Desc\{fqName: "([^"]+)"`)

// describe adds the names of a registry, also those without a value yet.
func describe(r *prometheus.Registry, into map[string]string) {
	all := make(chan *prometheus.Desc)
	go func() {
		r.Describe(all)
		close(all)
	}()
	for d := range all {
		m := fqName.FindStringSubmatch(d.String())
		if m == nil {
			panic(fmt.Sprintf("no name in %s", d))
		}
		if into[m[1]] == "" {
			into[m[1]] = "unknown"
		}
	}
}
