package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/gpu"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// GPUOptions say where readings of GPUs come from and what they are called.
type GPUOptions struct {
	// State is the newest of a gpu.Helper. It is called at every tick and must
	// not wait.
	State func() gpu.State
	// Containers are those there are now, and a number that changes when they
	// do. It is called at every tick and must not wait.
	Containers func() (version uint64, list []discover.Container)
	Proc       string   // of the node, by which processes are found in containers; "/proc" if empty
	Hostname   string   // label of every series, as dcgm-exporter has it
	Labels     []string // as in CgroupOptions
	// OldHostname calls that label Hostname, as dcgm-exporter did before its
	// version 4.
	OldHostname bool
	Jobs        Jobs
	Lanes       Lanes // first: all readings; third: which processes are whose, anew
}

// maxGPUAge is how old a snapshot may be to be passed on. In good health it is
// not much older than a second.
const maxGPUAge = 5 * time.Second

// GPUSource passes on what the GPU helper read last. Its series have the names,
// units and labels that dcgm-exporter gives them, so that dashboards and rules
// made for that work unchanged. On a node without a GPU there are none.
func GPUSource(opts GPUOptions) (Source, error) {
	if opts.State == nil || opts.Containers == nil {
		return nil, errors.New("a gpu source needs a helper and to be told of containers")
	}
	if opts.Labels == nil {
		opts.Labels = DefaultContainerLabels()
	}
	return newGPUSource(opts, time.Now), nil
}

// gpuSource follows devices, their instances, their errors and the containers
// that use them.
type gpuSource struct {
	opts    GPUOptions
	now     func() time.Time
	metrics *gpuMetrics
	owners  *gpuOwners

	health    *sample.Group
	refused   uint64
	counted   time.Time // when the snapshot was taken whose refusals are in refused
	devices   roster[gpuIdentity, *sample.Group]
	instances roster[gpuPart, *sample.Group]
	xids      roster[gpuXID, gpuXIDSeries]
	users     roster[gpuUser, gpuUserSeries]
}

// gpuIdentity is what the labels of a device are made of. If one of them changes
// it is another device.
type gpuIdentity struct {
	index                     int
	uuid, name, busID, driver string
}

// gpuPart is an instance of a device, or with no instance the device itself.
type gpuPart struct {
	gpuIdentity
	split    bool // it is an instance
	instance uint32
	profile  string
}

// gpuXID is a kind of error of a device.
type gpuXID struct {
	gpuIdentity
	code uint64
}

// Positions in the health group.
const (
	gpuHelperUp = iota
	gpuHelperStarts
	gpuSnapshotAge
	gpuRefused
)

func newGPUSource(opts GPUOptions, now func() time.Time) *gpuSource {
	opts.Proc = cmp.Or(opts.Proc, "/proc")
	s := &gpuSource{opts: opts, now: now, metrics: newGPUMetrics(), owners: newGPUOwners(opts)}
	lane := max(opts.Lanes.First, 1)
	s.health = &sample.Group{
		Every:  lane,
		Labels: []sample.Label{{Name: "job", Value: "plimsoll-agent"}},
		Series: []sample.Series{
			gpuHelperUp:     {Metric: &sample.Metric{Name: "plimsoll_gpu_helper_up", Help: "1 if the process that asks the GPU driver answers, 0 if not; the GPU's series are absent then.", Type: sample.Gauge}},
			gpuHelperStarts: {Metric: &sample.Metric{Name: "plimsoll_gpu_helper_starts_total", Help: "Times that the process that asks the GPU driver was started.", Type: sample.Counter}},
			gpuSnapshotAge:  {Metric: &sample.Metric{Name: "plimsoll_gpu_snapshot_age_seconds", Help: "Time since the GPU driver was asked for the readings of this sample.", Type: sample.Gauge, Unit: "seconds", Divisor: 1000}},
			gpuRefused:      {Metric: &sample.Metric{Name: "plimsoll_gpu_readings_refused_total", Help: "Readings of the GPU driver that could not be true.", Type: sample.Counter}},
		},
	}
	s.devices = gpuRoster[gpuIdentity](func(id gpuIdentity) *sample.Group {
		return &sample.Group{Labels: s.labels(gpuPart{gpuIdentity: id}), Series: s.metrics.device, Every: lane}
	})
	s.instances = gpuRoster[gpuPart](func(p gpuPart) *sample.Group {
		return &sample.Group{Labels: s.labels(p), Series: s.metrics.instance, Every: lane}
	})
	s.xids = roster[gpuXID, gpuXIDSeries]{
		came: func(x gpuXID) gpuXIDSeries {
			return gpuXIDSeries{group: &sample.Group{
				Every:  lane,
				Labels: s.labels(gpuPart{gpuIdentity: x.gpuIdentity}),
				Series: []sample.Series{{Metric: s.metrics.xids, Labels: []sample.Label{{Name: "xid", Value: strconv.FormatUint(x.code, 10)}}}},
			}}
		},
		left: func(x *gpuXIDSeries, b *sample.Batch) { b.End(x.group) },
	}
	s.users = roster[gpuUser, gpuUserSeries]{
		came: func(gpuUser) gpuUserSeries { return gpuUserSeries{} },
		left: func(u *gpuUserSeries, b *sample.Batch) { u.end(b) },
	}
	return s
}

func gpuRoster[K comparable](made func(K) *sample.Group) roster[K, *sample.Group] {
	return roster[K, *sample.Group]{
		came: made,
		left: func(g **sample.Group, b *sample.Batch) { b.End(*g) },
	}
}

func (s *gpuSource) Name() string { return "gpu" }

// Collect adds the last snapshot unless it is too old; then all series end until
// there is a newer one.
func (s *gpuSource) Collect(_ context.Context, b *sample.Batch) error {
	if !due(s.opts.Lanes.First, b.Tick, 0) {
		return nil
	}
	state := s.opts.State()
	if !state.Expected {
		return nil
	}
	age := s.now().Sub(state.Taken)
	fresh := state.Up && state.Snapshot != nil && age <= maxGPUAge
	if fresh {
		s.snapshot(state.Snapshot, state.Taken, b)
	}
	s.devices.settle(b)
	s.instances.settle(b)
	s.xids.settle(b)
	s.users.settle(b)

	v := b.Add(s.health)
	v[gpuHelperUp], v[gpuHelperStarts] = 0, float64(state.Starts)
	v[gpuRefused] = float64(s.refused)
	if fresh {
		v[gpuHelperUp] = 1
	}
	if state.Snapshot != nil {
		v[gpuSnapshotAge] = age.Truncate(time.Millisecond).Seconds()
	}
	return nil
}

func (s *gpuSource) snapshot(snap *gpu.Snapshot, taken time.Time, b *sample.Batch) {
	s.owners.begin(due(s.opts.Lanes.Third, b.Tick, 0))
	for i := range snap.Devices {
		d := &snap.Devices[i]
		id := gpuIdentity{index: d.Index, uuid: d.UUID, name: d.Name, busID: d.BusID, driver: snap.Driver}
		group := s.devices.seen(id)
		if group == nil {
			continue // twice in a snapshot
		}
		if !s.counted.Equal(taken) {
			s.refused += d.Refused
		}
		s.metrics.ofDevice(d, b.Add(*group))
		for j := range d.Instances {
			if group := s.instances.seen(partOf(id, &d.Instances[j])); group != nil {
				s.metrics.ofPart(&d.Instances[j].Part, b.Add(*group))
			}
		}
		for _, x := range d.XIDs.Counts {
			if series := s.xids.seen(gpuXID{id, x.Code}); series != nil {
				series.add(b, x.Count)
			}
		}
		s.usersOf(id, d, b)
	}
	s.owners.settle()
	s.counted = taken
}

func partOf(id gpuIdentity, i *gpu.Instance) gpuPart {
	return gpuPart{gpuIdentity: id, split: true, instance: i.ID, profile: i.Name}
}

// labels are those that dcgm-exporter gives a device or an instance of it, in
// the order of their names.
func (s *gpuSource) labels(p gpuPart) []sample.Label {
	var labels []sample.Label
	add := func(name, value string) {
		if value != "" {
			labels = append(labels, sample.Label{Name: name, Value: value})
		}
	}
	index := strconv.Itoa(p.index)
	add("DCGM_FI_DRIVER_VERSION", p.driver)
	if p.split {
		add("GPU_I_ID", strconv.FormatUint(uint64(p.instance), 10))
		add("GPU_I_PROFILE", p.profile)
	}
	if s.opts.OldHostname {
		add("Hostname", s.opts.Hostname)
	}
	add("UUID", p.uuid)
	add("device", fmt.Sprintf("nvidia%s", index))
	add("gpu", index)
	if !s.opts.OldHostname {
		add("hostname", s.opts.Hostname)
	}
	add("job", cmp.Or(s.opts.Jobs.GPU, "dcgm-exporter"))
	add("modelName", p.name)
	add("pci_bus_id", p.busID)
	return labels
}

// gpuXIDSeries counts one kind of error. It begins at 0, at the tick before its
// first count, so that increase() sees the first error too.
type gpuXIDSeries struct {
	group *sample.Group
	begun bool
}

func (x *gpuXIDSeries) add(b *sample.Batch, count uint64) {
	v := b.Add(x.group)
	v[0] = 0
	if x.begun {
		v[0] = float64(count)
	}
	x.begun = true
}
