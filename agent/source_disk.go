package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/disk"
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// DiskOptions say whose disk usage is measured and what that may cost.
type DiskOptions struct {
	CgroupRoot string     // of the control groups; "/sys/fs/cgroup" if empty
	Roots      node.Roots // for processes, the mounts of the node and the tree they are in
	// Containers are those there are now, and a number that changes when they
	// do. It is called at every tick and must not wait.
	Containers func() (version uint64, list []discover.Container)
	Labels     []string // as in CgroupOptions
	Jobs       Jobs
	Lanes      Lanes // fourth: each container, at the soonest; third: what the walks cost

	Limits disk.Limits // of a walk, but for Rate, which is of all together and 50,000 entries a second if 0
	// MaxIOPressure is up to what share of time, in percent, tasks of the node may
	// wait for I/O when a walk begins; 20 if 0.
	MaxIOPressure float64
}

const (
	// restFactor is how many times as long as a walk took it is not repeated.
	restFactor = 50
	// maxRest bounds that.
	maxRest = time.Hour
	// goodFor is how many periods a usage is told for.
	goodFor = 3
	// unsupportedRest is how many periods later a container is asked again whose
	// layer cannot be known.
	unsupportedRest = 5
)

// DiskSource measures what the writable layers of containers take on disk, under
// the names of cAdvisor. Volumes are not in the layer and not counted.
//
// Directories are walked by two goroutines of its own, at a bounded pace; a tick
// hands out what is due and takes in what has come back. A container is walked at
// most once in the fourth lane, and the seldomer the longer its walk takes, so
// that a usage has an age, in plimsoll_container_fs_usage_age_seconds. It is told
// until it is three periods old. A layer that is too large to be counted has no
// usage, nor has one that no walk can be sure of: see disk.ErrNoLayer. A
// directory that never answers costs the goroutine that walks it.
//
// The sandboxes of pods have layers that nobody writes to; those are left out.
func DiskSource(opts DiskOptions) (Source, error) {
	if opts.Containers == nil {
		return nil, errors.New("a disk source needs to be told of containers")
	}
	fs, err := cgroup.New(cgroup.Options{Root: opts.CgroupRoot, Sysfs: opts.Roots.Sys})
	if err != nil {
		return nil, err
	}
	opts.MaxIOPressure = cmp.Or(opts.MaxIOPressure, 20)
	meter := &diskMeter{
		roots: opts.Roots, maxPressure: opts.MaxIOPressure, layers: disk.NewLayers(opts.Roots.Proc), groups: fs,
	}
	return newDiskSource(opts, meter.measure, meter.close), nil
}

type diskSource struct {
	opts    DiskOptions
	period  uint64 // ticks
	crew    crew[*diskContainer]
	workers *diskWorkers
	metrics *diskMetrics

	tick uint64 // of the batch that is being made
	came uint64 // containers ever, for their phases

	health  *sample.Group
	results [diskResults]uint64
	entries uint64
	took    time.Duration
}

// diskContainer is what is known of a container's layer.
type diskContainer struct {
	labels []sample.Label
	out    bool // a walk is waiting or under way

	next      uint64    // tick of the next walk
	notBefore time.Time // nor is it before that

	reading diskReading   // the last that told of the layer
	sent    uint64        // tick at which that was sent off
	rest    time.Duration // after it
	news    bool          // it is in no batch yet

	group *sample.Group // nil until there is something to tell
	on    string        // device that group is of
	told  uint64        // tick of the last batch that has it
}

func (c *diskContainer) end(b *sample.Batch) {
	if c.group != nil {
		b.End(c.group)
		c.group = nil
	}
}

func newDiskSource(opts DiskOptions, measure diskMeasure, release func()) *diskSource {
	if opts.Labels == nil {
		opts.Labels = DefaultContainerLabels()
	}
	s := &diskSource{
		opts: opts, period: max(opts.Lanes.Fourth, 1),
		workers: newDiskWorkers(opts.Limits, measure, release),
		metrics: newDiskMetrics(),
		health:  newDiskHealth(opts.Lanes),
	}
	names := newNaming(opts.Labels)
	names.job = opts.Jobs.Containers
	s.crew = crew[*diskContainer]{
		containers: opts.Containers,
		naming:     names,
		came: func(_ *discover.Container, labels []sample.Label) *diskContainer {
			s.came++
			return &diskContainer{labels: labels, next: s.tick + s.came%s.period}
		},
		left: func(c **diskContainer, b *sample.Batch) { (*c).end(b) },
	}
	return s
}

func (s *diskSource) Name() string { return "disk" }

// Collect never waits, so it does not look at ctx.
func (s *diskSource) Collect(_ context.Context, b *sample.Batch) error {
	s.tick = b.Tick
	s.crew.update(b)
	err := s.fetch()
	now := time.Now()
	for is, c := range s.crew.all {
		if is.Kind != discover.Workload {
			(*c).end(b) // it was taken for one
			continue
		}
		s.send(is.Cgroup, *c, now)
		s.tell(*c, b, now)
	}
	if due(s.opts.Lanes.Third, b.Tick, 0) {
		s.addHealth(b, now)
	}
	return err
}

// Close ends the walks that are under way, as far as they can be ended.
func (s *diskSource) Close() error {
	s.workers.close()
	return nil
}

// send has a container walked if it is its time.
func (s *diskSource) send(cgroup string, c *diskContainer, now time.Time) {
	if c.out || s.tick < c.next || now.Before(c.notBefore) {
		return
	}
	c.out = s.workers.send(diskWalk{of: c, cgroup: cgroup, sent: s.tick}) // else it stays due
}

// fetch takes in what the workers have brought.
func (s *diskSource) fetch() error {
	var errs []error
	for {
		w, ok := s.workers.fetch()
		if !ok {
			return errors.Join(errs...)
		}
		s.results[w.reading.result]++
		s.entries += w.reading.usage.Entries
		s.took += w.reading.took
		if err := w.reading.err; err != nil {
			errs = append(errs, fmt.Errorf("container %s: %w", w.cgroup, err))
		}
		s.learn(w) // of one that has left, nobody will see it
	}
}

// learn takes in a walk and says when the next one is.
func (s *diskSource) learn(w diskWalk) {
	c, r := w.of, w.reading
	c.out = false
	switch r.result {
	case diskSkipped:
		c.next = s.tick + max(s.period/4, 1)
		return
	case diskUnsupported:
		c.next = s.tick + unsupportedRest*s.period
		return
	}
	rest := min(restFactor*r.took, maxRest)
	c.next, c.notBefore = w.sent+s.period, r.began.Add(rest)
	if r.result == diskDone || r.result == diskPartial { // else what is known stays so for a while
		c.reading, c.sent, c.rest, c.news = r, w.sent, rest, true
	}
}

// tell adds what is known of a container when it is new and in the fourth lane.
func (s *diskSource) tell(c *diskContainer, b *sample.Batch, now time.Time) {
	if !c.news && (c.group == nil || s.tick < c.told+s.period) {
		return
	}
	if c.group == nil || c.on != c.reading.device {
		c.end(b)
		c.group, c.on = s.metrics.group(c.labels, c.reading.device, s.period), c.reading.device
	}
	c.news, c.told = false, s.tick
	v := b.Add(c.group)
	age := now.Sub(c.reading.began)
	if s.tick > c.sent+goodFor*s.period && age > goodFor*c.rest {
		return
	}
	u := &c.reading.usage
	if c.reading.result == diskDone {
		v[diskUsage], v[diskInodesUsed] = float64(u.Bytes), float64(u.Inodes)
		v[diskUsageAge] = max(age, 0).Truncate(time.Millisecond).Seconds()
	}
	v[diskLimit] = float64(u.Backing.SizeBytes)
	if u.Backing.Files > 0 { // else it sets no limit
		v[diskInodes], v[diskInodesFree] = float64(u.Backing.Files), float64(u.Backing.FilesFree)
	}
}
