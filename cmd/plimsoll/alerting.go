package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/alerting/arrival"
	"github.com/plimsoll-io/plimsoll/collector/ingest"
	"github.com/plimsoll-io/plimsoll/collector/receive"
)

// makeArrival makes what sees alerts cross as samples are stored, and tells policies. With an
// upstream there is none: what arrives here is not what rules ask.
func (p *collectorParts) makeArrival() (err error) {
	if p.upstream != nil {
		return nil
	}
	p.samples = newSamples()
	p.arrival, err = arrival.New(arrival.Options{Registerer: p.registry})
	return err
}

// watch is what ingest shows samples to, or nil.
func (p *collectorParts) watch() ingest.Watch {
	if p.arrival == nil {
		return nil
	}
	return ingest.Tee(p.arrival, p.samples)
}

// watched is s with what others than agents store in it shown as well.
func (p *collectorParts) watched(s receive.Store) receive.Store {
	if p.arrival == nil {
		return s
	}
	return besideSamples{besideArrival{s, p.arrival}, p.samples}
}

type besideArrival struct {
	receive.Store
	arrival *arrival.Detector
}

func (b besideArrival) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return b.arrival.Beside(b.Store.AppenderV2(ctx))
}

// makeAlerting makes rules and notifications, and their engine.
func (p *collectorParts) makeAlerting() (err error) {
	other, err := p.alertingPair()
	if err != nil {
		return err
	}
	p.alerting, err = alerting.New(alerting.Options{
		Engine: p.engine("decisions"), Queryable: p.store, QueryFunc: p.rulesAsk(), Appendable: p.store,
		ConfigFile: p.flags.alertmanager, RuleFiles: p.flags.rules, BundledRules: p.flags.bundledRules, RuleOverrides: p.flags.ruleOverrides,
		EvaluationInterval: p.flags.ruleInterval, Arrival: p.arrival, DataDir: filepath.Join(p.flags.data, "alerting"),
		HistoryBytes: int64(p.flags.historyBytes), HistoryAge: p.flags.historyAge,
		Pair:        other,
		Lost:        func(node string) (bool, time.Time) { return p.ingest.Away(node) }, // ingest is made later
		Ready:       func() error { return p.ready() },
		Instance:    p.externalURL().Host,
		ExternalURL: p.externalURL(), Registerer: p.registry, Log: p.log.With("component", "alerting"),
	})
	if err != nil {
		return err
	}
	var ended context.CancelFunc
	p.telling, ended = context.WithCancel(context.Background())
	p.add("alerting", func(ctx context.Context) error {
		defer ended()
		return p.alerting.Run(ctx)
	})
	p.add("refill", p.refill)
	return nil
}

// refill has rules record what they could not while the collector was down.
func (p *collectorParts) refill(ctx context.Context) error {
	if from := p.store.Found(); !from.IsZero() {
		p.alerting.Refill(ctx, alerting.Gap{From: from, To: time.Now(), Whole: p.caughtUp})
	}
	<-ctx.Done()
	return nil
}

// caughtUp tells whether all nodes are back and have brought what they kept.
func (p *collectorParts) caughtUp() bool {
	for _, n := range p.inventory.Nodes() {
		if n.Recalled {
			return false
		}
	}
	return p.inventory.Recalled() && p.ingest.Behind() == 0
}
