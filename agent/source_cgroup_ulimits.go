package agent

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// readUlimits adds how many files the first process of a container may have
// open, which those that it starts inherit. It is absent where the agent does
// not see that process, as from a pid namespace of its own, or may not look.
func (s *cgroupSource) readUlimits(c *container, b *sample.Batch) error {
	if c.is.Kind == discover.Pod {
		return nil // whose processes are those of its containers
	}
	pid, err := c.group.FirstProcess()
	if err != nil || pid == 0 {
		return err
	}
	limit, err := s.opts.Roots.OpenFilesLimit(pid)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH), errors.Is(err, fs.ErrPermission):
		return nil
	case err != nil:
		return err
	}
	c.series.hasUlimits = true
	v := c.add(b, c.series.ulimits)
	v[0] = float64(limit.Value)
	if limit.Unlimited {
		v[0] = -1
	}
	return nil
}

// newUlimits are the series of readUlimits, as cAdvisor names them.
func newUlimits() []sample.Series {
	return []sample.Series{{
		Metric: &sample.Metric{
			Name: "container_ulimits_soft", Type: sample.Gauge,
			Help: "Soft limit of the container's first process; -1 if there is none.",
		},
		Labels: []sample.Label{{Name: "ulimit", Value: "max_open_files"}},
	}}
}
