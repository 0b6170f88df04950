package ingest

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/gate"
)

// Reasons that depend on how much there is already, besides gate.Series.
const (
	reasonContainer gate.Reason = "container_series_limit"
	reasonTotal     gate.Reason = "collector_series_limit"
	reasonRate      gate.Reason = "sample_rate"
	reasonFault     gate.Reason = "fault"
)

// class is how dear a series is. What limits are for is cut first: metrics of
// applications, which can be as many as somebody has labels for.
type class uint8

const (
	business class = iota // of applications
	system                // of containers, machines and devices
	core                  // without which nobody knows how a node or container fares
)

// classOf tells the class of a metric by its name.
func classOf(name string) class {
	prefix, rest, _ := strings.Cut(name, "_")
	switch prefix {
	case "node", "plimsoll", upName:
		return core
	case "container":
		if strings.HasPrefix(rest, "cpu_") || strings.HasPrefix(rest, "memory_") {
			return core
		}
		return system
	case "machine", "DCGM":
		return system
	}
	return business
}

// ceiling is how many series there may be for one more of a class to be let in:
// metrics of applications stop at the limit, others a quarter behind it, and the
// dearest a half.
func (c class) ceiling(limit uint64) uint64 { return limit + limit/4*uint64(c) }

// quota counts the series of a lane.
type quota struct {
	limits     Limits
	series     uint64
	containers map[string]uint64 // by id
}

// admit counts a series in, or tells why it is one too many.
func (q *quota) admit(s *series) gate.Reason {
	name := s.labels.Get(model.MetricNameLabel)
	s.class = classOf(name)
	if q.series >= s.class.ceiling(uint64(q.limits.Series)) {
		return gate.Series
	}
	id := s.container()
	if id != "" {
		if q.containers[id] >= s.class.ceiling(uint64(q.limits.ContainerSeries)) {
			return reasonContainer
		}
		if q.containers == nil {
			q.containers = map[string]uint64{}
		}
		q.containers[id]++
	}
	q.series++
	return ""
}

// release counts an admitted series out.
func (q *quota) release(s *series) {
	q.series--
	if id := s.container(); id != "" {
		if q.containers[id]--; q.containers[id] == 0 {
			delete(q.containers, id)
		}
	}
}

// container is what the series is of; empty if it is of none.
func (s *series) container() string {
	for _, label := range [...]string{"id", "container_id", "container"} {
		if id := s.labels.Get(label); id != "" {
			return id
		}
	}
	return ""
}

// barFor is how long a series stays out that was one too many for the store.
const barFor = 60_000 // ms

// unwanted tells why a value of c is not wanted now.
func (x *session) unwanted(app storage.AppenderV2, c *series, at int64) gate.Reason {
	if c.refused != "" {
		return c.refused
	}
	if c.ref == 0 && x.server.opts.HeadSeries != nil && x.server.opts.Limits.TotalSeries > 0 {
		if why := x.crowded(app, c, at); why != "" {
			return why
		}
	}
	return x.allowance.take(c.class)
}

// crowded tells whether the store has too many series for one more. Those it has
// go on.
func (x *session) crowded(app storage.AppenderV2, c *series, at int64) gate.Reason {
	if c.barred > at {
		return reasonTotal
	}
	if x.server.opts.HeadSeries() < c.class.ceiling(x.server.opts.Limits.TotalSeries) || exists(app, c) {
		return ""
	}
	c.barred = at + barFor
	return reasonTotal
}

// allowance is how many samples of a frame may be stored.
type allowance struct {
	all  bool // no need to count
	left [core + 1]int
}

func (a *allowance) take(c class) gate.Reason {
	switch {
	case a.all:
		return ""
	case a.left[c] <= 0:
		return reasonRate
	}
	a.left[c]--
	return ""
}

// budget is how many samples a node may send: so many per second of its own
// time, by which a backlog passes as fast as it likes, and some more at once.
type budget struct {
	tokens float64
	at     int64 // of the latest frame, in ms; 0 if there was none
}

// burst is for how many seconds a budget may be saved.
const burst = 30

// allow says how many samples of the frame at hand may be stored. Those of
// applications get what the others leave; the others may go into debt by as much
// as can be saved. n.write is held.
func (n *node) allow(x *session, at int64) allowance {
	rate := float64(x.server.opts.Limits.SampleRate)
	if x.lane == backfill { // the past has a pace of its own
		return allowance{all: true}
	}
	b := &n.budget
	if b.at == 0 {
		b.tokens = burst * rate
	} else if at > b.at {
		b.tokens = min(b.tokens+rate*float64(at-b.at)/1000, burst*rate)
	}
	b.at = max(b.at, at)
	cells := x.decoder.cells
	if b.tokens >= float64(len(cells)) {
		b.tokens -= float64(len(cells))
		return allowance{all: true}
	}
	var a, want allowance
	for _, c := range cells {
		want.left[c.class]++
	}
	for _, c := range []class{core, system, business} {
		credit := b.tokens
		if c > business {
			credit += burst * rate
		}
		a.left[c] = min(want.left[c], int(max(0, credit)))
		b.tokens -= float64(a.left[c])
	}
	return a
}
