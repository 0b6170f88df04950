package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/burst"
	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// ResolutionLabel is the label by which a container asks to be read more often,
// all the time: "100ms" to "1s".
const ResolutionLabel = "plimsoll.resolution"

const (
	leastResolution = 100 * time.Millisecond
	mostResolution  = time.Second
	// busiest is how many containers are looked at closely when the node is
	// short of something and the kernel cannot say which of them is.
	busiest = 4
	// busy is the least that one of them uses.
	busy = 0.1 // CPUs
)

// BurstOptions say which containers may be read in burst, and on what.
type BurstOptions struct {
	Lane  burst.Options
	Lanes Lanes // first: what was read in bursts; second: how that went

	// Containers are those there are now, and a number that changes when they
	// do. It is called at every tick and must not wait.
	Containers func() (version uint64, list []discover.Container)
	// Labels are the containers' own labels that become labels of their series;
	// DefaultContainerLabels if nil.
	Labels []string
	// Wanted is how often somebody else wants a container read, 0 if nobody
	// does. It is called for each container at every tick. Nil for nobody.
	Wanted func(c *discover.Container) time.Duration
}

// Burst is the source of what is read more often than at each tick: the maxima
// and means over windows of 100 ms, for the containers in which something has
// just begun to happen. Their series are there only as long as that lasts.
type Burst struct {
	opts   BurstOptions
	lane   *burst.Lane
	crew   crew[burstContainer]
	series []sample.Series
	health *burstHealth

	followed bool // the lane knows of version
	version  uint64
	round    uint64
	leftOut  int // containers that are asked for and for which there is no room
	read     []burst.Reading
}

// burstContainer is what is kept of a container.
type burstContainer struct {
	labels   []sample.Label
	pace     burst.Pace
	label    string        // its own
	asked    time.Duration // what that asks for
	standing time.Duration // what the lane does for it
	group    *sample.Group // nil while it is not in burst
	round    uint64        // the last in which it was
}

// Positions in the group of a container in burst.
const (
	burstCPUMax = iota
	burstCPUMean
	burstThrottledMax
	burstThrottledMean
	burstMemoryMax
	burstMemoryMean
)

// BurstSource makes the source; its Run is to run beside the agent, and Saw to
// be told of each container's readings.
func BurstSource(opts BurstOptions) (*Burst, error) {
	if opts.Containers == nil {
		return nil, errors.New("a burst source needs to be told of containers")
	}
	if opts.Labels == nil {
		opts.Labels = DefaultContainerLabels()
	}
	if opts.Wanted == nil {
		opts.Wanted = func(*discover.Container) time.Duration { return 0 }
	}
	lane, err := burst.New(opts.Lane)
	if err != nil {
		return nil, err
	}
	s := &Burst{opts: opts, lane: lane, series: burstSeries(), health: newBurstHealth(lane, opts.Lanes)}
	s.crew = crew[burstContainer]{containers: opts.Containers, naming: newNaming(opts.Labels), came: s.came, left: s.left}
	return s, nil
}

// burstSeries are those of a container in burst. A share of 1 is all the time of
// one CPU, as in the rate of container_cpu_usage_seconds_total. The kernel
// counts in steps of its scheduler's ticks, so that a window of 100 ms may be
// off by 1 to 10 ms for each CPU.
func burstSeries() []sample.Series {
	gauge := func(name, help string) sample.Series {
		m := &sample.Metric{Name: "plimsoll_container_" + name, Help: help, Type: sample.Gauge}
		if strings.HasSuffix(name, "_bytes") {
			m.Unit = "bytes"
		}
		return sample.Series{Metric: m}
	}
	return []sample.Series{
		burstCPUMax:        gauge("cpu_burst_max_ratio", "CPUs used in the busiest window of 100 ms since the last sample."),
		burstCPUMean:       gauge("cpu_burst_mean_ratio", "CPUs used since the last sample, over the windows of 100 ms."),
		burstThrottledMax:  gauge("cpu_throttled_burst_max_ratio", "CPUs that the quota withheld in the worst window of 100 ms since the last sample."),
		burstThrottledMean: gauge("cpu_throttled_burst_mean_ratio", "CPUs that the quota withheld since the last sample, over the windows of 100 ms."),
		burstMemoryMax:     gauge("memory_usage_burst_max_bytes", "Highest memory usage found at the ends of windows of 100 ms since the last sample."),
		burstMemoryMean:    gauge("memory_usage_burst_mean_bytes", "Mean memory usage at the ends of windows of 100 ms since the last sample."),
	}
}

// Name makes Burst a Source.
func (s *Burst) Name() string { return "burst" }

// Run reads containers in burst until ctx ends.
func (s *Burst) Run(ctx context.Context) error { return s.lane.Run(ctx) }

// Close makes Burst an io.Closer. It is called after Run has returned.
func (s *Burst) Close() error {
	s.lane.Close()
	return nil
}

// Saw is told of what a container has used and what its quota has withheld, as
// its usual readings have it, and begins a burst if something has jumped. It is
// for the goroutine that samples.
func (s *Burst) Saw(path string, usage, throttled cgroup.Opt[cgroup.Nanoseconds], memoryBytes cgroup.Opt[uint64]) {
	m := s.crew.byPath[path]
	if m == nil {
		return
	}
	if why, jumped := m.kept.pace.Saw(time.Now(), usage, throttled, memoryBytes); jumped {
		s.lane.Begin(path, why)
	}
}

// Collect adds what was read in bursts since the last time.
func (s *Burst) Collect(_ context.Context, b *sample.Batch) error {
	s.crew.update(b)
	s.follow()
	err := s.stand()
	if s.lane.Pressed() {
		s.pressed()
	}
	if due(s.opts.Lanes.First, b.Tick, 0) {
		s.add(b)
	}
	if due(s.opts.Lanes.Second, b.Tick, 0) {
		s.health.collect(b, s.lane, s.leftOut)
	}
	return err
}

func (s *Burst) came(_ *discover.Container, labels []sample.Label) burstContainer {
	labels = slices.Clone(labels)
	for i := range labels {
		if labels[i].Name == "job" {
			labels[i].Value = "plimsoll-agent"
		}
	}
	return burstContainer{labels: labels}
}

func (s *Burst) left(kept *burstContainer, b *sample.Batch) {
	if kept.group != nil {
		b.End(kept.group)
	}
}

// follow tells the lane which containers there are. The groups around them are
// none of its business: what happens there happens in one of the containers.
func (s *Burst) follow() {
	if s.followed && s.version == s.crew.version {
		return
	}
	s.followed, s.version = true, s.crew.version
	paths := make([]string, 0, len(s.crew.members))
	for _, m := range s.crew.members {
		if m.is.Kind == discover.Workload {
			paths = append(paths, m.is.Cgroup)
		}
	}
	s.lane.Follow(paths)
}

// stand has the lane read for good what somebody asks for.
func (s *Burst) stand() error {
	var errs []error
	s.leftOut = 0
	for c, kept := range s.crew.all {
		if c.Kind != discover.Workload {
			continue
		}
		if label := c.Labels[ResolutionLabel]; label != kept.label { // which may come after the name
			kept.label = label
			var err error
			if kept.asked, err = resolution(label); err != nil {
				errs = append(errs, fmt.Errorf("container %s: %w", c.Name, err))
			}
		}
		want := kept.asked
		if other := s.opts.Wanted(c); other > 0 && (want == 0 || other < want) {
			want = other
		}
		if want == kept.standing {
			continue
		}
		if s.lane.Stand(c.Cgroup, want) {
			kept.standing = want
		} else {
			s.leftOut++
		}
	}
	return errors.Join(errs...)
}

// resolution reads the label, 0 if there is none.
func resolution(label string) (time.Duration, error) {
	if label == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(label)
	if err != nil || d < leastResolution || d > mostResolution {
		return 0, fmt.Errorf("label %s is %.40q: allowed are %s to %s", ResolutionLabel, label, leastResolution, mostResolution)
	}
	return d, nil
}

// pressed looks at the busiest of the containers whose own pressure the kernel
// does not tell of.
func (s *Burst) pressed() {
	var found []*crewMember[burstContainer]
	for _, m := range s.crew.members {
		if m.kept.pace.CPUs() >= busy && !s.lane.Armed(m.is.Cgroup) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b *crewMember[burstContainer]) int {
		switch x, y := a.kept.pace.CPUs(), b.kept.pace.CPUs(); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return strings.Compare(a.is.Cgroup, b.is.Cgroup)
	})
	for _, m := range found[:min(len(found), busiest)] {
		s.lane.Begin(m.is.Cgroup, burst.NodePressure)
	}
}

// add adds the samples of containers in burst, and ends those of others.
func (s *Burst) add(b *sample.Batch) {
	s.round++
	s.read = s.lane.Take(s.read[:0])
	for i := range s.read {
		r := &s.read[i]
		m := s.crew.byPath[r.Group]
		if m == nil || m.labels == nil {
			continue
		}
		m.kept.round = s.round
		if r.Windows == 0 {
			continue // it has just begun, or is read but once a tick
		}
		if m.kept.group == nil {
			m.kept.group = &sample.Group{Labels: m.kept.labels, Series: s.series, Every: max(s.opts.Lanes.First, 1)}
		}
		v := b.Add(m.kept.group)
		for i, o := range [...]cgroup.Opt[float64]{
			burstCPUMax: r.CPUMax, burstCPUMean: r.CPUMean,
			burstThrottledMax: r.ThrottledMax, burstThrottledMean: r.ThrottledMean,
			burstMemoryMax: r.MemoryMax, burstMemoryMean: r.MemoryMean,
		} {
			if o.OK {
				v[i] = o.V
			}
		}
	}
	for _, kept := range s.crew.all {
		if kept.round == s.round {
			continue
		}
		kept.standing = 0 // should it still be wanted, it is to be asked for again
		if kept.group != nil {
			b.End(kept.group)
			kept.group = nil
		}
	}
}
