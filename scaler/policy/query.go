package policy

import (
	"fmt"
	"strconv"
	"time"
)

// limitRange is how far back a container's limits may lie: the agent reads them
// far less often than what is used of them.
const limitRange = "2m"

// The metrics behind the sources, and the label by which the containers of a
// Swarm service are found.
const (
	cpuUsage     = "container_cpu_usage_seconds_total"
	cpuQuota     = "container_spec_cpu_quota"
	cpuPeriod    = "container_spec_cpu_period"
	memoryUsage  = "container_memory_working_set_bytes"
	memoryLimit  = "container_spec_memory_limit_bytes"
	serviceLabel = "container_label_com_docker_swarm_service_name"
)

// PromQL is the query that yields the signal's readings for target t: the
// file's own for source query, else one over the metrics of the workload's
// containers, with a series for each replica, labelled node and id.
//
// A container without a limit has no share of it, and so no series: that the
// signal cannot say anything is better than a share of nothing.
func (s Signal) PromQL(t Target) string {
	containers := "{" + serviceLabel + "=" + strconv.Quote(t.Service) + "}"
	var usage, limit string
	switch s.Source {
	case CPU:
		// A range still sees a container that ended; "and" asks that it is
		// there now.
		usage = fmt.Sprintf("sum by (node, id) (rate(%s%s[%s]) and %[1]s%[2]s)", cpuUsage, containers, promDuration(s.rateRange()))
		limit = recent(cpuQuota, containers) + " / " + recent(cpuPeriod, containers)
	case Memory:
		usage = fmt.Sprintf("max by (node, id) (%s%s)", memoryUsage, containers)
		limit = recent(memoryLimit, containers)
	default:
		return s.Query
	}
	if s.Of != Limit {
		return usage
	}
	return fmt.Sprintf("%s / on (node, id) (%s)", usage, limit)
}

// rateRange is the range of a rate. A threshold averages over its window by
// itself.
func (s Signal) rateRange() time.Duration {
	if s.Type != Threshold && s.Window > 0 {
		return s.Window
	}
	return cpuRange
}

// recent is a container's limit where it has one: 0 and -1 stand for none.
func recent(metric, containers string) string {
	return fmt.Sprintf("(max by (node, id) (last_over_time(%s%s[%s])) > 0)", metric, containers, limitRange)
}

// promDuration writes d in the units that PromQL has, of which the smallest is
// a millisecond.
func promDuration(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
