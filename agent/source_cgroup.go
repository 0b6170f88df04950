package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/exit"
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// CgroupOptions say which containers are read, how often and from where.
type CgroupOptions struct {
	Root  string     // of the control groups; "/sys/fs/cgroup" if empty
	Roots node.Roots // for the size of the machine and the names of devices
	Lanes Lanes      // first: CPU, memory usage; second: memory by kind, pressure; third: the rest; fourth: ulimits
	Jobs  Jobs

	// Containers are those there are now, and a number that changes when they
	// do. It is called at every tick and must not wait.
	Containers func() (version uint64, list []discover.Container)
	// OOMs are the ids of containers that ran out of memory since the last call,
	// as the engine says, once or more often each. Where that ends the container
	// the kernel's count of kills is gone before it is read. Nil if there is no
	// engine.
	OOMs func() []string
	// Exits tells what containers had used when they ended. Nil if nobody reads
	// that; then the end of a container is as of the last tick, and one that
	// lives between two ticks has no series.
	Exits Exits
	// Saw is told of each container's CPU time, what its quota withheld and its
	// memory usage, as they are read. Nil for nobody.
	Saw func(cgroup string, usage, throttled cgroup.Opt[cgroup.Nanoseconds], memoryBytes cgroup.Opt[uint64])
	// Labels are the containers' own labels that become labels of their series;
	// DefaultContainerLabels if nil. Each other name would be more cardinality.
	Labels []string
}

// Exits knows what containers had used when they ended, as exit.Watcher does.
// Its methods are called at every tick and must not wait.
type Exits interface {
	Final(cgroup string) (r exit.Record, ok bool)
	Records(n uint64) (list []exit.Record, last uint64)
}

// DefaultContainerLabels are the labels by which Compose and Swarm say what a
// container belongs to.
func DefaultContainerLabels() []string {
	return []string{
		"com.docker.compose.project",
		"com.docker.compose.service",
		"com.docker.stack.namespace",
		"com.docker.swarm.service.name",
	}
}

// CgroupSource reads the containers of the node. Its series have the names and
// labels that cAdvisor gives them, in Kubernetes those that kubelet gives them,
// so that dashboards and rules made for that work unchanged.
//
// Rows overlap, as they do there: the root's, with id "/", is the whole node,
// and a pod's is the sum of its containers and its sandbox. Whoever sums up rows
// selects one kind, such as by container!="", or by image!="" where there may be
// containers outside of Kubernetes. Kills for want of memory are told in the
// rows of containers alone.
func CgroupSource(opts CgroupOptions) (Source, error) {
	if opts.Containers == nil {
		return nil, errors.New("a cgroup source needs to be told of containers")
	}
	fs, err := cgroup.New(cgroup.Options{Root: opts.Root, Sysfs: opts.Roots.Sys})
	if err != nil {
		return nil, err
	}
	s, err := newCgroupSource(fs, opts)
	if err != nil {
		fs.Close()
		return nil, err
	}
	return s, nil
}

// cgroupSource follows containers from their first tick to five minutes after
// their last.
type cgroupSource struct {
	opts    CgroupOptions
	fs      *cgroup.FS
	metrics *cgroupMetrics
	naming  naming
	machine *machine
	health  *cgroupHealth

	version    uint64
	containers []*container          // in the order that they were told in
	byPath     map[string]*container // nil before the first tick
	came       uint64                // containers ever, for their phases
	ending     []departure           // whose series end at the next tick
	barred     []string              // paths whose series end at this tick
	remains    remains               // of containers that are gone
	brief      briefLives            // of containers that no tick has seen
	io         []cgroup.DeviceIO     // of the container being read
}

// departure is a container that left at a tick that has samples of it. A series
// cannot end where it has a sample, so it ends at the next; and until then no
// other may begin in its place.
type departure struct {
	path   string
	groups []*sample.Group
}

func newCgroupSource(fs *cgroup.FS, opts CgroupOptions) (*cgroupSource, error) {
	if opts.Labels == nil {
		opts.Labels = DefaultContainerLabels()
	}
	if opts.Saw == nil {
		opts.Saw = func(string, cgroup.Opt[cgroup.Nanoseconds], cgroup.Opt[cgroup.Nanoseconds], cgroup.Opt[uint64]) {}
	}
	metrics := newCgroupMetrics(fs.Mode())
	machine, err := newMachine(fs, opts, metrics)
	if err != nil {
		return nil, fmt.Errorf("open the root cgroup: %w", err)
	}
	naming := newNaming(opts.Labels)
	naming.job = opts.Jobs.Containers
	return &cgroupSource{
		opts:    opts,
		fs:      fs,
		metrics: metrics,
		naming:  naming,
		machine: machine,
		health:  newCgroupHealth(fs, opts),
	}, nil
}

func (s *cgroupSource) Name() string { return "cgroup" }

// Collect reads each container in the lanes that are due. A container that
// cannot be read costs no other its samples.
func (s *cgroupSource) Collect(ctx context.Context, b *sample.Batch) error {
	s.bury(b)
	if version, list := s.opts.Containers(); s.byPath == nil || version != s.version {
		s.version = version
		s.follow(list, b)
	}
	s.hearOOMs()
	s.tellBriefLives(b)

	var errs []error
	for _, c := range s.containers {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("not all containers were read: %w", err))
			break
		}
		if err := s.visit(c, b); err != nil {
			errs = append(errs, err)
		}
	}
	s.health.containersFailed = s.health.containersFailed || len(errs) > 0
	if err := s.machine.collect(b, s.opts.Lanes); err != nil {
		errs = append(errs, err)
		s.health.machineFailed = true
	}
	s.remains.collect(b, s.opts.Lanes)
	if due(s.opts.Lanes.Third, b.Tick, 0) {
		s.health.collect(b, s)
	}
	return errors.Join(errs...)
}

// Close gives back all descriptors.
func (s *cgroupSource) Close() error {
	for _, c := range s.containers {
		c.close()
	}
	s.machine.close()
	s.fs.Close()
	return nil
}

// bury ends the series of those that left at the last tick.
func (s *cgroupSource) bury(b *sample.Batch) {
	s.barred = s.barred[:0]
	for i := range s.ending {
		end(b, s.ending[i].groups...)
		s.barred = append(s.barred, s.ending[i].path)
	}
	clear(s.ending)
	s.ending = s.ending[:0]
}

// follow takes up the containers of a new list and lets go of those that are
// not in it. Where their end was not read, their groups are read a last time, for
// they often outlive the word that they are empty.
func (s *cgroupSource) follow(list []discover.Container, b *sample.Batch) {
	old := s.byPath
	s.byPath = make(map[string]*container, len(list))
	s.containers = make([]*container, 0, len(list))
	for i := range list {
		path := list[i].Cgroup
		if s.byPath[path] != nil {
			continue
		}
		c := old[path]
		if c == nil {
			c = &container{phase: s.came, seen: b.Time}
			s.came++
		}
		delete(old, path)
		c.learn(list[i])
		s.byPath[path] = c
		s.containers = append(s.containers, c)
	}
	for _, c := range old {
		if !s.conclude(c, b, nil) && c.series != nil && c.group != nil {
			_ = s.read(c, b, true) // as far as it goes
		}
		s.leave(c, b)
	}
}

// visit opens a container's group where that is to be done, and reads what is
// due of it.
func (s *cgroupSource) visit(c *container, b *sample.Batch) error {
	if c.group == nil {
		if slices.Contains(s.barred, c.is.Cgroup) {
			return nil
		}
		group, err := s.fs.Open(c.is.Cgroup)
		if errors.Is(err, cgroup.ErrGone) {
			return nil // and whoever told of it will notice
		}
		if err != nil {
			return err
		}
		c.group = group
	}
	if c.nameless(b.Time) {
		return nil
	}
	fresh, before := s.name(c, b), len(b.Columns)
	err := s.read(c, b, fresh)
	if errors.Is(err, cgroup.ErrGone) {
		s.conclude(c, b, b.Columns[before:])
		s.leave(c, b)
		return nil
	}
	return err
}

// leave closes a container and ends its series, but for those that remain.
func (s *cgroupSource) leave(c *container, b *sample.Batch) {
	c.close()
	if c.series == nil {
		return
	}
	d := departure{c.is.Cgroup, c.series.passing()}
	if c.wrote == b.Tick+1 {
		s.ending = append(s.ending, d)
	} else {
		s.barred = append(s.barred, d.path)
		end(b, d.groups...)
	}
	s.remains.add(c, b)
	c.series, c.ooms, c.used = nil, ooms{}, 0
}

func end(b *sample.Batch, groups ...*sample.Group) {
	for _, g := range groups {
		b.End(g)
	}
}

// name makes the series of a container, if it has none yet or its name has
// become known, and tells whether it did.
func (s *cgroupSource) name(c *container, b *sample.Batch) bool {
	if c.series != nil && !c.renamed {
		return false
	}
	c.renamed = false
	var had []sample.Label
	if c.series != nil {
		had = c.series.labels
	}
	labels, others := s.naming.again(had, &c.is)
	if !others {
		return false
	}
	if c.series != nil {
		end(b, c.series.passing()...)
		end(b, c.series.lasting)
	}
	c.series = newContainerSeries(s.metrics, s.fs, labels, s.opts.Lanes)
	s.remains.resume(c, b)
	return true
}

// hearOOMs notes the kills that the engine tells of, each in one place: one that
// restarts its container belongs to what remains of it.
func (s *cgroupSource) hearOOMs() {
	if s.opts.OOMs == nil {
		return
	}
	for _, id := range slices.Compact(s.opts.OOMs()) {
		if s.remains.killed(id) {
			continue
		}
		for _, c := range s.containers {
			c.ooms.told = c.ooms.told || c.is.ID == id
		}
	}
}
