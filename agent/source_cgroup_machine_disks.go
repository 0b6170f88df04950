package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// machineDisks makes the container_fs_* series of the root's row. cAdvisor has
// most of them for each container too, with the figures of the whole disk, and
// all times a million times too small; there is no source for those of one
// container. Times here are in seconds.
type machineDisks struct {
	read   *node.Reader
	last   []node.Disk
	counts []machineDiskCount
	disks  roster[string, *sample.Group] // nil for those left out
}

// machineDiskCount is a column of /proc/diskstats as a series.
type machineDiskCount struct {
	metric *sample.Metric
	of     node.DiskCount
	scale  float64 // from the kernel's unit to the metric's, besides its divisor
}

func newMachineDisks(r *node.Reader, m *cgroupMetrics, labels []sample.Label, lane uint64) *machineDisks {
	s := &machineDisks{read: r, counts: machineDiskCounts(m)}
	leftOut := disksLeftOut()
	s.disks = roster[string, *sample.Group]{
		came: func(name string) *sample.Group {
			if leftOut.MatchString(name) {
				return nil
			}
			device := []sample.Label{{Name: "device", Value: "/dev/" + name}}
			g := &sample.Group{Labels: labels, Every: max(lane, 1)}
			for _, c := range s.counts {
				g.Series = append(g.Series, sample.Series{Metric: c.metric, Labels: device})
			}
			return g
		},
		left: func(g **sample.Group, b *sample.Batch) {
			if *g != nil {
				b.End(*g)
			}
		},
	}
	return s
}

func machineDiskCounts(m *cgroupMetrics) []machineDiskCount {
	count := func(of node.DiskCount, name, help string) machineDiskCount {
		return machineDiskCount{&sample.Metric{Name: "container_fs_" + name + "_total", Help: help, Type: sample.Counter}, of, 1}
	}
	seconds := func(of node.DiskCount, name, help string) machineDiskCount {
		c := count(of, name+"_seconds", help)
		c.metric.Unit, c.metric.Divisor = "seconds", 1000
		return c
	}
	return []machineDiskCount{
		{m.reads, node.ReadsCompleted, 1},
		{m.writes, node.WritesCompleted, 1},
		{m.readBytes, node.SectorsRead, node.SectorBytes},
		{m.writeBytes, node.SectorsWritten, node.SectorBytes},
		count(node.SectorsRead, "sector_reads", "Sectors of 512 bytes read."),
		count(node.SectorsWritten, "sector_writes", "Sectors of 512 bytes written."),
		count(node.ReadsMerged, "reads_merged", "Reads merged with a neighbour before they reached the disk."),
		count(node.WritesMerged, "writes_merged", "Writes merged with a neighbour before they reached the disk."),
		seconds(node.ReadTime, "read", "Time that reads took, summed over all of them."),
		seconds(node.WriteTime, "write", "Time that writes took, summed over all of them."),
		seconds(node.BusyTime, "io_time", "Time during which some request was in progress."),
		seconds(node.WeightedTime, "io_time_weighted", "Time that requests were in progress, summed over all of them."),
		{&sample.Metric{Name: "container_fs_io_current", Help: "Requests in progress.", Type: sample.Gauge}, node.InFlight, 1},
	}
}

func (s *machineDisks) collect(b *sample.Batch) error {
	disks, err := s.read.Disks(s.last)
	s.last = disks
	if err != nil {
		s.disks.each(func(g **sample.Group) {
			if *g != nil {
				b.Add(*g) // what they had is unknown now
			}
		})
		return err
	}
	for i := range disks {
		g := s.disks.seen(disks[i].Name)
		if g == nil || *g == nil {
			continue
		}
		v := b.Add(*g)
		for at, c := range s.counts {
			if c.of < disks[i].Known {
				v[at] = float64(disks[i].Counts[c.of]) * c.scale / float64(max(c.metric.Divisor, 1))
			}
		}
	}
	s.disks.settle(b)
	return nil
}
