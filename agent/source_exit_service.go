package agent

import (
	"slices"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Bounds of the services that have rows. One without containers keeps its row
// for an hour after the last thing that happened to it, so that jobs that run
// each minute have one; where there are too many the oldest give way.
const (
	maxServices = 1000
	idleService = time.Hour
)

// Positions in the group of a service.
const (
	serviceKills = iota
	serviceCPU   // nanoseconds
	serviceExits // by reason

	serviceCounts = serviceExits + int(reasons)
)

// moment is the tick that is being collected.
type moment struct {
	tick uint64
	at   time.Time
}

// services are the rows of all services.
type services struct {
	series  []sample.Series
	lane    uint64
	rows    map[string]*service
	list    []*service // the same, in the order of their coming
	dropped uint64     // rows that gave way, and services that found no room
}

// service is the row of one.
type service struct {
	key        string
	group      *sample.Group
	counts     [serviceCounts]uint64
	containers int // that live
	last       time.Time
	born       uint64 // tick
	news       bool   // to be told before its turn
	phase      uint64
}

func newServices(lane uint64) services {
	exits := &sample.Metric{Name: "plimsoll_service_exits_total", Help: "Containers of the service that ended on this node, by reason: completed (code 0), error, signal, oom, unknown.", Type: sample.Counter}
	series := []sample.Series{
		serviceKills: {Metric: &sample.Metric{Name: "plimsoll_service_oom_kills_total", Help: "Processes of the service's containers on this node that were killed for want of memory, whether the container ended of it or not.", Type: sample.Counter}},
		serviceCPU:   {Metric: &sample.Metric{Name: "plimsoll_service_exited_cpu_seconds_total", Help: "CPU time that containers of the service had used on this node when they ended. With that of those that live it only grows.", Type: sample.Counter, Unit: "seconds", Divisor: 1e6}},
	}
	for r := range reasons {
		series = append(series, sample.Series{Metric: exits, Labels: []sample.Label{{Name: "reason", Value: r.String()}}})
	}
	return services{series: series, lane: max(lane, 1), rows: make(map[string]*service)}
}

// of is the row of a container's service, made if there is none. It is nil if
// there is no room.
func (s *services) of(c *discover.Container, n *naming, now moment) *service {
	labels := serviceLabels(c, n)
	var key strings.Builder
	for _, l := range labels {
		key.WriteString(l.Name + "\x00" + l.Value + "\x00")
	}
	if row := s.rows[key.String()]; row != nil {
		return row
	}
	if len(s.list) >= 2*maxServices { // as many new ones as may come in a tick
		s.dropped++
		return nil
	}
	row := &service{
		key:   key.String(),
		group: &sample.Group{Labels: labels, Series: s.series, Every: s.lane},
		last:  now.at, born: now.tick, news: true, phase: uint64(len(s.list)),
	}
	s.rows[row.key] = row
	s.list = append(s.list, row)
	return row
}

// hold notes that a container of the service came or went.
func (s *service) hold(n int) {
	if s != nil {
		s.containers += n
	}
}

// add counts something that happened to a service.
func (s *service) add(what int, n uint64, now moment) {
	if s != nil && n > 0 {
		s.counts[what] += n
		s.last, s.news = now.at, true
	}
}

// collect tells of each service what is new, and of the others in their turn.
func (s *services) collect(b *sample.Batch) {
	s.makeRoom(b)
	for _, row := range s.list {
		if !row.news && !due(s.lane, b.Tick, row.phase) {
			continue
		}
		v := b.Add(row.group)
		clear(v)
		if row.news = row.born == b.Tick; row.news {
			continue // a counter that begins with what it counts has never grown
		}
		for i, n := range row.counts {
			v[i] = float64(n)
		}
		v[serviceCPU] = cgroup.Nanoseconds(row.counts[serviceCPU]).Seconds()
	}
}

// makeRoom ends the rows of services that nothing has been heard of for long,
// and where there are too many, those of which it was longest ago.
func (s *services) makeRoom(b *sample.Batch) {
	for _, row := range s.list {
		if row.containers > 0 {
			row.last = b.Time
		}
	}
	idle := func(row *service) bool { return b.Time.Sub(row.last) > idleService }
	if !slices.ContainsFunc(s.list, idle) && len(s.list) <= maxServices {
		return
	}
	over := len(s.list) - maxServices
	kept := slices.Clone(s.list)
	slices.SortStableFunc(kept, func(a, b *service) int { return a.last.Compare(b.last) })
	for _, row := range kept {
		switch {
		case row.containers > 0:
			continue
		case idle(row):
		case over > 0:
			s.dropped++
		default:
			continue
		}
		over--
		b.End(row.group)
		delete(s.rows, row.key)
	}
	s.list = slices.DeleteFunc(s.list, func(row *service) bool { return s.rows[row.key] == nil })
}

// serviceLabels are those that say what service a container is of, as the
// container's own series have them, and one that every service has.
func serviceLabels(c *discover.Container, n *naming) []sample.Label {
	labels := containerJob(n.job)
	add := func(name, value string) {
		if value != "" {
			labels = append(labels, sample.Label{Name: name, Value: n.clean(value)})
		}
	}
	own := func(keys ...string) {
		for _, w := range n.wanted {
			for _, key := range keys {
				if w.key == key {
					add(w.name, c.Labels[key])
				}
			}
		}
	}
	swarm, compose := c.Labels["com.docker.swarm.service.name"], c.Labels["com.docker.compose.service"]
	switch {
	case swarm != "":
		add("service", swarm)
		own("com.docker.swarm.service.name", "com.docker.stack.namespace")
	case compose != "":
		add("service", pathOf(c.Labels["com.docker.compose.project"], compose))
		own("com.docker.compose.project", "com.docker.compose.service")
	case c.Namespace != "" && c.ContainerName != "":
		add("service", pathOf(c.Namespace, c.ContainerName))
		add("namespace", c.Namespace)
		add("container", c.ContainerName)
	default:
		add("service", c.Image)
		add("image", c.Image)
	}
	return sortLabels(labels)
}

func pathOf(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + "/" + name
}
