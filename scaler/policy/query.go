package policy

import (
	"fmt"
	"regexp"
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
	return s.promQL("{"+serviceLabel+"="+strconv.Quote(t.Service)+"}", "node, id", false)
}

// promQL reads those containers, by the labels that tell them apart. With echoes
// it may tell of containers that ended, and costs less.
func (s Signal) promQL(containers, by string, echoes bool) string {
	var usage, limit string
	switch s.Source {
	case CPU:
		// A range still sees a container that ended; "and" asks that it is
		// there now.
		now := " and " + cpuUsage + containers
		if echoes {
			now = ""
		}
		usage = fmt.Sprintf("sum by (%s) (rate(%s%s[%s])%s)", by, cpuUsage, containers, promDuration(s.rateRange()), now)
		limit = recent(cpuQuota, containers, by) + " / " + recent(cpuPeriod, containers, by)
	case Memory:
		usage = fmt.Sprintf("max by (%s) (%s%s)", by, memoryUsage, containers)
		limit = recent(memoryLimit, containers, by)
	default:
		return s.Query
	}
	if s.Of != Limit {
		return usage
	}
	return fmt.Sprintf("%s / on (%s) (%s)", usage, by, limit)
}

// reach finds the ranges in a query that nobody has parsed.
var reach = regexp.MustCompile(`\[\s*((?:[0-9]+(?:ms|[smhdwy]))+)`)

// scanBack is how far a query looks back at most, as far as its text tells.
func scanBack(query string) time.Duration {
	var back time.Duration
	for _, m := range reach.FindAllStringSubmatch(query, -1) {
		back = min(back+promSpan(m[1]), promSpan("1y"))
	}
	return back
}

// spans are the parts of such a duration.
var spans = regexp.MustCompile(`([0-9]+)(ms|[smhdwy])`)

// promSpan reads a duration as PromQL has it; a year at most.
func promSpan(text string) time.Duration {
	const day = 24 * 60 * 60.0
	seconds := map[string]float64{"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": day, "w": 7 * day, "y": 365 * day}
	total := 0.0
	for _, m := range spans.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			continue
		}
		total = min(total+n*seconds[m[2]], 365*day)
	}
	return time.Duration(total * float64(time.Second))
}

// LookBack is how far the signal's query looks back: until then what it reads may
// still be of the time before, such as one in which nothing was heard.
func (s *Signal) LookBack() time.Duration {
	if s.Source == CPU {
		return s.rateRange()
	}
	return s.Back
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
func recent(metric, containers, by string) string {
	return fmt.Sprintf("(max by (%s) (last_over_time(%s%s[%s])) > 0)", by, metric, containers, limitRange)
}

// promDuration writes d in the units that PromQL has, of which the smallest is
// a millisecond.
func promDuration(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
