package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/plimsoll-io/plimsoll/agent"
	"github.com/plimsoll-io/plimsoll/agent/expose"
	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/internal/door"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
	"github.com/plimsoll-io/plimsoll/internal/slack"
	"github.com/plimsoll-io/plimsoll/internal/trim"
)

// agentFlags are the settings of an agent, in whatever process it runs.
type agentFlags struct {
	node      string
	interval  time.Duration
	lanes     agent.Lanes // as given: 0 for the default
	procfs    string
	sysfs     string
	cgroupfs  string
	rootfs    string
	textfiles string
	gpu       bool
	disk      bool
	processes bool
	labels    []string
	jobs      agent.Jobs

	dockerHost, dockerRoot                  string
	kubeletURL, kubeletToken, kubeletCAFile string

	bursts, burstTriggers int
	minResolution         time.Duration
	maxSlowdown           uint64

	scrape, scrapeHost bool
	scrapeSeries       int
	statsd             string
	otlpGRPC, otlpHTTP string
	spoolBytes         conf.Size
}

func (f *agentFlags) add(k *kingpin.CmdClause) {
	k.Flag("node.name", "Name of this node in every series; the host name if empty.").PlaceHolder("NAME").StringVar(&f.node)
	durationVar(k, "interval", "How often to read what changes fast.", &f.interval, "1s", 100*time.Millisecond)
	k.Flag("lane.first", "CPU, throttling and memory usage are read every so many intervals; 0 for the default, 1.").Default("0").Uint64Var(&f.lanes.First)
	k.Flag("lane.second", "As before, of memory by kind, pressure and network; 5 by default.").Default("0").Uint64Var(&f.lanes.Second)
	k.Flag("lane.third", "As before, of I/O, tasks and limits; 15 by default.").Default("0").Uint64Var(&f.lanes.Third)
	k.Flag("lane.fourth", "As before, of disk usage; 60 by default.").Default("0").Uint64Var(&f.lanes.Fourth)
	k.Flag("path.procfs", "Where the node's /proc is mounted.").Default("/proc").StringVar(&f.procfs)
	k.Flag("path.sysfs", "Where the node's /sys is mounted.").Default("/sys").StringVar(&f.sysfs)
	k.Flag("path.cgroup", "Where the node's cgroups are mounted.").Default("/sys/fs/cgroup").StringVar(&f.cgroupfs)
	k.Flag("path.rootfs", "Where the node's file systems are mounted.").Default("/").StringVar(&f.rootfs)
	k.Flag("textfile.directory", "Directory with *.prom files whose metrics become the node's; none if empty.").PlaceHolder("DIR").StringVar(&f.textfiles)
	k.Flag("gpu", "Read NVIDIA GPUs, in a process of its own; --no-gpu turns it off.").Default("true").BoolVar(&f.gpu)
	k.Flag("disk", "Measure what containers have written to their own layers; --no-disk turns it off.").Default("true").BoolVar(&f.disk)
	k.Flag("processes", "Count the node's processes by state, which costs 10 µs each.").BoolVar(&f.processes)
	f.addRuntimes(k)
	f.addBursts(k)
	f.addCustom(k)
	k.Flag("job.containers", "Label job of container_* and machine_*; with a comma also metrics_path, as in kubelet,/metrics/cadvisor.").
		Default("cadvisor").StringVar(&f.jobs.Containers)
	k.Flag("job.node", "Label job of node_*.").Default("node-exporter").StringVar(&f.jobs.Node)
	k.Flag("job.gpu", "Label job of DCGM_*.").Default("dcgm-exporter").StringVar(&f.jobs.GPU)
	k.Flag("spool.max-size", "How much may wait on disk while the collector is away; beyond that the oldest goes.").
		Default("512MiB").SetValue(&f.spoolBytes)
}

// addRuntimes adds who knows what containers are called.
func (f *agentFlags) addRuntimes(k *kingpin.CmdClause) {
	k.Flag("docker.host", "The Docker engine, or Podman, that knows the containers' names; empty for none.").
		Default("unix:///var/run/docker.sock").StringVar(&f.dockerHost)
	k.Flag("docker.root", "Docker's data directory on the node, whose files know names while the engine does not answer.").
		Default("/var/lib/docker").StringVar(&f.dockerRoot)
	k.Flag("kubelet.url", "Where kubelet listens, such as https://127.0.0.1:10250, to name pods whose runtime keeps no files; not asked if empty.").
		PlaceHolder("URL").StringVar(&f.kubeletURL)
	k.Flag("kubelet.token-file", "File with the service account's token for it.").
		PlaceHolder("FILE").StringVar(&f.kubeletToken)
	k.Flag("kubelet.ca-file", "File with the authority that signed its certificate; the system's if empty.").
		PlaceHolder("FILE").StringVar(&f.kubeletCAFile)
	k.Flag("container.label", "Label of containers to keep, as container_label_…, on their series; repeatable.").
		Default("com.docker.swarm.service.name", "com.docker.stack.namespace", "com.docker.compose.project", "com.docker.compose.service").
		StringsVar(&f.labels)
}

// addBursts adds how closely containers may be looked at, and how seldom.
func (f *agentFlags) addBursts(k *kingpin.CmdClause) {
	k.Flag("burst.max", "Containers that are read every 100 ms at a time, because they suffer or are labelled plimsoll.resolution.").Default("32").IntVar(&f.bursts)
	k.Flag("burst.triggers", "Containers by whose pressure the kernel begins that; 0 for as many as descriptors allow, -1 for none.").Default("0").IntVar(&f.burstTriggers)
	durationVar(k, "burst.min-resolution", "The finest that the collector may ask for.", &f.minResolution, "100ms", 10*time.Millisecond)
	k.Flag("slowdown.max", "By how much the collector may slow the agent down under overload; 1 for not at all, 0 for as much as leaves all series in sight of queries.").Default("0").Uint64Var(&f.maxSlowdown)
}

// addCustom adds the metrics of applications.
func (f *agentFlags) addCustom(k *kingpin.CmdClause) {
	k.Flag("scrape.enabled", "Read the metrics of containers labelled prometheus.io/scrape=true or plimsoll.scrape.enabled=true.").Default("true").BoolVar(&f.scrape)
	k.Flag("scrape.host-network", "Also of containers on the node's own network, which may then have any local port read.").BoolVar(&f.scrapeHost)
	k.Flag("scrape.max-series", "Series of all containers that are scraped; what is beyond is counted and left out.").Default("50000").IntVar(&f.scrapeSeries)
	k.Flag("statsd.listen-address", "Where StatsD is taken by UDP, such as 127.0.0.1:8125, or unix:///run/plimsoll/statsd.sock; nowhere if empty.").PlaceHolder("ADDRESS").StringVar(&f.statsd)
	k.Flag("otlp.grpc-listen-address", "Where OpenTelemetry's metrics are taken by gRPC, such as 127.0.0.1:4317; nowhere if empty.").PlaceHolder("ADDRESS").StringVar(&f.otlpGRPC)
	k.Flag("otlp.http-listen-address", "The same by HTTP with protobuf, such as 127.0.0.1:4318.").PlaceHolder("ADDRESS").StringVar(&f.otlpHTTP)
}

// inForce are the lanes with their defaults.
func (f *agentFlags) inForce() (agent.Lanes, error) {
	byDefault := agent.LanesFor(f.interval)
	lanes := agent.Lanes{
		First:  cmp.Or(f.lanes.First, byDefault.First),
		Second: cmp.Or(f.lanes.Second, byDefault.Second),
		Third:  cmp.Or(f.lanes.Third, byDefault.Third),
		Fourth: cmp.Or(f.lanes.Fourth, byDefault.Fourth),
	}
	return lanes, lanes.Valid()
}

// agentCommand runs an agent alone.
type agentCommand struct {
	*cli
	agentFlags
	joinFlags
	data      string
	web       string
	webConfig string
	insecure  bool
}

func (c *cli) agent() {
	cmd := &agentCommand{cli: c}
	k := c.command("agent", "Read this node and its containers, and stream what is read to a collector.", cmd.run)
	c.configurable(k)
	k.Flag("data.path", "Directory for what waits to be sent, and for this node's certificate.").Default("data").StringVar(&cmd.data)
	cmd.joinFlags.add(k)
	k.Flag("web.listen-address", "Where /metrics is served to a Prometheus that scrapes; nowhere if empty.").PlaceHolder("ADDRESS").StringVar(&cmd.web)
	k.Flag("web.config.file", "TLS and users of the HTTP server, as in Prometheus.").PlaceHolder("FILE").StringVar(&cmd.webConfig)
	k.Flag("insecure", "Serve /metrics and take StatsD and OTLP without encryption on addresses that other machines can reach.").BoolVar(&cmd.insecure)
	cmd.agentFlags.add(k)
}

func (c *agentCommand) run(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	wishes := c.settings()
	var loops []lifecycle.Loop
	var observe func(*sample.Batch)
	if c.web != "" {
		port, err := door.ListenHTTP(door.HTTPOptions{
			Address: c.web, ConfigFile: c.webConfig, Insecure: c.insecure, Registerer: registry, Log: c.log().With("component", "web"),
		})
		if err != nil {
			return err
		}
		defer port.Close() // run has done so, unless the agent could not be made
		fmt.Fprintf(c.stdout, "Plimsoll serves metrics: %s/metrics\n", port.URL())
		lanes, err := c.inForce()
		if err != nil {
			return err
		}
		scraped := expose.New(expose.Options{
			Interval: c.interval, MaxAge: 3 * time.Duration(lanes.Slowest()) * c.interval,
			Slowdown: func() uint64 { return wishes.InForce().Slowdown },
		})
		observe = scraped.Observe
		loops = append(loops, lifecycle.Loop{Name: "web", Run: func(ctx context.Context) error {
			return port.Run(ctx, agentRoutes(scraped, registry))
		}})
	}
	joins, err := c.joinStrings()
	if err != nil {
		return err
	}
	a, err := newAgent(agentOptions{
		agentFlags: c.agentFlags, data: c.data, collectors: c.addresses(), joins: joins, shards: c.shards, identity: identityIn(c.data),
		insecure: c.insecure, observe: observe, settings: wishes, registerer: registry, log: c.log(),
	})
	if err != nil {
		return err
	}
	// An agent allocates little: a collection comes twice a minute, not once, and
	// the heap may grow by half of what is in use, not by all of it.
	debug.SetGCPercent(50)
	c.rest()
	loops = append(loops, lifecycle.Loop{Name: "agent", Run: a.run}, lifecycle.Loop{Name: "trim", Run: c.trim})
	return errors.Join(lifecycle.Run(ctx, loops...), a.close())
}

// monitorSlack is by how much the runtime's monitor may oversleep. Most of what
// it would do meanwhile is to find that there is nothing to do.
const monitorSlack = 3 * time.Millisecond

// rest keeps the runtime from working where the agent does not: with a processor
// for each core of a large machine it would look for work on all of them.
func (c *agentCommand) rest() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(2, runtime.GOMAXPROCS(0)))
	}
	if err := slack.Monitor(monitorSlack); err != nil {
		c.log().Debug("the runtime's monitor wakes up as often as ever, which costs up to 0.2 % of a core; CAP_SYS_NICE lets it sleep", "err", err)
	}
}

// trimEvery is how often the pages of the program that are not used leave memory.
const trimEvery = 10 * time.Second

// trim keeps the agent small. One that cannot be runs on.
func (c *agentCommand) trim(ctx context.Context) error {
	if err := trim.Loop(ctx, trimEvery); err != nil {
		c.log().Debug("the program stays in memory", "err", err)
	}
	<-ctx.Done()
	return nil
}

// agentRoutes are what an agent answers over HTTP.
func agentRoutes(samples http.Handler, process prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", samples)
	mux.Handle("GET /metrics/process", promhttp.HandlerFor(
		prometheus.Gatherers{process, prometheus.DefaultGatherer}, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "Plimsoll is healthy.")
	})
	return mux
}
