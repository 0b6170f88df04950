package agent

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// scrapeNode is a node with containers that are scraped, each a web server in a
// network of its own. A test ticks it by hand; scrapes take the time they take.
type scrapeNode struct {
	t          *testing.T
	source     *scrapeSource
	containers func() (uint64, []discover.Container)
	version    uint64
	list       []discover.Container
	pids       map[string]int
	ticks      uint64
	now        time.Time
	batch      sample.Batch
	ended      map[*sample.Group]bool
	last       map[string]string // of each series, the value it had last
}

func newScrapeNode(t *testing.T) *scrapeNode {
	t.Helper()
	n := newStillScrapeNode(t)
	n.run(n.source)
	return n
}

// newStillScrapeNode is one on which nothing is scraped before it is run.
func newStillScrapeNode(t *testing.T) *scrapeNode {
	t.Helper()
	n := &scrapeNode{
		t: t, pids: map[string]int{}, ended: map[*sample.Group]bool{}, last: map[string]string{},
		now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
	}
	n.containers = func() (uint64, []discover.Container) { return n.version, n.list }
	s, err := newScrapeSource(ScrapeOptions{
		Containers: func() (uint64, []discover.Container) { return n.containers() },
		Lanes:      Lanes{Third: 1},
	}, func(dst []int, group string, _ int) ([]int, error) {
		pid, ok := n.pids[group]
		if !ok {
			return nil, os.ErrNotExist
		}
		return append(dst, pid), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n.source = s
	return n
}

func (n *scrapeNode) run(s *scrapeSource) {
	n.source = s
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.scraper.Run(ctx) }()
	n.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			n.t.Error(err)
		}
		if err := s.Close(); err != nil {
			n.t.Error(err)
		}
	})
}

// start starts a container and returns the file that it serves as /metrics.
func (n *scrapeNode) start(c discover.Container, metrics string) string {
	n.t.Helper()
	if os.Getuid() != 0 {
		without := n.t.Skipf
		if os.Getenv("CI") == "true" {
			without = n.t.Fatalf
		}
		without("only root may make networks")
	}
	dir := n.t.TempDir()
	file := filepath.Join(dir, "metrics")
	n.write(file, metrics)
	cmd := exec.Command("unshare", "--net", "busybox", "sh", "-c", "busybox ifconfig lo up && exec busybox httpd -f -p 127.0.0.1:8080 -h "+dir)
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	n.pids[c.Cgroup] = cmd.Process.Pid
	n.list = append(n.list, c)
	n.version++
	return file
}

// write changes a file at once, as the server may be reading it.
func (n *scrapeNode) write(file, text string) {
	n.t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		n.t.Fatal(err)
	}
}

// tick checks what has to hold for all that a source does with its groups.
func (n *scrapeNode) tick() {
	n.t.Helper()
	b := &n.batch
	b.Reset(n.ticks, n.now)
	n.ticks++
	n.now = n.now.Add(time.Second)
	if err := n.source.Collect(n.t.Context(), b); err != nil {
		n.t.Fatal(err)
	}
	has := make(map[string]bool)
	for _, c := range b.Columns {
		if n.ended[c.Group] || c.Group.Every == 0 {
			n.t.Errorf("a group that has ended is back, or has no lane: %v every %d", c.Group.Labels, c.Group.Every)
		}
		for i, s := range c.Group.Series {
			key := s.Metric.Name + labels(c.Group.Labels, s.Labels)
			if has[key] {
				n.t.Errorf("two samples of %s", key)
			}
			has[key] = true
			if sample.IsAbsent(c.Values[i]) {
				delete(n.last, key)
			}
		}
	}
	maps.Copy(n.last, values(b))
	for _, g := range b.Ended {
		if n.ended[g] {
			n.t.Errorf("a group ends twice: %v", g.Labels)
		}
		n.ended[g] = true
		for _, s := range g.Series {
			key := s.Metric.Name + labels(g.Labels, s.Labels)
			if has[key] {
				n.t.Errorf("%s ends where it has a sample", key)
			}
			delete(n.last, key)
		}
	}
}

// until ticks until something holds of the series as they stand.
func (n *scrapeNode) until(what string, is func(map[string]string) bool) {
	n.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(20 * time.Second); ; {
		n.tick()
		if is(n.last) {
			return
		}
		select {
		case <-limit:
			n.t.Fatalf("waited in vain for %s; there are %v", what, n.last)
		case <-again.C:
		}
	}
}

func (n *scrapeNode) has(series, value string) {
	n.t.Helper()
	n.until(series+" "+value, func(last map[string]string) bool { return last[series] == value })
}

// lacks wants no series whose name starts so.
func (n *scrapeNode) lacks(prefix string) {
	n.t.Helper()
	n.until("no "+prefix, func(last map[string]string) bool {
		for key := range last {
			if strings.HasPrefix(key, prefix) {
				return false
			}
		}
		return true
	})
}

// scraped waits, without a tick, until that many series have been scraped.
func (n *scrapeNode) scraped(series int) {
	n.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(20 * time.Second); n.source.scraper.Stats().Series != series; {
		select {
		case <-limit:
			n.t.Fatalf("%d series, want %d", n.source.scraper.Stats().Series, series)
		case <-again.C:
		}
	}
}

func scrapedWeb(id string, more map[string]string) discover.Container {
	c := discover.Container{
		Cgroup: "/docker/" + id, ID: id, Runtime: "docker", Known: true, Name: "web", Image: "shop:1",
		Labels: map[string]string{"plimsoll.scrape.enabled": "true", "plimsoll.scrape.port": "8080", "plimsoll.scrape.interval": "1s"},
	}
	maps.Copy(c.Labels, more)
	return c
}

func TestScrapedSeriesHaveTheIdentityOfTheirContainer(t *testing.T) {
	n := newScrapeNode(t)
	file := n.start(scrapedWeb("1", map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "front"}),
		"# TYPE orders_total counter\norders_total{job=\"mine\",name=\"x\",kind=\"a\"} 7\n")
	identity := `container_label_com_docker_compose_project="shop",container_label_com_docker_compose_service="front",`
	rest := `id="/docker/1",image="shop:1",job="shop/front",`
	n.has(`orders_total{`+identity+`exported_job="mine",exported_name="x",`+rest+`kind="a",name="web"}`, "7")
	own := `{` + identity + rest + `name="web"}`
	n.has("up"+own, "1")
	n.has("scrape_samples_scraped"+own, "1")
	n.has("scrape_samples_post_metric_relabeling"+own, "1")
	if n.last["scrape_duration_seconds"+own] == "" {
		t.Error("no duration")
	}
	n.has(`plimsoll_agent_scrape_targets{job="plimsoll-agent"}`, "1")
	n.has(`plimsoll_agent_scrape_series{job="plimsoll-agent"}`, "1")

	n.write(file, "no metrics\n")
	n.has("up"+own, "0")
	n.lacks("orders_total")
	n.has(`plimsoll_agent_scrape_failed_total{job="plimsoll-agent",reason="forbidden"}`, "0")
	n.until("the reason", func(last map[string]string) bool {
		v := last[`plimsoll_agent_scrape_failed_total{job="plimsoll-agent",reason="malformed"}`]
		return v != "" && v != "0"
	})
	n.write(file, "back 1\nold 1 1000\n")
	n.has(`back`+own, "1")
	n.has("scrape_samples_scraped"+own, "2")
	n.has("scrape_samples_post_metric_relabeling"+own, "1")
}

func TestScrapingFollowsWhatAContainerIsCalledAndAsksFor(t *testing.T) {
	n := newScrapeNode(t)
	file := n.start(scrapedWeb("1", nil), "x 1\n")
	n.has(`x{id="/docker/1",image="shop:1",job="web",name="web"}`, "1")

	n.list[0].Name = "shop"
	n.version++
	n.tick()
	n.lacks(`x{id="/docker/1",image="shop:1",job="web"`) // under its new name it may be there already
	n.has(`x{id="/docker/1",image="shop:1",job="shop",name="shop"}`, "1")

	n.list[0].Labels = maps.Clone(n.list[0].Labels)
	n.list[0].Labels["plimsoll.scrape.path"] = "/other"
	n.write(filepath.Join(filepath.Dir(file), "other"), "y 1\n")
	n.version++
	n.has(`y{id="/docker/1",image="shop:1",job="shop",name="shop"}`, "1")
	n.lacks("x{")

	n.list[0].Labels = maps.Clone(n.list[0].Labels)
	n.list[0].Labels["plimsoll.scrape.port"] = "none"
	n.version++
	n.lacks("y{")
	n.lacks("up{")
	n.has(`plimsoll_agent_scrape_refused_total{job="plimsoll-agent",reason="mistake"}`, "1")
	n.version++
	n.tick()
	n.has(`plimsoll_agent_scrape_refused_total{job="plimsoll-agent",reason="mistake"}`, "1")

	n.list[0].Labels = scrapedWeb("1", nil).Labels
	n.version++
	n.has(`x{id="/docker/1",image="shop:1",job="shop",name="shop"}`, "1")
	n.list = nil
	n.version++
	n.lacks("x{")
	n.lacks("up{")
	n.has(`plimsoll_agent_scrape_targets{job="plimsoll-agent"}`, "0")
	n.has(`plimsoll_agent_scrape_series{job="plimsoll-agent"}`, "0")
}

// A series ends at one tick and begins in another group at the next.
func TestSeriesThatMoveToANewGroupHaveAValueSoonAfter(t *testing.T) {
	n := newScrapeNode(t)
	var many strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&many, "x{i=\"%d\"} 1\n", i)
	}
	file := n.start(scrapedWeb("1", nil), many.String())
	n.has(`plimsoll_agent_scrape_series{job="plimsoll-agent"}`, "2500")
	stays := `x{i="2499",id="/docker/1",image="shop:1",job="web",name="web"}`
	n.until("the series", func(last map[string]string) bool { return last[stays] == "1" })
	n.write(file, "x{i=\"2499\"} 2\n")
	n.has(`plimsoll_agent_scrape_series{job="plimsoll-agent"}`, "1")
	n.has(stays, "2")
	if len(n.ended) != 1 {
		t.Errorf("%d groups have ended, want the one with 2499 series that are gone", len(n.ended))
	}
}

// It leaves between the tick at which series ended and the one at which they
// would have begun again.
func TestAContainerThatLeavesWhileItsSeriesMoveEndsAllOfThem(t *testing.T) {
	n := newScrapeNode(t)
	file := n.start(scrapedWeb("1", nil), "x 1\n")
	stays := `x{id="/docker/1",image="shop:1",job="web",name="web"}`
	n.has(stays, "1")
	// Between two ticks y comes and goes, and z comes.
	for _, scrape := range []string{"x 2\ny 2\n", "x 3\n", "x 4\nz 4\n"} {
		n.write(file, scrape)
		n.scraped(strings.Count(scrape, "\n"))
	}
	n.tick()
	n.list = nil
	n.version++
	n.tick()
	if v, ok := n.last[stays]; ok {
		t.Errorf("a series of a container that has left stays at %s", v)
	}
}

func TestTheJobOfAContainerIsItsService(t *testing.T) {
	tests := map[string]struct {
		c    discover.Container
		want string
	}{
		"of Swarm": {discover.Container{Name: "web.1.x", Labels: map[string]string{"com.docker.swarm.service.name": "web"}}, "web"},
		"of Compose": {discover.Container{Name: "shop-web-1", Labels: map[string]string{
			"com.docker.compose.project": "shop", "com.docker.compose.service": "web",
		}}, "shop/web"},
		"in a pod":                    {discover.Container{Name: "k8s_web_x", Namespace: "shop", ContainerName: "web"}, "shop/web"},
		"if any":                      {discover.Container{Name: "web", ID: "1"}, "web"},
		"or at least an id":           {discover.Container{ID: "1", Cgroup: "/docker/1"}, "1"},
		"but not one of the agent's":  {discover.Container{Name: "cadvisor"}, "scraped/cadvisor"},
		"nor as those were renamed":   {discover.Container{Name: "kubelet"}, "scraped/kubelet"},
		"nor one that is to be ours":  {discover.Container{Name: "plimsoll-agent"}, "scraped/plimsoll-agent"},
		"which labels can not change": {discover.Container{Name: "x", Labels: map[string]string{"com.docker.swarm.service.name": "node-exporter"}}, "scraped/node-exporter"},
	}
	for name, tt := range tests {
		if got := scrapeJob(&tt.c, Jobs{Containers: "kubelet,/metrics/cadvisor"}); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestATickThatNothingWasScrapedForAllocatesNothing(t *testing.T) {
	n := newStillScrapeNode(t) // or what begins to scrape beside would count
	for i := range 10 {
		n.list = append(n.list, scrapedWeb(fmt.Sprint(i), map[string]string{"plimsoll.scrape.interval": "5m"}))
	}
	n.version++
	n.tick()
	if allocs := testing.AllocsPerRun(100, func() {
		n.batch.Reset(n.ticks, n.now)
		if err := n.source.Collect(context.Background(), &n.batch); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// The real engine and its containers, one of them hostile.
func TestContainersOfARealEngineAreScraped(t *testing.T) {
	e := engine.Start(t)
	watcher, err := discover.New(discover.Options{DockerHost: e.Host()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan error, 1)
	go func() { watched <- watcher.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-watched })

	source, loop, err := ScrapeSource(ScrapeOptions{Containers: watcher.Containers, Lanes: Lanes{Third: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if loop.Name != "scrape" {
		t.Error(loop.Name)
	}
	n := &scrapeNode{t: t, ended: map[*sample.Group]bool{}, last: map[string]string{}, now: time.Now()}
	n.run(source.(*scrapeSource))

	run := func(name, network, serve string, labels ...string) string {
		args := []string{"run", "-d", "--name", name, "--network", network}
		for _, l := range slices.Concat([]string{"plimsoll.scrape.interval=1s"}, labels) {
			args = append(args, "--label", l)
		}
		return e.Docker(append(args, engine.Image, "sh", "-c", serve)...)
	}
	scraped := []string{"prometheus.io/scrape=true", "prometheus.io/port=8080"}
	httpd := "mkdir /www && echo 'orders_total 7' >/www/metrics && exec httpd -f -h /www -p "
	id := run("web", "bridge", httpd+"8080", scraped...)
	run("lonely", "none", httpd+"127.0.0.1:8080", scraped...)
	run("quiet", "bridge", httpd+"8080")
	// It sends whoever asks to the address of the clouds' secrets.
	run("astray", "bridge", `while :; do printf 'HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n' | nc -l -p 8080; done`, scraped...)
	run("hostile", "bridge", `while :; do yes 'HTTP/1.1 200 OK' | nc -l -p 8080; done`, append(scraped,
		"__name__=up", "instance=10.0.0.1:80", "plimsoll.scrape.params."+strings.Repeat("x", 60_000)+"=y", "prometheus.io/path=/metrics\nHost: evil")...)
	run("elsewhere", "bridge", "sleep 1000", "prometheus.io/scrape=true", "prometheus.io/port=169.254.169.254:80")

	series := func(metric, name string) func(map[string]string) string {
		return func(last map[string]string) string {
			for key, v := range last {
				if strings.HasPrefix(key, metric+"{") && strings.Contains(key, `,name="`+name+`"`) {
					return v
				}
			}
			return ""
		}
	}
	for _, name := range []string{"web", "lonely"} {
		n.until("metrics of "+name, func(last map[string]string) bool {
			return series("orders_total", name)(last) == "7" && series("up", name)(last) == "1"
		})
	}
	n.until("the one that leads astray", func(last map[string]string) bool {
		return series("up", "astray")(last) == "0" && last[`plimsoll_agent_scrape_failed_total{job="plimsoll-agent",reason="redirect"}`] > "0"
	})
	n.until("the hostile one", func(last map[string]string) bool {
		return series("up", "hostile")(last) == "0" && last[`plimsoll_agent_scrape_failed_total{job="plimsoll-agent",reason="broken"}`] > "0"
	})
	n.until("the one that names another machine", func(last map[string]string) bool {
		return last[`plimsoll_agent_scrape_refused_total{job="plimsoll-agent",reason="mistake"}`] == "1"
	})
	if got := series("orders_total", "quiet")(n.last); got != "" {
		t.Error("a container that did not ask is scraped")
	}
	if v := n.last[`orders_total{id="/docker/`+id+`",image="`+engine.Image+`",job="web",name="web"}`]; v != "7" {
		t.Errorf("no series with the identity of web in %v", n.last)
	}

	e.Docker("rm", "-f", "web")
	n.until("the end of web", func(last map[string]string) bool {
		return series("orders_total", "web")(last) == "" && series("up", "web")(last) == ""
	})
	if series("orders_total", "lonely")(n.last) != "7" {
		t.Error("another ended with it")
	}
}

func TestAContainerOnTheNodesNetworkIsNotScraped(t *testing.T) {
	e := engine.Start(t, engine.HostNetwork())
	id := e.Docker("run", "-d", "--network", "host", engine.Image, "sleep", "1000")
	c := scrapedWeb(id, nil)
	for allowed, want := range map[bool]string{false: "host_network", true: "unreachable"} {
		source, _, err := ScrapeSource(ScrapeOptions{
			Containers:  func() (uint64, []discover.Container) { return 1, []discover.Container{c} },
			HostNetwork: allowed,
			Lanes:       Lanes{Third: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Labels["plimsoll.scrape.port"] = "1" // nobody is there
		n := &scrapeNode{t: t, ended: map[*sample.Group]bool{}, last: map[string]string{}, now: time.Now()}
		n.run(source.(*scrapeSource))
		n.until(want, func(last map[string]string) bool {
			return last[`plimsoll_agent_scrape_failed_total{job="plimsoll-agent",reason="`+want+`"}`] > "0"
		})
	}
}
