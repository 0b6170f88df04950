package main

import (
	"fmt"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/collector/gate"
	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/receive"
)

// receiveFlags say what is taken in beside what agents stream.
type receiveFlags struct {
	remoteWrite bool
	otlp        bool
	series      uint64
}

func (f *receiveFlags) add(k *kingpin.CmdClause) {
	k.Flag("web.enable-remote-write-receiver", "Take samples by Prometheus remote write at /api/v1/write.").BoolVar(&f.remoteWrite)
	k.Flag("web.enable-otlp-receiver", "Take samples by OTLP at /v1/metrics and /api/v1/otlp/v1/metrics.").BoolVar(&f.otlp)
	k.Flag("web.series-limit", "How many series may be in memory before new ones by remote write and OTLP are refused; any number if 0. Those of agents go on.").Default("0").Uint64Var(&f.series)
}

// makeReceiver makes what takes in other protocols, whether they are on or not.
func (p *collectorParts) makeReceiver() (err error) {
	var store receive.Store = p.store
	if p.forward != nil {
		store = p.forward.Beside(p.store)
	}
	p.receive, err = receive.New(receive.Options{
		Store: p.watched(store), Refuse: p.store.Refuse, Lives: p.store.Lives,
		HeadSeries: p.store.HeadSeries, MaxSeries: p.flags.receive.series,
		Log: p.log.With("component", "receive"), Registerer: p.registry,
	})
	return err
}

// senders are the agents, as Prometheus' API lists targets.
func (p *collectorParts) senders() []query.Target {
	nodes := p.inventory.Nodes()
	targets := make([]query.Target, len(nodes))
	for i, n := range nodes {
		address := n.Name + gate.InstancePort
		targets[i] = query.Target{
			Pool: "agents", Address: address, Seen: n.Seen,
			Labels: map[string]string{"job": gate.AgentJob, "instance": address, "node": n.Name},
		}
		if n.Interval != nil {
			targets[i].Interval = time.Duration(*n.Interval * float64(time.Second))
		}
		if !n.Lost.IsZero() {
			targets[i].Err = fmt.Errorf("lost since %s", n.Lost.UTC().Format("2006-01-02T15:04:05Z"))
		}
	}
	return targets
}
