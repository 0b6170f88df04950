//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// What whoever starts containers may write, and what runs in them, is not
// trusted: it costs its own series at most.
func TestAHostileContainerCostsItsNeighboursNothing(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "neighbour", engine.Image, "sleep", "600")
	p := up(t, "--docker.host="+e.Host(),
		"--container.label=a.b", "--container.label=a_b", "--container.label=huge", "--container.label=evil")
	p.eventually(patience, `container_cpu_usage_seconds_total{name="neighbour"}`, some)

	labels := filepath.Join(t.TempDir(), "labels")
	var file strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&file, "label-%d=%d\n", i, i)
	}
	fmt.Fprintf(&file, "evil=a\x01b\x1b[31m\"\\}\nid=/\nname=neighbour\n__name__=up\njob=cadvisor\na.b=first\na_b=second\n")
	if err := os.WriteFile(labels, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Docker("run", "-d", "--name", "many", "--label-file", labels, engine.Image, "sleep", "600")
	huge := filepath.Join(t.TempDir(), "huge")
	if err := os.WriteFile(huge, []byte("huge="+strings.Repeat("x", 60_000)+"\n"), 0o600); err != nil {
		t.Fatal(err) // the docker command reads lines of 64 KiB at most
	}
	e.Docker("run", "-d", "--name", "large", "--label-file", huge, engine.Image, "sleep", "600")
	e.Docker("run", "-d", "--name", "endless", "--label", "prometheus.io/scrape=true", "--label", "prometheus.io/port=80", engine.Image,
		"sh", "-c", "while :; do { printf 'HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\n'; yes 'm{a=\"b\"} 1'; } | nc -l -p 80; done")
	e.Docker("run", "-d", "--name", "lost", engine.Image, "sh", "-c",
		"mkdir -p /d; ln -s / /d/root; ln -s /d /d/self; ln -s /proc /d/proc; ln -s ../../../../.. /d/up; i=0; while [ $i -lt 200 ]; do mkdir -p /d/$i/$i; i=$((i+1)); done; sleep 600")

	for _, name := range []string{"many", "large", "endless", "lost"} {
		p.eventually(patience, fmt.Sprintf(`container_cpu_usage_seconds_total{name=%q, image!=""}`, name), func(v []element) bool { return len(v) == 1 })
	}
	missed := p.metric("plimsoll_agent_ticks_missed_total")
	settle := time.NewTimer(30 * time.Second)
	<-settle.C

	if v := p.value(`count_over_time(container_cpu_usage_seconds_total{name="neighbour"}[20s] offset 2s)`); v < 19 {
		t.Errorf("the neighbour has %v samples of 20 s, want 20", v)
	}
	if n := p.metric("plimsoll_agent_ticks_missed_total") - missed; n > 1 {
		t.Errorf("%v ticks were missed", n)
	}
	// The labels of a container do not make it another.
	if v := p.query(`container_cpu_usage_seconds_total{name="neighbour"}`); len(v) != 1 {
		t.Errorf("%d containers are called neighbour: %v", len(v), v)
	}
	many := p.query(`container_cpu_usage_seconds_total{name="many"}`)
	if len(many) != 1 || many[0].labels["container_label_a_b"] != "first" || len(many[0].labels) > 20 || many[0].labels["id"] == "/" {
		t.Errorf("the container with 10,000 labels: %v", many)
	}
	large := p.query(`container_cpu_usage_seconds_total{name="large"}`)
	if len(large) != 1 || len(large[0].labels["container_label_huge"]) > 1024 {
		t.Errorf("a label of 60,000 bytes: %d series", len(large))
	}
	if v := p.query(`up{name="endless"}`); len(v) != 1 || v[0].value != 0 {
		t.Errorf("whether an endless answer is one: %v, want 0", v)
	}
	if v := p.query(`m`); len(v) != 0 {
		t.Errorf("an endless answer left %d series", len(v))
	}
}
