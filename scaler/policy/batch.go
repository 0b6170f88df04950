package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ServiceLabel tells in a Batch's answers which service a series is of.
const ServiceLabel = serviceLabel

// The metrics that tell how full replicas are, where their use of CPU does not.
const (
	cpuPeriods   = "container_cpu_cfs_periods_total"
	cpuThrottled = "container_cpu_cfs_throttled_periods_total"
	cpuWaiting   = "container_pressure_cpu_waiting_seconds_total"
)

// pressureRange is how far back pressure is looked at, which agents read at each
// fifth tick.
const pressureRange = 15 * time.Second

// Batch is the queries of a cpu or memory signal for several services at once.
// Readings and Ages have a series for each replica, labelled node, id and
// ServiceLabel, the others one for each service, labelled ServiceLabel.
type Batch struct {
	// Readings are what PromQL reads, one service at a time, and may also be of
	// containers that ended: those have no age.
	Readings string
	// Ages are the times, in seconds since 1970, of the newest samples behind.
	Ages string
	// Throttled is the share of CPU periods in which the limit was reached, and
	// Pressure the share of time in which CPU was waited for (PSI some). Empty for
	// signals to which they mean nothing.
	Throttled, Pressure string
}

// Shape is what signals have in common whose readings one Batch can ask for.
type Shape struct {
	Source Source
	Of     Base
	Range  time.Duration // of the rate
	MaxAge time.Duration
	Full   bool // whether it matters how full replicas are
}

// Shape returns the signal's, and whether it has one: a query of the file's own
// has not.
func (s *Signal) Shape() (Shape, bool) {
	if s.Source != CPU && s.Source != Memory {
		return Shape{}, false
	}
	shape := Shape{Source: s.Source, Of: s.Of, MaxAge: s.MaxAge, Full: s.saturates()}
	if s.Source == CPU {
		shape.Range = s.rateRange()
	}
	return shape, true
}

// Batch is the queries for some services, one at least.
func (s Shape) Batch(services []string) Batch {
	const by = "node, id, " + serviceLabel
	containers := selector(services)
	signal := Signal{Source: s.Source, Of: s.Of, Window: s.Range}
	b := Batch{
		Readings: signal.promQL(containers, by, true),
		Ages:     fmt.Sprintf("max by (%s) (timestamp(%s%s))", by, s.metric(), containers),
	}
	if s.Full {
		const each = "sum by (" + serviceLabel + ") (rate(%s%s[%s]))"
		of := promDuration(s.Range)
		b.Throttled = fmt.Sprintf(each+" / "+each, cpuThrottled, containers, of, cpuPeriods, containers, of)
		b.Pressure = fmt.Sprintf("avg by (%s) (rate(%s%s[%s]))", serviceLabel, cpuWaiting, containers, promDuration(max(s.Range, pressureRange)))
	}
	return b
}

// Watched selects the series of a service whose samples change a reading.
func (s Shape) Watched(service string) string { return s.metric() + selector([]string{service}) }

func (s Shape) metric() string {
	if s.Source == Memory {
		return memoryUsage
	}
	return cpuUsage
}

// selector is that of the containers of some services.
func selector(services []string) string {
	if len(services) == 1 {
		return "{" + serviceLabel + "=" + strconv.Quote(services[0]) + "}"
	}
	quoted := make([]string, len(services))
	for i, name := range services {
		quoted[i] = regexp.QuoteMeta(name)
	}
	slices.Sort(quoted)
	return "{" + serviceLabel + "=~" + strconv.Quote(strings.Join(quoted, "|")) + "}"
}
