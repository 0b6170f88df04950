package agent

import (
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Positions in the group of a container.
const (
	diskUsage = iota
	diskLimit
	diskInodes
	diskInodesFree
	diskInodesUsed
	diskUsageAge
	diskSeries
)

// diskMetrics are the metrics of a container's layer. All containers share them.
type diskMetrics [diskSeries]*sample.Metric

func newDiskMetrics() *diskMetrics {
	gauge := func(unit, name, help string) *sample.Metric {
		return &sample.Metric{Name: name, Help: help, Type: sample.Gauge, Unit: unit}
	}
	m := &diskMetrics{
		diskUsage:      gauge("bytes", "container_fs_usage_bytes", "What the container's writable layer takes on disk, without volumes."),
		diskLimit:      gauge("bytes", "container_fs_limit_bytes", "Size of the file system that the container's writable layer is on."),
		diskInodes:     gauge("", "container_fs_inodes_total", "Files (inodes) that the file system can have that the container's writable layer is on."),
		diskInodesFree: gauge("", "container_fs_inodes_free", "Files it can have besides those it has."),
		diskInodesUsed: gauge("", "plimsoll_container_fs_inodes_used", "Files and directories in the container's writable layer."),
		diskUsageAge:   gauge("seconds", "plimsoll_container_fs_usage_age_seconds", "Time since the usage of this sample began to be counted."),
	}
	m[diskUsageAge].Divisor = 1000
	return m
}

// group makes the series of a container.
func (m *diskMetrics) group(labels []sample.Label, device string, lane uint64) *sample.Group {
	g := &sample.Group{Labels: labels, Every: lane}
	on := []sample.Label{{Name: "device", Value: device}}
	for _, metric := range m {
		g.Series = append(g.Series, sample.Series{Metric: metric, Labels: on})
	}
	return g
}

// Positions in the health group, after the results.
const (
	diskEntries = int(diskResults) + iota
	diskSeconds
	diskWaiting
	diskStuck
)

func newDiskHealth(lanes Lanes) *sample.Group {
	counter := func(name, help string) sample.Series {
		return sample.Series{Metric: &sample.Metric{Name: name, Help: help, Type: sample.Counter}}
	}
	g := &sample.Group{Labels: []sample.Label{{Name: "job", Value: "plimsoll-agent"}}, Every: max(lanes.Third, 1)}
	walks := counter("plimsoll_agent_disk_walks_total", "Walks through writable layers, by how they ended: in full, by a limit, by an error, by the end of the container, not begun as others need the disk, or not begun as the container has no layer that is known.")
	for r := range diskResults {
		g.Series = append(g.Series, sample.Series{Metric: walks.Metric, Labels: []sample.Label{{Name: "result", Value: r.String()}}})
	}
	seconds := counter("plimsoll_agent_disk_walk_seconds_total", "Time that walks through writable layers took.")
	seconds.Metric.Unit, seconds.Metric.Divisor = "seconds", 1e6
	g.Series = append(g.Series,
		counter("plimsoll_agent_disk_walk_entries_total", "Names that walks through writable layers looked at."),
		seconds,
		gauge("plimsoll_agent_disk_walks_waiting", "Walks that are due and wait for another to end."),
		gauge("plimsoll_agent_disk_walks_stuck", "Walks that ought to have ended and do not come back; others have to do without their thread."),
	)
	return g
}

func (s *diskSource) addHealth(b *sample.Batch, now time.Time) {
	v := b.Add(s.health)
	for r, n := range s.results {
		v[r] = float64(n)
	}
	v[diskEntries] = float64(s.entries)
	v[diskSeconds] = float64(s.took.Microseconds()) / 1e6
	v[diskWaiting] = float64(len(s.workers.todo))
	v[diskStuck] = float64(s.workers.stuck(now))
}
