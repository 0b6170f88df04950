package exit

import (
	"errors"
	"slices"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

// reading is what a group had used when it was read.
type reading struct {
	cpu   cgroup.CPU
	peak  cgroup.Opt[uint64]
	kills cgroup.Opt[uint64]
	io    []cgroup.DeviceIO
}

// state is what there is at the path of a group.
type state uint8

const (
	there    state = iota
	gone           // nothing
	replaced       // another group
)

// read reads a group as far as that goes, in full or only what a life that goes
// on may have to be remembered by. What it got is of that very group, even if it
// is gone afterwards.
func (r *reader) read(l *life, full bool) (got reading, s state) {
	if s = r.state(l); s != there {
		return reading{}, s
	}
	g, err := r.fs.Open(l.is.Cgroup)
	if err != nil {
		return reading{}, r.state(l)
	}
	defer g.Close()
	var cpuErr, eventsErr, ioErr error
	got.cpu, cpuErr = g.CPU()
	events, eventsErr := g.MemoryEvents()
	got.peak, got.kills = events.PeakBytes, events.OOMKills
	if full {
		r.io, ioErr = g.IO(r.io[:0])
		got.io = slices.Clone(r.io)
	}
	if err := errors.Join(cpuErr, eventsErr, ioErr); err != nil && !errors.Is(err, cgroup.ErrGone) {
		r.log.Debug("container not read in full", "container", l.is.Cgroup, "err", err)
	}
	if s = r.state(l); s == replaced {
		return reading{}, s
	}
	return got, s
}

// state tells whether a life's group is there still.
func (r *reader) state(l *life) state {
	switch id, err := r.tree.identity(l.is.Cgroup); {
	case err != nil:
		return there // to be found out another time
	case id == 0:
		return gone
	case id != l.identity:
		return replaced
	}
	return there
}

// update takes over what a later reading has, and keeps what it does not have.
func (r *reading) update(later reading) {
	if later.cpu.Usage.OK {
		r.cpu = later.cpu
	}
	if later.peak.OK {
		r.peak = later.peak
	}
	if later.kills.OK {
		r.kills = later.kills
	}
	if len(later.io) > 0 {
		r.io = later.io
	}
}
