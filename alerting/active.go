package alerting

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// Alert is an alert that fires, for people to look at.
type Alert struct {
	Name     string
	Severity string // empty if its rule gives none
	Summary  string // with value and unit, empty if its rule gives none
	Labels   map[string]string
	Since    time.Time
	Muted    bool   // held back by a silence or by another alert
	Source   string // URL of the query behind it
}

// Active is what fires now, the newest first: from rules and from the API. It
// is empty before Run.
func (a *Alerting) Active(ctx context.Context) []Alert { return a.am.active(ctx) }

func (am *alertmanager) active(ctx context.Context) []Alert {
	if am.handler.Load() == nil {
		return nil
	}
	all := am.alerts.GetPending()
	defer all.Close()
	var active []Alert
	for from := range all.Next() {
		if from.Data.Resolved() {
			continue
		}
		active = append(active, Alert{
			Name:     from.Data.Name(),
			Severity: string(from.Data.Labels["severity"]),
			Summary:  string(from.Data.Annotations["summary"]),
			Labels:   plain(from.Data.Labels),
			Since:    from.Data.StartsAt,
			Muted:    am.muted(ctx, from.Data.Labels),
			Source:   from.Data.GeneratorURL,
		})
	}
	slices.SortFunc(active, func(a, b Alert) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Summary, b.Summary))
	})
	return active
}

func plain(from model.LabelSet) map[string]string {
	to := make(map[string]string, len(from))
	for name, value := range from {
		to[string(name)] = string(value)
	}
	return to
}
