package agent

import (
	"cmp"
	"errors"
	"regexp"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// What node_exporter leaves out: what holds no files of anybody, and
// containers' own file systems, of which there are as many as containers.
const (
	mountPointsLeftOut = `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`
	fsTypesLeftOut     = `^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|erofs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$`
)

// mostMounts bounds how many file systems are looked at.
const mostMounts = 512

// hostFilesystems makes series of how full the file systems are. read is done
// by an errand; the rest by the goroutine that samples.
type hostFilesystems struct {
	roots                node.Roots
	mountPoints, fsTypes *regexp.Regexp // left out
	probes               *probes

	mounts roster[mountKey, *sample.Group]
	last   filesystemReading
}

// mountKey is what node_exporter tells file systems apart by.
type mountKey struct{ device, fsType, mountPoint string }

type filesystemReading struct {
	at      time.Time // that it was begun
	mounts  []node.Mount
	answers []answer // of mounts
	leftOut int      // mounts beyond mostMounts
	waiting int      // mounts that have not answered
}

func newHostFilesystems(opts HostOptions, statfs func(string) (node.Space, error), closed <-chan struct{}) *hostFilesystems {
	metrics := filesystemMetrics()
	return &hostFilesystems{
		roots:       opts.Roots,
		mountPoints: cmp.Or(opts.ExcludeMountPoints, regexp.MustCompile(mountPointsLeftOut)),
		fsTypes:     cmp.Or(opts.ExcludeFSTypes, regexp.MustCompile(fsTypesLeftOut)),
		probes:      newProbes(statfs, closed),
		mounts: roster[mountKey, *sample.Group]{
			came: func(m mountKey) *sample.Group {
				return &sample.Group{
					Labels: told([]sample.Label{
						{Name: "device", Value: m.device},
						{Name: "fstype", Value: m.fsType},
						nodeJob(),
						{Name: "mountpoint", Value: m.mountPoint},
					}),
					Series: metrics,
				}
			},
			left: func(g **sample.Group, b *sample.Batch) { b.End(*g) },
		},
	}
}

func filesystemMetrics() []sample.Series {
	bytes := func(which, help string) sample.Series {
		s := gauge("node_filesystem_"+which+"_bytes", help)
		s.Metric.Unit = "bytes"
		return s
	}
	return []sample.Series{
		bytes("size", "Size of the file system."),
		bytes("free", "What is free of it, for root."),
		bytes("avail", "What is free of it, for everybody."),
		gauge("node_filesystem_files", "Files (inodes) it can have; 0 if it sets no limit."),
		gauge("node_filesystem_files_free", "Files it can have besides those it has."),
		gauge("node_filesystem_readonly", "1 if it is mounted read-only."),
		gauge("node_filesystem_device_error", "1 if it did not answer, or with an error; the others are absent then."),
	}
}

// read asks every file system that is not left out.
func (s *hostFilesystems) read() (filesystemReading, error) {
	r := filesystemReading{at: time.Now()}
	mounts, err := s.roots.Mounts()
	if err != nil {
		return r, err
	}
	for _, m := range mounts {
		if s.mountPoints.MatchString(m.MountPoint) || s.fsTypes.MatchString(m.FSType) {
			continue
		}
		if len(r.mounts) == mostMounts {
			r.leftOut++
			continue
		}
		r.mounts = append(r.mounts, m)
	}
	r.answers = s.probes.ask(r.mounts)
	for _, a := range r.answers {
		if errors.Is(a.err, errNoAnswer) {
			r.waiting++
		}
	}
	return r, nil
}

func (s *hostFilesystems) add(b *sample.Batch, r filesystemReading) error {
	s.last = r
	var errs []error
	for i, m := range r.mounts {
		g := s.mounts.seen(mountKey{m.Device, m.FSType, m.MountPoint})
		if g == nil {
			continue
		}
		v := b.Add(*g)
		v[5], v[6] = 0, 0
		if m.ReadOnly {
			v[5] = 1
		}
		if err := r.answers[i].err; err != nil {
			v[6] = 1
			if errors.Is(err, errNoAnswer) {
				errs = append(errs, err)
			}
			continue
		}
		space := r.answers[i].space
		v[0], v[1], v[2] = float64(space.SizeBytes), float64(space.FreeBytes), float64(space.AvailBytes)
		v[3], v[4] = float64(space.Files), float64(space.FilesFree)
	}
	s.mounts.settle(b)
	return errors.Join(errs...)
}

func (s *hostFilesystems) unread(b *sample.Batch) {
	s.mounts.each(func(g **sample.Group) { b.Add(*g) })
}

// health is how old the last reading is, and what it lacked.
func (s *hostFilesystems) health() ([]float64, error) {
	if s.last.at.IsZero() {
		return []float64{sample.Absent, sample.Absent, sample.Absent}, nil
	}
	age := time.Since(s.last.at).Round(time.Millisecond)
	return []float64{age.Seconds(), float64(s.last.waiting), float64(s.last.leftOut)}, nil
}

func newHostFilesystemHealth() *hostValues {
	age := gauge("plimsoll_agent_filesystem_age_seconds", "Time since the file systems whose size was last told were asked.")
	age.Metric.Unit, age.Metric.Divisor = "seconds", 1000
	return &hostValues{nodeGroup{Group: &sample.Group{
		Labels: []sample.Label{{Name: "job", Value: "plimsoll-agent"}},
		Series: []sample.Series{
			age,
			gauge("plimsoll_agent_filesystems_stuck", "File systems that have been asked how full they are and do not answer."),
			gauge("plimsoll_agent_filesystems_left_out", "File systems that are not asked because there are too many."),
		},
	}}}
}
