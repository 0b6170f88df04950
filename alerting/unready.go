package alerting

import (
	"context"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
)

// unreadyName is the alert that no rule can be: what a rule would read is not
// stored while nothing is.
const unreadyName = "CollectorNotReady"

const (
	// unreadyLook is how often it is looked, and unreadyFor how long the
	// collector must not have been ready.
	unreadyLook, unreadyFor = 5 * time.Second, 30 * time.Second
	// unreadyValid is how long the alert stands if it is not said again, as
	// when the process ends.
	unreadyValid = 2 * time.Minute
)

// watchReady tells, past store and rules, that the collector takes no samples.
func (a *Alerting) watchReady(ctx context.Context) {
	if a.opts.Ready == nil {
		return
	}
	tick := time.NewTicker(unreadyLook)
	defer tick.Stop()
	var since, told time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			why := a.opts.Ready()
			switch {
			case why == nil && !told.IsZero():
				a.unready(ctx, told, now, "it takes samples again")
				since, told = time.Time{}, time.Time{}
			case why == nil:
				since = time.Time{}
			case since.IsZero():
				since = now
			case now.Sub(since) >= unreadyFor:
				if told.IsZero() {
					told = now
				}
				a.unready(ctx, told, now.Add(unreadyValid), why.Error())
			}
		}
	}
}

func (a *Alerting) unready(ctx context.Context, starts, ends time.Time, why string) {
	said := &alert.Alert{
		Alert: model.Alert{
			Labels: model.LabelSet{
				model.AlertNameLabel: unreadyName, "severity": "critical", "instance": model.LabelValue(a.opts.Instance),
			},
			Annotations: model.LabelSet{
				"summary":     model.LabelValue("Collector " + a.opts.Instance + " takes no samples: " + why),
				"description": "Agents keep their samples and queries are answered, but what is new is not watched and nothing is scaled on account of it.",
				"runbook_url": "https://github.com/plimsoll-io/plimsoll/blob/main/docs/runbooks/CollectorNotReady.md",
			},
			StartsAt:     starts,
			EndsAt:       ends,
			GeneratorURL: a.opts.ExternalURL.String() + "/-/ready",
		},
		UpdatedAt: time.Now(),
	}
	if err := a.am.alerts.Put(ctx, said); err != nil {
		a.metrics.refused.Inc()
		a.log.Error("alert refused", "alert", unreadyName, "err", err)
		return
	}
	a.metrics.handed.Inc()
}
