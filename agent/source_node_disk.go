package agent

import (
	"regexp"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// nodeDisks makes series of /proc/diskstats.
type nodeDisks struct {
	read   *node.Reader
	last   []node.Disk
	counts [node.NumDiskCounts]diskCount
	disks  roster[string, *sample.Group] // nil for those left out
}

// diskCount is a column of /proc/diskstats as a metric.
type diskCount struct {
	metric *sample.Metric
	scale  float64 // from the kernel's unit to the metric's, besides its divisor
}

func newNodeDisks(r *node.Reader) *nodeDisks {
	counts := diskCounts()
	series := make([]sample.Series, len(counts))
	for i, c := range counts {
		series[i] = sample.Series{Metric: c.metric}
	}
	leftOut := disksLeftOut()
	return &nodeDisks{
		read:   r,
		counts: counts,
		disks: roster[string, *sample.Group]{
			came: func(name string) *sample.Group {
				if leftOut.MatchString(name) {
					return nil
				}
				return &sample.Group{Labels: []sample.Label{{Name: "device", Value: name}, nodeJob()}, Series: series}
			},
			left: func(g **sample.Group, b *sample.Batch) {
				if *g != nil {
					b.End(*g)
				}
			},
		},
	}
}

// disksLeftOut are those that node_exporter leaves out: memory that poses as a
// disk, and partitions, which are part of their disk.
func disksLeftOut() *regexp.Regexp {
	return regexp.MustCompile(`^(ram|zram|loop|fd|[hsv]d[a-z]|xvd[a-z]|nvme[0-9]+n[0-9]+p)[0-9]+$`)
}

func diskCounts() [node.NumDiskCounts]diskCount {
	count := func(name, help string) diskCount {
		return diskCount{&sample.Metric{Name: "node_disk_" + name, Help: help, Type: sample.Counter}, 1}
	}
	bytes := func(name, help string) diskCount {
		return diskCount{&sample.Metric{Name: "node_disk_" + name, Help: help, Type: sample.Counter, Unit: "bytes"}, node.SectorBytes}
	}
	seconds := func(name, help string) diskCount {
		return diskCount{&sample.Metric{Name: "node_disk_" + name, Help: help, Type: sample.Counter, Unit: "seconds", Divisor: 1000}, 1}
	}
	return [node.NumDiskCounts]diskCount{
		node.ReadsCompleted:    count("reads_completed_total", "Reads completed."),
		node.ReadsMerged:       count("reads_merged_total", "Reads merged with a neighbour before they reached the disk."),
		node.SectorsRead:       bytes("read_bytes_total", "Bytes read."),
		node.ReadTime:          seconds("read_time_seconds_total", "Time that reads took, summed over all of them."),
		node.WritesCompleted:   count("writes_completed_total", "Writes completed."),
		node.WritesMerged:      count("writes_merged_total", "Writes merged with a neighbour before they reached the disk."),
		node.SectorsWritten:    bytes("written_bytes_total", "Bytes written."),
		node.WriteTime:         seconds("write_time_seconds_total", "Time that writes took, summed over all of them."),
		node.InFlight:          {&sample.Metric{Name: "node_disk_io_now", Help: "Requests in progress.", Type: sample.Gauge}, 1},
		node.BusyTime:          seconds("io_time_seconds_total", "Time during which some request was in progress."),
		node.WeightedTime:      seconds("io_time_weighted_seconds_total", "Time that requests were in progress, summed over all of them."),
		node.DiscardsCompleted: count("discards_completed_total", "Discards completed."),
		node.DiscardsMerged:    count("discards_merged_total", "Discards merged with a neighbour before they reached the disk."),
		node.SectorsDiscarded:  count("discarded_sectors_total", "Sectors of 512 bytes discarded."),
		node.DiscardTime:       seconds("discard_time_seconds_total", "Time that discards took, summed over all of them."),
		node.FlushesCompleted:  count("flush_requests_total", "Flushes completed."),
		node.FlushTime:         seconds("flush_requests_time_seconds_total", "Time that flushes took, summed over all of them."),
	}
}

func (s *nodeDisks) collect(b *sample.Batch) error {
	disks, err := s.read.Disks(s.last)
	s.last = disks
	if err != nil {
		s.disks.each(func(g **sample.Group) {
			if *g != nil {
				b.Add(*g)
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
		for c := range disks[i].Known {
			v[c] = float64(disks[i].Counts[c]) * s.counts[c].scale
			if d := s.counts[c].metric.Divisor; d > 1 {
				v[c] /= float64(d)
			}
		}
	}
	s.disks.settle(b)
	return nil
}
