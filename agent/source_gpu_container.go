package agent

import (
	"slices"
	"strconv"
	"strings"

	"github.com/plimsoll-io/plimsoll/agent/gpu"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// gpuUser is what uses a device, or an instance of it: a container, or with no
// cgroup everything that is in none.
type gpuUser struct {
	gpuPart
	cgroup string
}

// gpuUserSeries are the series of a user. They are made anew when the container
// is called something else.
type gpuUserSeries struct {
	group     *sample.Group
	version   uint64 // of the containers that group is made of
	container []sample.Label
}

func (u *gpuUserSeries) end(b *sample.Batch) {
	if u.group != nil {
		b.End(u.group)
	}
}

// gpuShare is what a user has of a device.
type gpuShare struct {
	processes int
	memory    uint64 // bytes
	unknown   bool   // some process did not say how much memory it has
	sm        gpu.Opt[gpu.Ratio]
}

func (s *gpuShare) add(p *gpu.Process) {
	s.processes++
	s.memory += p.Memory.V
	s.unknown = s.unknown || !p.Memory.OK
	if p.SM.OK {
		s.sm = gpu.Opt[gpu.Ratio]{V: s.sm.V + p.SM.V, OK: true}
	}
}

// usersOf adds who uses a device. The rows of a device sum up to what it uses:
// what no container has, known processes or not, is in a row without one.
func (s *gpuSource) usersOf(id gpuIdentity, d *gpu.Device, b *sample.Batch) {
	whole := gpuPart{gpuIdentity: id}
	shares := make(map[gpuUser]*gpuShare)
	used := make(map[gpuPart]gpu.Opt[gpu.Memory])
	parts := make(map[uint32]gpuPart)
	if len(d.Instances) == 0 {
		used[whole] = d.Memory
	}
	for i := range d.Instances {
		part := partOf(id, &d.Instances[i])
		parts[part.instance], used[part] = part, d.Instances[i].Memory
	}
	for part := range used {
		shares[gpuUser{gpuPart: part}] = new(gpuShare)
	}
	for i := range d.Processes {
		p := &d.Processes[i]
		part := whole
		if in, ok := parts[p.Instance.V]; ok && p.Instance.OK {
			part = in
		}
		user := gpuUser{gpuPart: part, cgroup: s.owners.of(p.PID)}
		if shares[user] == nil {
			shares[user] = new(gpuShare)
		}
		shares[user].add(p)
	}
	for part, memory := range used {
		rest := gpuUser{gpuPart: part}
		switch {
		case memory.OK:
			shares[rest].leftOf(memory.V.Used, part, shares)
		case shares[rest].processes == 0:
			delete(shares, rest) // nothing is known of it
		}
	}
	for _, user := range sortedUsers(shares) {
		if series := s.users.seen(user); series != nil {
			s.addUser(user, series, shares[user], b)
		}
	}
}

// leftOf makes s, the row without a container, what the others leave of the
// memory in use.
func (s *gpuShare) leftOf(used uint64, part gpuPart, shares map[gpuUser]*gpuShare) {
	s.unknown = false
	for user, share := range shares {
		if user.gpuPart != part || user.cgroup == "" {
			continue
		}
		s.unknown = s.unknown || share.unknown
		used -= min(used, share.memory)
	}
	s.memory = used
}

func sortedUsers(shares map[gpuUser]*gpuShare) []gpuUser {
	users := make([]gpuUser, 0, len(shares))
	for user := range shares {
		users = append(users, user)
	}
	slices.SortFunc(users, func(a, b gpuUser) int {
		if a.instance != b.instance {
			return int(int64(a.instance) - int64(b.instance))
		}
		return strings.Compare(a.cgroup, b.cgroup)
	})
	return users
}

func (s *gpuSource) addUser(user gpuUser, series *gpuUserSeries, share *gpuShare, b *sample.Batch) {
	if series.group == nil || series.version != s.owners.version {
		series.version = s.owners.version
		container := s.owners.labels(user.cgroup)
		if series.group == nil || !slices.Equal(container, series.container) {
			series.end(b)
			series.container = container
			series.group = &sample.Group{Labels: userLabels(user, container), Series: s.owners.series, Every: max(s.opts.Lanes.First, 1)}
		}
	}
	v := b.Add(series.group)
	if !share.unknown {
		v[0] = float64(share.memory)
	}
	v[1] = gpuValue(share.sm, 1)
}

// userLabels are those of the container, and those of the device that tell it
// from others.
func userLabels(user gpuUser, container []sample.Label) []sample.Label {
	labels := []sample.Label{
		{Name: "UUID", Value: user.uuid},
		{Name: "gpu", Value: strconv.Itoa(user.index)},
		{Name: "job", Value: "plimsoll-agent"},
	}
	if user.split {
		labels = append(labels,
			sample.Label{Name: "GPU_I_ID", Value: strconv.FormatUint(uint64(user.instance), 10)},
			sample.Label{Name: "GPU_I_PROFILE", Value: user.profile})
	}
	labels = append(labels, container...)
	slices.SortFunc(labels, func(a, b sample.Label) int { return strings.Compare(a.Name, b.Name) })
	return labels
}
