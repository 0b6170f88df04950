package agent

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/gpu"
	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	toCollector "github.com/plimsoll-io/plimsoll/agent/stream"
)

// catalogueSources run each source on what its own tests run it on, in the lanes
// that are the default, until all its groups have been in a batch.
var catalogueSources = []struct {
	name string
	add  func(*testing.T, catalogue)
}{
	{"cgroup", catalogueCgroup},
	{"node", catalogueNode},
	{"host", catalogueHost},
	{"network", catalogueNetwork},
	{"disk", catalogueDisk},
	{"gpu", catalogueGPU},
	{"exit", catalogueExit},
	{"burst", catalogueBurst},
	{"scrape", catalogueScrape},
	{"push", cataloguePush},
	{"self", catalogueSelf},
	{"stream", catalogueStream},
}

func catalogueCgroup(t *testing.T, c catalogue) {
	inPod := cron()
	inPod.Namespace, inPod.PodName, inPod.ContainerName = "shop", "web-0", "app"
	for kind, containers := range map[string][]discover.Container{
		"v1":     {web(), inPod},
		"hybrid": {web(), inPod},
		"v2":     {scoped(web()), scoped(inPod)},
	} {
		h := newHarbour(t, kind, containers...)
		h.sail()
		c.tree(t, kind, &h.batch)
	}
}

func catalogueNode(t *testing.T, c catalogue) {
	root := shore(t)
	plant(t, root, map[string]string{"proc/pressure/irq": "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"})
	c.batch(t, read(t, nodeOf(t, root, DefaultLanes()), 0))
}

// catalogueHost has a machine with all that a machine can have.
func catalogueHost(t *testing.T, c catalogue) {
	rich := metal(t)
	plant(t, rich, map[string]string{
		"sys/class/hwmon/hwmon9/temp1_crit_hyst": "90000\n",
		"sys/class/hwmon/hwmon9/fan1_max":        "2000\n",
		"etc/os-release":                         strings.Join(osReleaseKeys(), "=x\n") + "=x\n",
		"textfile/empty.prom":                    "",
	})
	for _, root := range []string{rich, "node/testdata/kernel-6.18"} {
		synctest.Test(t, func(t *testing.T) {
			opts := hostOptions(root)
			opts.Lanes = DefaultLanes()
			opts.Processes = root == rich
			opts.TextfileDir = filepath.Join(rich, "textfile")
			s := newHostSource(opts, berth, steadyClock)
			defer s.Close()
			for tick := range uint64(16) { // what the first sends for is told of later
				c.batch(t, read(t, s, tick))
				synctest.Wait()
			}
		})
	}
	for _, m := range newHostChips().kinds {
		if c[m.Name] == nil {
			t.Errorf("the sensors planted here give no %s", m.Name)
		}
	}
}

func osReleaseKeys() []string {
	return strings.Fields("BUILD_ID ID ID_LIKE IMAGE_ID IMAGE_VERSION NAME PRETTY_NAME VARIANT VARIANT_ID VERSION VERSION_CODENAME VERSION_ID")
}

func catalogueNetwork(t *testing.T, c catalogue) {
	n := newNetworkTree(t)
	n.network("web", 1000, "eth0")
	n.process(10, 5, "web")
	n.container("web", 10)
	n.pass()
	c.batch(t, &n.batch)
}

func catalogueDisk(t *testing.T, c catalogue) {
	inBubble(t, func(t *testing.T) {
		n := newDiskNode(t, "web")
		for range DefaultLanes().Fourth {
			if _, err := n.tick(); err != nil {
				t.Fatal(err)
			}
			c.batch(t, &n.batch)
		}
	})
}

func catalogueGPU(t *testing.T, c catalogue) {
	n := newGPUNode(t)
	n.process(100, "/docker/"+trainID)
	n.process(200, "/docker/"+serveID)
	n.read(&gpu.Snapshot{Driver: "550.54.15", Devices: []gpu.Device{hopper(), migDevice()}})
	b := n.tick()
	c.batch(t, b)
}

func catalogueExit(t *testing.T, c catalogue) {
	e := newEnds(t)
	e.live(replica(1, "web"))
	e.collect()
	c.batch(t, &e.batch)
	e.records = append(e.records, ended(2, replica(1, "web"), 0))
	e.collect()
	c.batch(t, &e.batch)
}

func catalogueBurst(t *testing.T, c catalogue) {
	inBurstBubble(t, func(n *burstNode) {
		n.start("web", map[string]string{ResolutionLabel: "100ms"})
		for range DefaultLanes().Second {
			<-time.After(time.Second) // of virtual time
			c.batch(t, read(t, n.source, n.ticks))
			n.ticks++
		}
	})
}

// catalogueScrape asks no container: what those have nobody can list.
func catalogueScrape(t *testing.T, c catalogue) {
	s, err := newScrapeSource(ScrapeOptions{
		Containers: func() (uint64, []discover.Container) { return 0, nil }, Lanes: DefaultLanes(),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.batch(t, read(t, s, 0))
	asked := web()
	c.group(t, &sample.Group{
		Labels: s.came(&asked, s.crew.naming.of(&asked)).labels, Series: s.report, Every: s.ticks(15 * time.Second),
	})
}

// cataloguePush leaves out what is pushed.
func cataloguePush(t *testing.T, c catalogue) {
	n := newPushNode(t)
	n.table.Feed("statsd", 1, 1)
	n.table.Feed("otlp", 1, 1)
	var b sample.Batch
	b.Reset(0, noon)
	if err := n.source.Collect(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	c.batch(t, &b)
}

func catalogueSelf(t *testing.T, c catalogue) {
	m := newMetrics(Options{
		Version: "0.1.0", Interval: time.Second, Clock: NewClock(),
		Backlog:   func() Backlog { return Backlog{} },
		Discovery: func() discover.Stats { return discover.Stats{} },
		Settings:  func() Settings { return Settings{} },
	}, []*watched{{Source: EventSource(nil)}})
	s := newSelfSource(m, DefaultLanes())
	defer s.Close()
	c.batch(t, read(t, s, 0))
}

// catalogueStream has what the stream tells a registry, and so only those who ask
// the agent itself.
func catalogueStream(t *testing.T, c catalogue) {
	queue, err := spool.Open(spool.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	reg := make(catalogueRegistry, 0)
	if _, err := toCollector.New(toCollector.Options{Spool: queue, Target: "collector:9901", Node: "ship", Registerer: &reg}); err != nil {
		t.Fatal(err)
	}
	for _, one := range reg {
		c.registered(t, one)
	}
}

// catalogueRegistry takes down what is registered with it.
type catalogueRegistry []prometheus.Collector

func (r *catalogueRegistry) Register(c prometheus.Collector) error { *r = append(*r, c); return nil }

func (r *catalogueRegistry) MustRegister(c ...prometheus.Collector) { *r = append(*r, c...) }

func (r *catalogueRegistry) Unregister(prometheus.Collector) bool { return false }

// catalogueDesc is what a prometheus.Desc says of itself when it is printed.
var catalogueDesc = regexp.MustCompile(`^Desc\{fqName: "(\w+)", help: "(.*?)", (?:unit: "\w*", )?constLabels: \{\}, variableLabels: \{([\w,]*)\}\}$`)

func (c catalogue) registered(t *testing.T, one prometheus.Collector) {
	t.Helper()
	kind := sample.Counter
	switch one.(type) {
	case prometheus.Gauge, *prometheus.GaugeVec:
		kind = sample.Gauge
	case prometheus.Counter, *prometheus.CounterVec:
	default:
		t.Fatalf("%T is of no type that the catalogue knows", one)
	}
	descs := make(chan *prometheus.Desc, 1)
	one.Describe(descs)
	said := catalogueDesc.FindStringSubmatch((<-descs).String())
	if said == nil {
		t.Fatalf("%T does not say what it is in the way it used to", one)
	}
	m := c.metric(t, &sample.Metric{Name: said[1], Help: said[2], Type: kind})
	for name := range strings.SplitSeq(said[3], ",") {
		if name != "" {
			m.label(name)
		}
	}
}
