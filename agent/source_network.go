package agent

import (
	"cmp"
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/netns"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// ErrNetworkHidden says why containers have no network series: their processes
// are not to be seen, and a namespace is read through a process inside.
var ErrNetworkHidden = errors.New("no process of a container can be seen: run the agent in the node's pid namespace (hostPID: true, docker run --pid=host), with a /proc that is not mounted with hidepid")

// NetworkOptions say whose network is read, how often and from where.
type NetworkOptions struct {
	Proc       string // "/proc" if empty
	CgroupRoot string // "/sys/fs/cgroup" if empty

	// Containers and Labels are those of CgroupOptions.
	Containers func() (version uint64, list []discover.Container)
	Labels     []string
	Jobs       Jobs

	Lanes Lanes // second: traffic; third: sockets, and whose network it is

	// MaxOpen bounds the descriptors that are kept, one for each container. Past
	// it a container's process is looked for at each reading. 0 stands for an
	// eighth of what the process may open.
	MaxOpen int
}

// NetworkSource reads the network of containers. Each network namespace is read
// once and counts for one container: the sandbox of a pod, else the one that
// started first, for as long as it lives. The node's own counts for none.
func NetworkSource(opts NetworkOptions) (Source, error) {
	if opts.Containers == nil {
		return nil, errors.New("a network source needs to be told of containers")
	}
	groups, err := cgroup.New(cgroup.Options{Root: opts.CgroupRoot})
	if err != nil {
		return nil, err
	}
	return newNetworkSource(groups, opts), nil
}

type networkSource struct {
	opts    NetworkOptions
	groups  *cgroup.FS
	reader  *netns.Reader
	metrics *networkMetrics
	health  *networkHealth

	crew    crew[networkMember]
	came    uint64 // containers ever, for their phases
	node    netns.ID
	owners  map[netns.ID]networkClaim
	changed bool  // owners are to be found anew
	held    int   // processes that are open
	pids    []int // of the container that is looked at
}

func newNetworkSource(groups *cgroup.FS, opts NetworkOptions) *networkSource {
	if opts.Labels == nil {
		opts.Labels = DefaultContainerLabels()
	}
	if opts.MaxOpen <= 0 {
		opts.MaxOpen = eighthOfLimit()
	}
	names := newNaming(opts.Labels)
	names.job = opts.Jobs.Containers
	s := &networkSource{
		opts:    opts,
		groups:  groups,
		reader:  netns.New(opts.Proc),
		metrics: newNetworkMetrics(),
		health:  newNetworkHealth(opts.Lanes),
	}
	s.crew = crew[networkMember]{
		containers: opts.Containers,
		naming:     names,
		came:       s.meet,
		left:       s.part,
	}
	return s
}

func eighthOfLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 128
	}
	return int(min(limit.Cur, 1<<20) / 8)
}

func (s *networkSource) Name() string { return "network" }

// Collect looks into the networks that are due, then decides which container
// each counts for, then tells. A container that cannot be read costs no other
// its samples.
func (s *networkSource) Collect(ctx context.Context, b *sample.Batch) error {
	version := s.crew.version
	s.crew.update(b)
	s.changed = s.changed || s.crew.version != version // one may have turned out to be a sandbox
	err := s.look(ctx, b.Tick)
	if s.changed {
		s.assign(b)
	}
	for m := range s.members {
		if m.looked {
			err = cmp.Or(err, s.tell(m, b))
		}
	}
	if due(s.opts.Lanes.Third, b.Tick, 0) {
		err = cmp.Or(err, s.health.collect(b, s))
	}
	return err
}

// Close gives back all descriptors.
func (s *networkSource) Close() error {
	for m := range s.members {
		s.release(m)
	}
	s.groups.Close()
	return nil
}

// members are the containers; the group around a pod is none.
func (s *networkSource) members(yield func(*networkMember) bool) {
	for c, m := range s.crew.all {
		if c.Kind != discover.Pod && !yield(m) {
			return
		}
	}
}
