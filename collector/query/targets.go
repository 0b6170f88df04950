package query

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
)

// Target is who sends samples, as status pages show the targets of a scraper.
type Target struct {
	Pool     string            // what kind it is: "agents"
	Address  string            // "n1:9100"
	Labels   map[string]string // those of its series: job, instance, node
	Seen     time.Time         // when it was last heard of
	Interval time.Duration     // from one sample to the next; 0 if unknown
	Err      error             // why nothing is heard of it; nil while it sends
}

// senders are Prometheus' targets in name: nobody is scraped, all push.
type senders func() []Target

func (list senders) targets() map[string][]Target {
	pools := map[string][]Target{}
	if list != nil {
		for _, t := range list() {
			pools[t.Pool] = append(pools[t.Pool], t)
		}
	}
	return pools
}

// ScrapePools implements v1.ScrapePoolsRetriever.
func (list senders) ScrapePools() []string {
	return slices.AppendSeq([]string{}, maps.Keys(list.targets()))
}

// ScrapePoolConfig implements v1.ScrapePoolsRetriever.
func (senders) ScrapePoolConfig(string) (*config.ScrapeConfig, error) {
	return nil, errors.New("nobody is scraped: agents push their samples")
}

// TargetsActive implements v1.TargetRetriever.
func (list senders) TargetsActive() map[string][]*scrape.Target {
	active := map[string][]*scrape.Target{}
	for pool, targets := range list.targets() {
		for _, t := range targets {
			active[pool] = append(active[pool], t.active())
		}
	}
	return active
}

func (t Target) active() *scrape.Target {
	b := labels.NewBuilder(labels.FromMap(t.Labels))
	b.Set(model.AddressLabel, t.Address)
	b.Set(model.SchemeLabel, "push")
	interval := "0s" // Prometheus' word for what it does not know
	if t.Interval > 0 {
		interval = model.Duration(t.Interval).String()
	}
	b.Set(model.ScrapeIntervalLabel, interval)
	b.Set(model.ScrapeTimeoutLabel, interval)
	discovered := model.LabelSet{model.AddressLabel: model.LabelValue(t.Address)}
	target := scrape.NewTarget(b.Labels(), &config.ScrapeConfig{JobName: t.Pool, Scheme: "push"}, discovered, nil)
	target.Report(t.Seen, 0, t.Err)
	return target
}

// TargetsDropped implements v1.TargetRetriever.
func (senders) TargetsDropped() map[string][]*scrape.Target { return nil }

// TargetsDroppedCounts implements v1.TargetRetriever.
func (senders) TargetsDroppedCounts() map[string]int { return map[string]int{} }
