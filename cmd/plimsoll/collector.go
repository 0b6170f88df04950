package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/collector/ingest"
	"github.com/plimsoll-io/plimsoll/collector/rollup"
	"github.com/plimsoll-io/plimsoll/collector/store"
	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// maxCeiling is the most that a person may raise the ceiling to: the drivers
// themselves go no further.
const maxCeiling = 10_000

// collectorFlags are the settings of a collector, in whatever process it runs.
type collectorFlags struct {
	data        string
	web         string
	webConfig   string
	webMost     int // connections
	insecure    bool
	externalURL *url.URL
	adminAPI    bool
	receive     receiveFlags
	grpc        string
	identity    identityFlags

	durability     string
	slowdown       int
	seriesLimit    uint64
	retentionTime  time.Duration
	retentionBytes conf.Size
	rollupTime     time.Duration
	rollupBytes    conf.Size
	minFree        store.Space
	ballast        store.Space

	queryTimeout  time.Duration
	querySamples  int
	rules         []string
	bundledRules  bool
	ruleOverrides string
	ruleInterval  time.Duration
	alertmanager  string
	historyBytes  conf.Size
	journalBytes  conf.Size
	historyAge    time.Duration
	policies      string
	labels        bool
	ceiling       int
	swarmHost     string

	pair           pairFlags
	cluster        string
	replica        string
	watch          bool
	forward        string
	forwardBytes   conf.Size
	forwardAge     time.Duration
	bucket         string
	delayCompact   string
	upstream       *url.URL
	upstreamConfig string
	relay          string
	relayUpstream  string
}

func (f *collectorFlags) add(k *kingpin.CmdClause) {
	f.addServing(k)
	f.addStoring(k)
	f.addDeciding(k)
	f.addBeyond(k)
}

// addServing adds where people and agents come in.
func (f *collectorFlags) addServing(k *kingpin.CmdClause) {
	k.Flag("data.path", "Directory for everything that is kept.").Default("data").StringVar(&f.data)
	k.Flag("web.listen-address", "Where the console and the HTTP API listen.").Default("127.0.0.1:9900").StringVar(&f.web)
	k.Flag("web.config.file", "TLS and users of the HTTP API, as in Prometheus.").PlaceHolder("FILE").StringVar(&f.webConfig)
	k.Flag("insecure", "Serve HTTP without encryption on addresses that other machines can reach.").BoolVar(&f.insecure)
	k.Flag("web.external-url", "The console's address as people reach it: for links in messages, and for the name by which a proxy on this machine may ask.").
		PlaceHolder("URL").SetValue(address{&f.externalURL})
	k.Flag("web.max-connections", "How many connections to the console and the HTTP API may be open; more wait.").Default("512").SetValue(number{&f.webMost, 1, 65_535})
	k.Flag("web.enable-admin-api", "Answer Prometheus' snapshot API; what it makes is never removed, see plimsoll snapshot for what is.").BoolVar(&f.adminAPI)
	f.receive.add(k)
	k.Flag("grpc.listen-address", "Where agents are listened for.").Default("127.0.0.1:9901").StringVar(&f.grpc)
	k.Flag("reload.watch", "Reload rules, alertmanager.yml, policies and targets when their files change; --no-reload.watch leaves that to SIGHUP and /-/reload.").
		Default("true").BoolVar(&f.watch)
	f.identity.add(k)
}

// addStoring adds how much is taken in, when it is safe, and how long it is kept.
func (f *collectorFlags) addStoring(k *kingpin.CmdClause) {
	k.Flag("durability", "What an agent's samples survive once it may forget them: wal a kill of the collector, fsync a power cut too, replica its loss as well, as all of --forward.config.file has them.").
		Default(string(ingest.Fsync)).EnumVar(&f.durability, string(ingest.WAL), string(ingest.Fsync), string(ingest.Replica))
	k.Flag("ingest.slowdown-max", "At how many of their intervals agents are asked to tick, at the most, while this machine cannot keep up; 1 for never.").Default("4").SetValue(number{&f.slowdown, 1, 60})
	k.Flag("ingest.series-limit", "How many series may be in memory before new ones are refused, those of applications first; any number if 0.").Default("0").Uint64Var(&f.seriesLimit)
	durationVar(k, "storage.tsdb.retention.time", "How long samples are kept.", &f.retentionTime, "15d", time.Hour)
	k.Flag("storage.tsdb.retention.size", "How much blocks of them may take on disk; 80 % of the file system if 0.").Default("0B").SetValue(&f.retentionBytes)
	k.Flag("storage.rollup.retention.time", "How long rollups are kept, what long queries need of each five minutes; 0s for none.").
		Default("400d").SetValue(&orNone{atLeast{(*duration)(&f.rollupTime), 2 * rollup.Slice}})
	k.Flag("storage.rollup.retention.size", "How much they may take on disk; 10 % of the file system if 0.").Default("0B").SetValue(&f.rollupBytes)
	k.Flag("storage.disk.min-free", "Free space below which samples are refused, such as 5%, 2GiB or 0; auto is a tenth, 1 GiB at most.").Default("auto").SetValue(&f.minFree)
	k.Flag("storage.disk.ballast", "Size of a file that is given back when the disk is full, written as above; auto is a hundredth, 64 MiB at most.").Default("auto").SetValue(&f.ballast)
}

// addDeciding adds queries, rules, notifications and scaling.
func (f *collectorFlags) addDeciding(k *kingpin.CmdClause) {
	durationVar(k, "query.timeout", "How long a query may take.", &f.queryTimeout, "2m", time.Second)
	k.Flag("query.max-samples", "How many samples a query may hold in memory.").Default("50000000").
		SetValue(number{&f.querySamples, 1, math.MaxInt32})
	k.Flag("rules.file", "Prometheus rule files, as a pattern; repeatable.").PlaceHolder("PATTERN").StringsVar(&f.rules)
	k.Flag("rules.bundled", "The rules that come with Plimsoll; --no-rules.bundled turns them off.").Default("true").BoolVar(&f.bundledRules)
	k.Flag("rules.overrides", "Changes to those: other thresholds, and which are off.").PlaceHolder("FILE").StringVar(&f.ruleOverrides)
	durationVar(k, "rules.evaluation-interval", "How often rules are evaluated that do not say, besides when a sample makes an alert true or false.", &f.ruleInterval, "15s", time.Second)
	k.Flag("alerting.config.file", "A stock alertmanager.yml; without one, alerts are shown and nobody is told.").PlaceHolder("FILE").StringVar(&f.alertmanager)
	k.Flag("alerting.history.size", "How much of what happened to alerts is kept on disk.").Default("64MiB").SetValue(&f.historyBytes)
	durationVar(k, "alerting.history.age", "How long it is kept.", &f.historyAge, "30d", time.Hour)
	k.Flag("scaler.policy.file", "Scaling policies; without one, nothing is scaled.").PlaceHolder("FILE").StringVar(&f.policies)
	k.Flag("scaler.labels", "Take policies from the labels of services, too: plimsoll.scale.* and aliyun.auto_scaling.*. Whoever deploys a service then scales it.").BoolVar(&f.labels)
	k.Flag("scaler.absolute-max", "The number of replicas that no driver is ever asked to exceed.").
		Default(fmt.Sprint(policy.DefaultCeiling)).SetValue(number{&f.ceiling, 1, maxCeiling})
	k.Flag("scaler.journal.size", "How much of what was decided, and why, is kept on disk.").Default("64MiB").SetValue(&f.journalBytes)
	k.Flag("scaler.swarm-host", "The Swarm manager whose services are scaled; empty for the engine of this machine.").PlaceHolder("URL").StringVar(&f.swarmHost)
}

// addBeyond adds what reaches past this machine.
func (f *collectorFlags) addBeyond(k *kingpin.CmdClause) {
	f.pair.add(k)
	k.Flag("cluster.name", "What this collector and those that share its work are called together: label plimsoll_cluster of what leaves it.").
		Default("default").PlaceHolder("NAME").StringVar(&f.cluster)
	k.Flag("replica.name", "What this collector is called among them: label plimsoll_replica; the host name if empty.").PlaceHolder("NAME").StringVar(&f.replica)
	k.Flag("forward.config.file", "Where samples are sent on to by remote write, as in prometheus.yml; without one, nowhere.").PlaceHolder("FILE").StringVar(&f.forward)
	k.Flag("forward.spool.size", "How much may wait on disk for targets that are away; beyond, the oldest samples are dropped.").Default("2GiB").SetValue(&f.forwardBytes)
	durationVar(k, "forward.spool.max-age", "How long it may wait; for ever with --durability=replica.", &f.forwardAge, "24h", time.Minute)
	k.Flag("objstore.config-file", "A bucket in Thanos' format, into which blocks are copied; without one, nowhere.").PlaceHolder("FILE").StringVar(&f.bucket)
	k.Flag("storage.tsdb.delay-compact-file.path", "Where a Thanos sidecar that copies the blocks notes which it has; others are not merged.").
		PlaceHolder("FILE").StringVar(&f.delayCompact)
	k.Flag("query.upstream", "Where rules, scaler and console ask instead of here: an engine with Prometheus' API that sees all collectors.").
		PlaceHolder("URL").SetValue(address{&f.upstream})
	k.Flag("query.client.config.file", "Authorisation and TLS towards it, as Prometheus' http_config.").PlaceHolder("FILE").StringVar(&f.upstreamConfig)
	k.Flag("grpc.relay.listen-address", "Where agents connect that are passed on to another collector.").PlaceHolder("ADDRESS").StringVar(&f.relay)
	k.Flag("grpc.relay.upstream", "Where that one listens for agents.").PlaceHolder("ADDRESS").StringVar(&f.relayUpstream)
}

// collectorCommand runs a collector alone.
type collectorCommand struct {
	*cli
	collectorFlags
}

func (c *cli) collector() {
	cmd := &collectorCommand{cli: c}
	k := c.command("collector", "Store what agents stream, answer PromQL, alert, and scale.", cmd.run)
	c.configurable(k)
	cmd.collectorFlags.add(k)
}

func (c *collectorCommand) run(ctx context.Context) error {
	p, err := newCollector(ctx, c.collectorFlags, c.flagValues("collector"), c.log())
	if err != nil {
		return unlessTold(ctx, err)
	}
	fmt.Fprintf(c.stdout, "Plimsoll collects: %s (agents connect to %s)\n%s", p.server.URL(), p.server.GRPCAddress(), p.invitation())
	return errors.Join(p.run(ctx, c.hangup), p.close())
}
