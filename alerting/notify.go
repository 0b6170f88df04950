package alerting

import (
	"context"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/util/strutil"
)

// notify hands what a rule says to Alertmanager without a network between, by way
// of the holder. It implements rules.NotifyFunc.
func (a *Alerting) notify(ctx context.Context, expr string, alerts ...*promrules.Alert) {
	now := time.Now()
	source := a.opts.ExternalURL.String() + strutil.TableLinkForExpression(expr)
	list := make([]*alert.Alert, 0, len(alerts))
	for _, from := range alerts {
		to := translate(from, source, now)
		if err := to.Validate(); err != nil {
			a.metrics.refused.Inc()
			a.log.Error("alert refused", "alert", to.Name(), "err", err)
			continue
		}
		list = append(list, to)
	}
	handed, err := a.hold.take(ctx, expr, list)
	if err != nil {
		a.metrics.refused.Add(float64(len(list)))
		a.log.Error("alerts refused", "count", len(list), "err", err)
		return
	}
	a.metrics.handed.Add(float64(handed))
}

// translate turns a rule's alert into Alertmanager's. One that fires ends when
// it is no longer repeated, which counts from now on: its evaluation may have
// taken longer, and the clock may have been set meanwhile.
func translate(from *promrules.Alert, source string, now time.Time) *alert.Alert {
	begins, ends := from.FiredAt, from.ResolvedAt
	switch {
	case ends.After(now): // what has ended must not look as if it fired for a while
		ends = now.Round(0)
		if begins.After(ends) {
			begins = ends
		}
	case ends.IsZero():
		ends = latest(from.ValidUntil, now.Add(from.ValidUntil.Sub(from.LastSentAt)))
	}
	return &alert.Alert{
		Alert: model.Alert{
			Labels:       labelSet(from.Labels),
			Annotations:  labelSet(from.Annotations),
			StartsAt:     begins,
			EndsAt:       ends,
			GeneratorURL: source,
		},
		UpdatedAt: now,
	}
}

// labelSet leaves out empty values, which Alertmanager takes for absent too.
func labelSet(from labels.Labels) model.LabelSet {
	to := make(model.LabelSet, from.Len())
	from.Range(func(l labels.Label) {
		if l.Value != "" {
			to[model.LabelName(l.Name)] = model.LabelValue(l.Value)
		}
	})
	return to
}
