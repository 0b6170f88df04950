package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// maxCeiling is the most that a person may raise the ceiling to: the drivers
// themselves go no further.
const maxCeiling = 10_000

// collectorFlags are the settings of a collector, in whatever process it runs.
type collectorFlags struct {
	data           string
	web            string
	grpc           string
	webConfig      string
	externalURL    *url.URL
	insecure       bool
	retentionTime  time.Duration
	retentionBytes conf.Size
	queryTimeout   time.Duration
	querySamples   int
	rules          []string
	bundledRules   bool
	ruleInterval   time.Duration
	alertmanager   string
	policies       string
	ceiling        int
	swarmHost      string
}

func (f *collectorFlags) add(k *kingpin.CmdClause) {
	k.Flag("data.path", "Directory for everything that is kept.").Default("data").StringVar(&f.data)
	k.Flag("web.listen-address", "Where the console and the HTTP API listen.").Default("127.0.0.1:9900").StringVar(&f.web)
	k.Flag("grpc.listen-address", "Where agents are listened for.").Default("127.0.0.1:9901").StringVar(&f.grpc)
	k.Flag("insecure", "Listen without encryption on addresses that other machines can reach.").BoolVar(&f.insecure)
	k.Flag("web.config.file", "TLS and users of the HTTP API, as in Prometheus.").PlaceHolder("FILE").StringVar(&f.webConfig)
	k.Flag("web.external-url", "The console's address as people reach it, for links in messages.").PlaceHolder("URL").SetValue(address{&f.externalURL})
	durationVar(k, "storage.tsdb.retention.time", "How long samples are kept.", &f.retentionTime, "15d", time.Hour)
	k.Flag("storage.tsdb.retention.size", "How much blocks may take on disk; 80 % of the file system if 0.").Default("0B").SetValue(&f.retentionBytes)
	durationVar(k, "query.timeout", "When a query is given up.", &f.queryTimeout, "2m", time.Second)
	k.Flag("query.max-samples", "How many samples a query may hold in memory.").Default("50000000").
		SetValue(number{&f.querySamples, 1, math.MaxInt32})
	k.Flag("rules.file", "Prometheus rule files, as a pattern; repeatable.").PlaceHolder("PATTERN").StringsVar(&f.rules)
	k.Flag("rules.bundled", "The rules that come with Plimsoll; --no-rules.bundled turns them off.").Default("true").BoolVar(&f.bundledRules)
	durationVar(k, "rules.evaluation-interval", "How often rules are evaluated that do not say.", &f.ruleInterval, "5s", time.Second)
	k.Flag("alerting.config.file", "A stock alertmanager.yml; without one, alerts are shown and nobody is told.").PlaceHolder("FILE").StringVar(&f.alertmanager)
	k.Flag("scaler.policy.file", "Scaling policies; without one, nothing is scaled.").PlaceHolder("FILE").StringVar(&f.policies)
	k.Flag("scaler.absolute-max", "The number of replicas that no driver is ever asked to exceed.").
		Default(fmt.Sprint(policy.DefaultCeiling)).SetValue(number{&f.ceiling, 1, maxCeiling})
	k.Flag("scaler.swarm-host", "The Swarm manager whose services are scaled; empty for the engine of this machine.").StringVar(&f.swarmHost)
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
		return err
	}
	fmt.Fprintf(c.stdout, "Plimsoll collects: %s (agents connect to %s)\n", p.server.URL(), p.server.GRPCAddress())
	return errors.Join(p.run(ctx, c.hangup), p.close())
}
