package agent

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// NodeOptions say where and how often the node itself is read.
type NodeOptions struct {
	Roots node.Roots
	Lanes Lanes // first: CPU, load, memory; second: pressure, network; third: the rest
	Jobs  Jobs
}

// NodeSource reads the node: CPUs, memory, pressure, network, disks. Its
// series have the names and labels that node_exporter gives them, so that
// dashboards and rules made for that work unchanged.
func NodeSource(opts NodeOptions) Source {
	return newNodeSource(opts, node.ReadUname)
}

type nodeSource struct {
	read  *node.Reader
	files []nodeFile
	avail *available
	done  *collectors
	up    *sample.Group
	every uint64 // the lane of up
	rare  uint64 // the lane of avail and done
	jobs  Jobs
}

// nodeFile is a file of the kernel and the series made of it.
type nodeFile struct {
	name   string // in plimsoll_agent_source_available; empty if it is no file
	lane   uint64
	series nodeSeries
}

// nodeSeries reads a file and adds what it says to b. When the file cannot be
// read, series that had values before are Absent in b: a value that is not
// renewed must not pass for a fresh one.
type nodeSeries interface {
	collect(b *sample.Batch) error
}

func newNodeSource(opts NodeOptions, uname func(*node.Uname) error) *nodeSource {
	first, second, third := opts.Lanes.First, opts.Lanes.Second, opts.Lanes.Third
	r := node.New(opts.Roots)
	network := newNodeNetwork(r)
	s := &nodeSource{
		read: r,
		rare: third,
		jobs: opts.Jobs,
		files: []nodeFile{
			{"", first, newNodeClock()},
			{"proc/stat", first, newNodeStat(r)},
			{"proc/loadavg", first, newNodeLoad(r)},
			{"proc/meminfo", first, newNodeMemory(r)},
			{"proc/pressure/cpu", second, newNodePressure(r, node.CPUPressure)},
			{"proc/pressure/memory", second, newNodePressure(r, node.MemoryPressure)},
			{"proc/pressure/io", second, newNodePressure(r, node.IOPressure)},
			{"proc/pressure/irq", second, newNodePressure(r, node.IRQPressure)},
			{"proc/net/dev", second, network},
			{"", third, nodeLinks{network}},
			{"proc/diskstats", third, newNodeDisks(r)},
			{"proc/vmstat", third, newNodeVM(r)},
			{"", third, newNodeUname(uname)},
		},
	}
	var names []string
	for _, f := range s.files {
		if f.name != "" {
			names = append(names, f.name)
		}
	}
	s.avail = newAvailable(names, third)
	s.done = newCollectors(names, third, opts.Jobs)
	s.every, s.up = first, newUp(first, sample.Label{Name: "job", Value: cmp.Or(opts.Jobs.Node, nodeJob().Value)})
	return s
}

// newUp is up as a server that scrapes has it: 1 while the source reads.
// Whoever waits for it to be absent or 0 finds it absent when the agent is gone.
func newUp(lane uint64, job ...sample.Label) *sample.Group {
	return &sample.Group{Labels: job, Every: max(lane, 1), Series: []sample.Series{
		{Metric: &sample.Metric{Name: "up", Help: "1 while this is read.", Type: sample.Gauge}},
	}}
}

func (s *nodeSource) Name() string { return "node" }

// Collect reads the files whose lane it is. None of them blocks, so it does
// not look at ctx in between.
func (s *nodeSource) Collect(_ context.Context, b *sample.Batch) error {
	var errs []error
	at := 0 // in avail
	for i := range s.files {
		f := &s.files[i]
		if due(f.lane, b.Tick, 0) {
			before, began := len(b.Columns), time.Now()
			err := f.series.collect(b)
			enter(b.Columns[before:], f.lane, s.jobs)
			if f.name != "" {
				s.avail.ok[at] = err == nil
				s.done.note(at, err, time.Since(began))
			}
			if err != nil && !missing(err) {
				errs = append(errs, err)
			}
		}
		if f.name != "" {
			at++
		}
	}
	if due(s.every, b.Tick, 0) {
		b.Add(s.up)[0] = 1
	}
	if due(s.rare, b.Tick, 0) {
		s.avail.add(b)
		s.done.add(b)
	}
	return errors.Join(errs...)
}

func (s *nodeSource) Close() error {
	for _, f := range s.files {
		if n, ok := f.series.(*nodeNetwork); ok {
			n.close()
		}
	}
	s.read.Close()
	return nil
}

// missing tells a kernel that has no such file, which is a fact, from one that
// cannot be read, which is a fault.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported)
}

// nodeGroup is a group that is there once its file has been read.
type nodeGroup struct {
	*sample.Group
	used bool
}

func newNodeGroup(series ...sample.Series) nodeGroup {
	return nodeGroup{Group: &sample.Group{Labels: []sample.Label{nodeJob()}, Series: series}}
}

func (g *nodeGroup) add(b *sample.Batch) []float64 {
	g.used = true
	return b.Add(g.Group)
}

// unread says that what g had is unknown now.
func (g *nodeGroup) unread(b *sample.Batch) {
	if g.used {
		b.Add(g.Group)
	}
}

// numbers sets v to n, Absent where it is not known, each divided by its
// metric's divisor.
func (g *nodeGroup) numbers(v []float64, n ...node.Number) {
	for i := range n {
		if !n[i].Known {
			continue
		}
		v[i] = float64(n[i].Value)
		if d := g.Series[i].Metric.Divisor; d > 1 {
			v[i] /= float64(d)
		}
	}
}
