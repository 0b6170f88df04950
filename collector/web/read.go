package web

import "github.com/plimsoll-io/plimsoll/collector/query"

// column is one value of each row, and the query it comes from.
type column[Row any] struct {
	promql string
	of     func(Row) *reading
}

// containers selects what is a container, and neither the whole node nor the
// group around a pod's containers, whose values are theirs once more.
const containers = `{id!="/", id!~".*/(pod[0-9a-f-]+|[^/]*-pod[0-9a-f_]+[.]slice)"}`

// The windows of rates are a few times the agent's interval, so that a sample or
// two that got lost leave no gap in the page.
var containerColumns = []column[*container]{
	{`timestamp(container_cpu_usage_seconds_total` + containers + `)`, func(c *container) *reading { return &c.At }},
	{`sum without (cpu) (rate(container_cpu_usage_seconds_total` + containers + `[10s]))`, func(c *container) *reading { return &c.CPU }},
	{`container_spec_cpu_quota` + containers, func(c *container) *reading { return &c.Quota }},
	{`container_spec_cpu_period` + containers, func(c *container) *reading { return &c.Period }},
	{`rate(container_cpu_cfs_throttled_periods_total` + containers + `[30s])` +
		` / rate(container_cpu_cfs_periods_total` + containers + `[30s])`, func(c *container) *reading { return &c.Throttled }},
	{`container_memory_working_set_bytes` + containers, func(c *container) *reading { return &c.Memory }},
	{`container_spec_memory_limit_bytes` + containers, func(c *container) *reading { return &c.MemoryLimit }},
	{`container_start_time_seconds` + containers, func(c *container) *reading { return &c.Started }},
}

var nodeColumns = []column[*node]{
	{`1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[30s]))`, func(n *node) *reading { return &n.CPU }},
	{`count by (node) (node_cpu_seconds_total{mode="idle"})`, func(n *node) *reading { return &n.Cores }},
	{`node_memory_MemAvailable_bytes`, func(n *node) *reading { return &n.Available }},
	{`node_memory_MemTotal_bytes`, func(n *node) *reading { return &n.Memory }},
}

// read fills the tables in.
func (t *tables) read() {
	for _, c := range containerColumns {
		for _, s := range t.ask(c.promql) {
			*c.of(t.container(s)) = known(s.Value)
		}
	}
	for _, c := range nodeColumns {
		for _, s := range t.ask(c.promql) {
			*c.of(t.node(s.Labels["node"])) = known(s.Value)
		}
	}
}

// ask returns what a query gives. One that fails leaves dashes, and a line on
// the page that says why.
func (t *tables) ask(promql string) []query.Sample {
	samples, err := t.page.opts.Query(t.ctx, promql, t.view.Now, 0)
	if err != nil {
		t.page.opts.Log.Warn("value not read", "err", err)
		t.view.Trouble = append(t.view.Trouble, err.Error())
	}
	return samples
}
