package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"

	"github.com/plimsoll-io/plimsoll/agent"
	"github.com/plimsoll-io/plimsoll/agent/burst"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/enroll"
	"github.com/plimsoll-io/plimsoll/agent/exit"
	"github.com/plimsoll-io/plimsoll/agent/gpu"
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/push"
	"github.com/plimsoll-io/plimsoll/agent/push/otlp"
	"github.com/plimsoll-io/plimsoll/agent/push/statsd"
	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/shard"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	"github.com/plimsoll-io/plimsoll/agent/stream"
	"github.com/plimsoll-io/plimsoll/agent/vote"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// agentOptions are what an agent is made of.
type agentOptions struct {
	agentFlags
	data       string
	collectors []string            // addresses; those joined if empty
	joins      []string            // lets this node in
	shards     []shard.Shard       // of which one is the collector; nil for none
	identity   string              // directory of its certificates; none are used if empty
	insecure   bool                // StatsD and OTLP may listen where other machines can reach
	observe    func(*sample.Batch) // is shown each batch; nil for nobody
	settings   *stream.Settings
	registerer prometheus.Registerer
	log        *slog.Logger
}

// agentParts is an agent with what it is made of.
//
//	discover ─────────────┐
//	cgroup, exit, burst ──┤                               identity
//	network, disk ────────┤                                  │
//	node, host ───────────┼─ sources ─ agent ─┬─ spool ─ stream ══ collector
//	helper ─── gpu ───────┤                   └─ expose ─ /metrics
//	scrape, statsd, otlp ─┘
type agentParts struct {
	agentOptions
	lanes   agent.Lanes
	roots   node.Roots
	watcher *discover.Watcher
	exits   *exit.Watcher
	sources []agent.Source
	loops   []lifecycle.Loop
	opened  []io.Closer // which an agent that runs closes at its end
	spool   *spool.Spool
	agent   *agent.Agent

	identities enroll.Identities // by collector
}

// settings is where the collector's wishes go.
func (f *agentFlags) settings() *stream.Settings {
	lanes, _ := f.inForce() // a mistake in them is told when they are used
	return stream.NewSettings(stream.SettingsOptions{
		MaxSlowdown: cmp.Or(f.maxSlowdown, lanes.MostSlowdown(f.interval)), MinResolution: f.minResolution,
	})
}

func newAgent(opts agentOptions) (*agentParts, error) {
	p := &agentParts{agentOptions: opts, roots: node.Roots{Proc: opts.procfs, Sys: opts.sysfs, Root: opts.rootfs}}
	p.log = p.log.With("component", "agent")
	var err error
	if p.node, err = p.nodeName(); err != nil {
		return nil, err
	}
	if p.lanes, err = p.inForce(); err != nil {
		return nil, err
	}
	if p.lanes.Hidden(p.interval) {
		p.log.Warn("something is read so seldom that queries lose sight of it in between: PromQL looks back 5 minutes", "lanes", p.lanes, "interval", p.interval)
	}
	for _, add := range []func() error{p.addIdentity, p.addDiscovery, p.addContainers, p.addNode, p.addGPU, p.addCustomMetrics, p.assemble} {
		if err := add(); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

func (p *agentParts) add(s agent.Source, loops ...lifecycle.Loop) {
	p.sources = append(p.sources, s)
	p.loops = append(p.loops, loops...)
	if c, ok := s.(io.Closer); ok {
		p.opened = append(p.opened, c)
	}
}

// addListener adds what takes in metrics at an address.
func (p *agentParts) addListener(name string, l interface {
	io.Closer
	Run(context.Context) error
},
) {
	p.loops = append(p.loops, lifecycle.Loop{Name: name, Run: l.Run})
	p.opened = append(p.opened, l)
}

// addDiscovery makes what knows the containers, from their start to their end.
func (p *agentParts) addDiscovery() (err error) {
	p.watcher, err = discover.New(discover.Options{
		CgroupRoot: p.cgroupfs, RootFS: p.rootfs, DockerRoot: p.dockerRoot, DockerHost: p.dockerHost,
		KubeletURL: p.kubeletURL, KubeletTokenFile: p.kubeletToken, KubeletCAFile: p.kubeletCAFile,
		Appeared: func(c discover.Container) { p.exits.Appeared(c) }, Log: p.log,
	})
	if err != nil {
		return err
	}
	opts := exit.Options{CgroupRoot: p.cgroupfs, Sysfs: p.sysfs, Containers: p.watcher.Containers, Log: p.log}
	if p.dockerHost != "" {
		opts.Told, opts.OOMs = p.watcher.TakeExits, p.watcher.OOMs()
	}
	if p.exits, err = exit.New(opts); err != nil {
		return err
	}
	ended, err := agent.ExitSource(agent.ExitOptions{
		Containers: p.watcher.Containers, Records: p.exits.Records, Kills: p.exits.Kills, Stats: p.exits.Stats,
		Labels: p.labels, Lanes: p.lanes, Jobs: p.jobs,
	})
	if err == nil {
		p.add(agent.EventSource(p.watcher.TakeEvents), lifecycle.Loop{Name: "discover", Run: p.watcher.Run})
		p.add(ended, lifecycle.Loop{Name: "exit", Run: p.exits.Run})
	}
	return err
}

// addContainers makes what reads them.
func (p *agentParts) addContainers() error {
	bursts, err := agent.BurstSource(agent.BurstOptions{
		Lane:  burst.Options{Root: p.cgroupfs, Proc: p.procfs, Most: p.bursts, Triggers: p.burstTriggers},
		Lanes: p.lanes, Containers: p.watcher.Containers, Labels: p.labels,
		Wanted: func(c *discover.Container) time.Duration { return p.settings.Resolution(c.Name, c.ID, c.Cgroup) },
	})
	if err != nil {
		return err
	}
	containers, err := agent.CgroupSource(agent.CgroupOptions{
		Root: p.cgroupfs, Roots: p.roots, Lanes: p.lanes, Jobs: p.jobs, Labels: p.labels,
		Containers: p.watcher.Containers, OOMs: p.watcher.OOMs(), Exits: p.exits, Saw: bursts.Saw,
	})
	if err != nil {
		return errors.Join(err, bursts.Close())
	}
	p.add(containers)
	p.add(bursts, lifecycle.Loop{Name: "burst", Run: bursts.Run})
	networks, err := agent.NetworkSource(agent.NetworkOptions{
		Proc: p.procfs, CgroupRoot: p.cgroupfs, Containers: p.watcher.Containers, Labels: p.labels, Jobs: p.jobs, Lanes: p.lanes,
	})
	if err != nil {
		return err
	}
	p.add(networks)
	if !p.disk {
		return nil
	}
	disks, err := agent.DiskSource(agent.DiskOptions{
		CgroupRoot: p.cgroupfs, Roots: p.roots, Containers: p.watcher.Containers, Labels: p.labels, Jobs: p.jobs, Lanes: p.lanes,
	})
	if err == nil {
		p.add(disks)
	}
	return err
}

func (p *agentParts) addNode() error {
	p.add(agent.NodeSource(agent.NodeOptions{Roots: p.roots, Lanes: p.lanes, Jobs: p.jobs}))
	p.add(agent.HostSource(agent.HostOptions{Roots: p.roots, Lanes: p.lanes, Jobs: p.jobs, TextfileDir: p.textfiles, Processes: p.processes, Version: version.Version}))
	return nil
}

func (p *agentParts) addGPU() error {
	if !p.gpu {
		return nil
	}
	helper, err := gpu.New(gpu.Options{Args: []string{gpuHelper}, Log: p.log})
	if err != nil {
		return err
	}
	gpus, err := agent.GPUSource(agent.GPUOptions{
		State: helper.State, Containers: p.watcher.Containers, Proc: p.procfs, Hostname: p.node,
		Labels: p.labels, Jobs: p.jobs, Lanes: p.lanes,
	})
	if err == nil {
		p.add(gpus, lifecycle.Loop{Name: "gpu", Run: helper.Run})
	}
	return err
}

// addCustomMetrics makes what takes in the metrics of applications.
func (p *agentParts) addCustomMetrics() error {
	if p.scrape {
		s, loop, err := agent.ScrapeSource(agent.ScrapeOptions{
			Root: p.cgroupfs, Proc: p.procfs, Containers: p.watcher.Containers, Labels: p.labels, Jobs: p.jobs,
			Interval: p.interval, Lanes: p.lanes, HostNetwork: p.scrapeHost, NodeSeries: p.scrapeSeries, Log: p.log,
		})
		if err != nil {
			return err
		}
		p.add(s, loop)
	}
	if p.statsd == "" && p.otlpGRPC == "" && p.otlpHTTP == "" {
		return nil
	}
	table := push.NewTable(push.Options{Every: p.lanes.Third})
	pushed, err := agent.PushSource(agent.PushOptions{Table: table, Containers: p.watcher.Containers, Labels: p.labels})
	if err != nil {
		return err
	}
	p.add(pushed)
	if p.statsd != "" {
		l, err := statsd.Listen(statsd.Options{
			Table: table, Address: p.statsd, Insecure: p.insecure, Owner: agent.ProcessOwner(p.procfs),
		})
		if err != nil {
			return err
		}
		p.addListener("statsd", l)
	}
	if p.otlpGRPC == "" && p.otlpHTTP == "" {
		return nil
	}
	l, err := otlp.Listen(otlp.Options{Table: table, GRPC: p.otlpGRPC, HTTP: p.otlpHTTP, Insecure: p.insecure, Log: p.log})
	if err == nil {
		p.addListener("otlp", l)
	}
	return err
}

// assemble makes the spool, the stream and the agent.
func (p *agentParts) assemble() (err error) {
	boot := bootID(p.procfs)
	p.spool, err = spool.Open(spool.Options{
		Dir: filepath.Join(p.data, "spool"), MaxBytes: int64(p.spoolBytes), BootID: boot, Log: p.log,
	})
	if err != nil {
		return err
	}
	p.loops = append(p.loops, lifecycle.Loop{Name: "spool", Run: p.spool.Run})
	voter := vote.NewVoter(p.node, p.log)
	sender, err := stream.NewStreams(stream.Options{
		Spool: p.spool, DialFor: p.identities.DialOptions, Beside: voter.Run, Node: p.node, BootID: boot, Version: version.Version,
		Interval: p.interval, Round: uint32(p.lanes.Slowest()), Settings: p.settings, Registerer: p.registerer, Log: p.log,
	}, p.identities.Addresses()...)
	if err != nil {
		return err
	}
	p.agent, err = agent.New(agent.Options{
		Sources:    p.sources,
		Spool:      p.spool,
		Stream:     sender.Run,
		Observe:    p.observe,
		Loops:      p.loops,
		Interval:   p.interval,
		Lanes:      p.lanes,
		Version:    version.Version,
		Discovery:  p.watcher.Stats,
		Settings:   func() agent.Settings { return agent.Settings(p.settings.InForce()) },
		Backlog:    func() agent.Backlog { return backlog(p.spool.Stats(), sender.Resent()) },
		Registerer: p.registerer,
		Log:        p.log,
	})
	return err
}

func (p *agentParts) run(ctx context.Context) error { return p.agent.Run(ctx) }

// close gives back the spool and, if no agent could be made, all that one would
// have closed.
func (p *agentParts) close() error {
	var errs []error
	if p.agent == nil {
		for _, c := range p.opened {
			errs = append(errs, c.Close())
		}
	}
	if p.spool != nil {
		errs = append(errs, p.spool.Close())
	}
	return errors.Join(errs...)
}

func backlog(s spool.Stats, resent uint64) agent.Backlog {
	return agent.Backlog{
		SpoolBytes:     uint64(s.Bytes),
		SpoolLimit:     uint64(s.Limit),
		Dropped:        s.Dropped.Batches,
		Damaged:        s.Damaged.Batches,
		Unacknowledged: s.Next - max(s.Oldest, s.Acked+1),
		WaitingBytes:   uint64(s.Bytes - s.KeptBytes),
		Resent:         resent,
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
