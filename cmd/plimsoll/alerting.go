package main

import (
	"context"
	"path/filepath"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/collector/web"
)

// makeAlerting makes rules and notifications, and the engine that they share
// with the scaler.
func (p *collectorParts) makeAlerting() (err error) {
	p.decisions = p.engine("decisions")
	p.alerting, err = alerting.New(alerting.Options{
		Engine: p.decisions, Queryable: p.store, QueryFunc: p.rulesAsk(), Appendable: p.store,
		ConfigFile: p.flags.alertmanager, RuleFiles: p.flags.rules, BundledRules: p.flags.bundledRules,
		EvaluationInterval: p.flags.ruleInterval, DataDir: filepath.Join(p.flags.data, "alerting"),
		ExternalURL: p.externalURL(), Registerer: p.registry, Log: p.log.With("component", "alerting"),
	})
	if err != nil {
		return err
	}
	p.add("alerting", p.alerting.Run)
	return nil
}

// alerts are what fires, for the page.
func (p *collectorParts) alerts(ctx context.Context) []web.Alert {
	active := p.alerting.Active(ctx)
	list := make([]web.Alert, len(active))
	for i, a := range active {
		list[i] = web.Alert{Name: a.Name, Severity: a.Severity, Summary: a.Summary, Since: a.Since, Muted: a.Muted}
	}
	return list
}
