package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/version"

	"github.com/plimsoll-io/plimsoll/agent"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/expose"
	"github.com/plimsoll-io/plimsoll/agent/gpu"
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	"github.com/plimsoll-io/plimsoll/agent/stream"
	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/internal/door"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
	"github.com/plimsoll-io/plimsoll/internal/trim"
)

// agentFlags are the settings of an agent, in whatever process it runs.
type agentFlags struct {
	node       string
	interval   time.Duration
	procfs     string
	sysfs      string
	cgroupfs   string
	rootfs     string
	gpu        bool
	textfiles  string
	dockerHost string
	labels     []string
	spoolBytes conf.Size
}

func (f *agentFlags) add(k *kingpin.CmdClause) {
	k.Flag("node.name", "Name of this node in every series; the host name if empty.").StringVar(&f.node)
	durationVar(k, "interval", "How often to read what changes fast; the other lanes are 5 and 15 times slower.", &f.interval, "1s", 100*time.Millisecond)
	k.Flag("path.procfs", "Where the node's /proc is mounted.").Default("/proc").StringVar(&f.procfs)
	k.Flag("path.sysfs", "Where the node's /sys is mounted.").Default("/sys").StringVar(&f.sysfs)
	k.Flag("path.cgroup", "Where the node's cgroups are mounted.").Default("/sys/fs/cgroup").StringVar(&f.cgroupfs)
	k.Flag("path.rootfs", "Where the node's file systems are mounted.").Default("/").StringVar(&f.rootfs)
	k.Flag("textfile.directory", "Directory with *.prom files whose metrics become the node's; none if empty.").StringVar(&f.textfiles)
	k.Flag("gpu", "Read NVIDIA GPUs, in a process of its own; --no-gpu turns it off.").Default("true").BoolVar(&f.gpu)
	k.Flag("docker.host", "The Docker engine that knows the containers' names; empty for none.").
		Default("unix:///var/run/docker.sock").StringVar(&f.dockerHost)
	k.Flag("container.label", "Label of containers to keep, as container_label_…, on their series; repeatable.").
		Default("com.docker.swarm.service.name", "com.docker.stack.namespace", "com.docker.compose.project", "com.docker.compose.service").
		StringsVar(&f.labels)
	k.Flag("spool.max-size", "How much may wait on disk while the collector is away; beyond that the oldest goes.").
		Default("512MiB").SetValue(&f.spoolBytes)
}

// agentCommand runs an agent alone.
type agentCommand struct {
	*cli
	agentFlags
	data      string
	collector string
	web       string
	webConfig string
	insecure  bool
}

func (c *cli) agent() {
	cmd := &agentCommand{cli: c}
	k := c.command("agent", "Read this node and its containers, and stream what is read to a collector.", cmd.run)
	c.configurable(k)
	k.Flag("data.path", "Directory for what waits to be sent.").Default("data").StringVar(&cmd.data)
	k.Flag("collector.address", "Where the collector listens for agents.").Default("127.0.0.1:9901").StringVar(&cmd.collector)
	k.Flag("web.listen-address", "Where /metrics is served to a Prometheus that scrapes; nowhere if empty.").StringVar(&cmd.web)
	k.Flag("web.config.file", "TLS and users of the HTTP server, as in Prometheus.").PlaceHolder("FILE").StringVar(&cmd.webConfig)
	k.Flag("insecure", "Listen without encryption on addresses that other machines can reach.").BoolVar(&cmd.insecure)
	cmd.agentFlags.add(k)
}

func (c *agentCommand) run(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	var loops []lifecycle.Loop
	var observe func(*sample.Batch)
	if c.web != "" {
		port, err := door.ListenHTTP(door.HTTPOptions{
			Address: c.web, ConfigFile: c.webConfig, Insecure: c.insecure, Log: c.log().With("component", "web"),
		})
		if err != nil {
			return err
		}
		defer port.Close() // run has done so, unless the agent could not be made
		fmt.Fprintf(c.stdout, "Plimsoll serves metrics: %s/metrics\n", port.URL())
		scraped := expose.New(expose.Options{Interval: c.interval, MaxAge: slowestLane * c.interval})
		observe = scraped.Observe
		loops = append(loops, lifecycle.Loop{Name: "web", Run: func(ctx context.Context) error {
			return port.Run(ctx, agentRoutes(scraped, registry))
		}})
	}
	a, err := newAgent(c.agentFlags, c.data, c.collector, observe, registry, c.log())
	if err != nil {
		return err
	}
	if err := trim.Executable(); err != nil {
		c.log().Debug("the program's start stays in memory", "err", err)
	}
	loops = append(loops, lifecycle.Loop{Name: "agent", Run: a.run})
	return errors.Join(lifecycle.Run(ctx, loops...), a.close())
}

// slowestLane is in how many ticks everything has been read three times: a value
// that is older is not shown to a scraper.
const slowestLane = 3 * 60

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

// agentParts is an agent with what it is made of.
//
//	discover ────────┐
//	cgroup ──────────┤
//	node, host ──────┼─ sources ─ agent ─┬─ spool ─ stream ══ collector
//	helper ─── gpu ──┘                   └─ expose ─ /metrics
type agentParts struct {
	agent *agent.Agent
	spool *spool.Spool
}

// newAgent makes an agent; observe, if not nil, is shown each batch.
func newAgent(
	f agentFlags, data, collector string, observe func(*sample.Batch), reg prometheus.Registerer, log *slog.Logger,
) (*agentParts, error) {
	log = log.With("component", "agent")
	if f.node == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, errors.Join(errors.New("no host name; give the node a name with --node.name"), err)
		}
		f.node = name
	}
	watcher, err := discover.New(discover.Options{CgroupRoot: f.cgroupfs, DockerHost: f.dockerHost, Log: log})
	if err != nil {
		return nil, err
	}
	lanes := agent.DefaultLanes()
	roots := node.Roots{Proc: f.procfs, Sys: f.sysfs, Root: f.rootfs}
	containers, err := agent.CgroupSource(agent.CgroupOptions{
		Root: f.cgroupfs, Roots: roots, Lanes: lanes,
		Containers: watcher.Containers, OOMs: watcher.TakeOOMs, Labels: f.labels,
	})
	if err != nil {
		return nil, err
	}
	queue, err := spool.Open(spool.Options{
		Dir: filepath.Join(data, "spool"), MaxBytes: int64(f.spoolBytes), BootID: bootID(f.procfs), Log: log,
	})
	if err != nil {
		return nil, err
	}
	sender, err := stream.New(stream.Options{
		Spool: queue, Target: collector, Node: f.node, BootID: bootID(f.procfs), Version: version.Version,
		Interval: f.interval, Registerer: reg, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, queue.Close())
	}
	sources := []agent.Source{
		containers,
		agent.NodeSource(agent.NodeOptions{Roots: roots, Lanes: lanes}),
		agent.HostSource(agent.HostOptions{Roots: roots, Lanes: lanes, TextfileDir: f.textfiles, Version: version.Version}),
		agent.EventSource(watcher.TakeEvents),
	}
	loops := []lifecycle.Loop{{Name: "discover", Run: watcher.Run}, {Name: "spool", Run: queue.Run}}
	if f.gpu {
		helper, err := gpu.New(gpu.Options{Args: []string{gpuHelper}, Log: log})
		if err != nil {
			return nil, errors.Join(err, queue.Close())
		}
		gpus, err := agent.GPUSource(agent.GPUOptions{
			State: helper.State, Containers: watcher.Containers, Proc: f.procfs, Hostname: f.node, Labels: f.labels, Lanes: lanes,
		})
		if err != nil {
			return nil, errors.Join(err, queue.Close())
		}
		sources = append(sources, gpus)
		loops = append(loops, lifecycle.Loop{Name: "gpu", Run: helper.Run})
	}
	a, err := agent.New(agent.Options{
		Sources:    sources,
		Spool:      queue,
		Stream:     sender.Run,
		Observe:    observe,
		Loops:      loops,
		Interval:   f.interval,
		Lanes:      lanes,
		Version:    version.Version,
		Discovery:  watcher.Stats,
		Backlog:    func() agent.Backlog { return backlog(queue.Stats()) },
		Registerer: reg,
		Log:        log,
	})
	if err != nil {
		return nil, errors.Join(err, queue.Close())
	}
	return &agentParts{a, queue}, nil
}

func (p *agentParts) run(ctx context.Context) error { return p.agent.Run(ctx) }

func (p *agentParts) close() error { return p.spool.Close() }

func backlog(s spool.Stats) agent.Backlog {
	return agent.Backlog{
		SpoolBytes:     uint64(s.Bytes),
		Dropped:        s.Dropped.Batches,
		Damaged:        s.Damaged.Batches,
		Unacknowledged: s.Next - max(s.Oldest, s.Acked+1),
	}
}

// bootID is the kernel's, or "" where it does not say.
func bootID(procfs string) string {
	id, err := os.ReadFile(filepath.Join(cmp.Or(procfs, "/proc"), "sys/kernel/random/boot_id"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
