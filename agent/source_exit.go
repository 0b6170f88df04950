package agent

import (
	"context"
	"errors"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/exit"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// ExitOptions say who tells of containers and their ends. All functions are
// called at every tick and must not wait.
type ExitOptions struct {
	// Containers are those there are now, and a number that changes when they
	// do.
	Containers func() (version uint64, list []discover.Container)
	// Records are those after record number n, and the number of the last.
	Records func(n uint64) (list []exit.Record, last uint64)
	// Kills are those of containers that live, appended to dst.
	Kills func(dst []exit.Kills) []exit.Kills
	Stats func() exit.Stats

	Labels []string // as in CgroupOptions
	Lanes  Lanes    // third: what has not changed
	Jobs   Jobs
}

// ExitSource tells what containers had used when they ended, in two ways.
//
// For five minutes each container that has ended has rows of its own,
// plimsoll_container_exit_*, with the labels that its other series have.
//
// Each service has counters, plimsoll_service_*, that outlive its containers. A
// service is that of Swarm or Compose, the containers of one name in a namespace
// of Kubernetes, or failing those all containers of an image. Its row is there,
// at 0, as soon as one of its containers is, so that increase() sees the first
// kill. Counters begin anew with the agent.
func ExitSource(opts ExitOptions) (Source, error) {
	if opts.Containers == nil || opts.Records == nil || opts.Kills == nil || opts.Stats == nil {
		return nil, errors.New("an exit source needs to be told of containers, their ends, kills in them and how that fares")
	}
	if opts.Labels == nil {
		opts.Labels = DefaultContainerLabels()
	}
	naming := newNaming(opts.Labels)
	naming.job = opts.Jobs.Containers
	s := &exitSource{
		opts:     opts,
		naming:   naming,
		services: newServices(opts.Lanes.Third),
		ended:    endedContainers{series: exitSeries(), lane: opts.Lanes.Third},
		counted:  make(map[uint64]uint64),
		health:   newExitHealth(opts.Lanes.Third),
	}
	s.crew = crew[*service]{
		containers: opts.Containers,
		naming:     naming,
		came: func(c *discover.Container, _ []sample.Label) *service {
			if c.Kind != discover.Workload {
				return nil
			}
			row := s.services.of(c, &s.naming, s.now)
			row.hold(1)
			return row
		},
		left: func(row **service, _ *sample.Batch) { (*row).hold(-1) },
	}
	return s, nil
}

type exitSource struct {
	opts     ExitOptions
	naming   naming
	crew     crew[*service]
	services services
	ended    endedContainers
	health   *exitHealth

	now     moment // of the tick
	last    uint64 // record
	missed  uint64 // records that came too fast
	kills   []exit.Kills
	counted map[uint64]uint64 // kills of a life that its service has
}

func (s *exitSource) Name() string { return "exit" }

func (s *exitSource) Collect(_ context.Context, b *sample.Batch) error {
	s.now = moment{b.Tick, b.Time}
	s.crew.update(b)
	s.countKills()
	s.countEnds(b)
	s.services.collect(b)
	s.ended.collect(b)
	if due(s.opts.Lanes.Third, b.Tick, 0) {
		s.health.collect(b, s)
	}
	return nil
}

// countKills adds the kills in containers that live. Those without a name wait
// until they have one, or their records do.
func (s *exitSource) countKills() {
	s.kills = s.opts.Kills(s.kills[:0])
	for i := range s.kills {
		k := &s.kills[i]
		if m := s.crew.byPath[k.Cgroup]; m != nil && m.labels != nil && k.N > s.counted[k.Life] {
			m.kept.add(serviceKills, k.N-s.counted[k.Life], s.now)
			s.counted[k.Life] = k.N
		}
	}
	if len(s.counted) <= 2*len(s.kills)+1000 {
		return
	}
	still := make(map[uint64]uint64, len(s.kills)) // some had ends that were missed
	for i := range s.kills {
		still[s.kills[i].Life] = s.counted[s.kills[i].Life]
	}
	s.counted = still
}

// countEnds adds what has ended.
func (s *exitSource) countEnds(b *sample.Batch) {
	records, last := s.opts.Records(s.last)
	if n := uint64(len(records)); last > s.last+n {
		s.missed += last - s.last - n
	}
	s.last = last
	for i := range records {
		r := &records[i]
		if r.Container.Kind != discover.Workload {
			continue
		}
		row := s.services.of(&r.Container, &s.naming, s.now)
		row.add(serviceExits+int(reasonOf(r)), 1, s.now)
		row.add(serviceCPU, uint64(r.CPU.Usage.V), s.now)
		if kills := r.OOMKills.V - min(r.OOMKills.V, r.KilledBefore); kills > s.counted[r.Life] {
			row.add(serviceKills, kills-s.counted[r.Life], s.now)
		}
		delete(s.counted, r.Life)
		s.ended.add(r, s.naming.of(&r.Container), b)
	}
}

// reason is why a container ended, as far as its exit code and the kernel tell.
type reason uint8

const (
	completed   reason = iota // code 0
	failed                    // another code
	signalled                 // ended by a signal, SIGTERM at a stop among them
	outOfMemory               // killed for want of memory
	untold                    // nobody told the code
	reasons
)

func (r reason) String() string {
	return [reasons]string{"completed", "error", "signal", "oom", "unknown"}[r]
}

func reasonOf(r *exit.Record) reason {
	switch {
	case !r.Code.OK:
		return untold
	case r.Code.V == 0:
		return completed
	case r.Code.V == 128+9 && r.OOMKills.V > r.KilledBefore:
		return outOfMemory
	case r.Code.V > 128:
		return signalled
	}
	return failed
}
