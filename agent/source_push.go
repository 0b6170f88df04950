package agent

import (
	"context"
	"errors"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/push"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// PushOptions say what has been pushed and what the containers are called.
type PushOptions struct {
	// Table is what the listeners write to. Its Every is the source's lane.
	Table *push.Table
	// Containers are those there are now, and a number that changes when they
	// do. It is called at every tick and must not wait.
	Containers func() (version uint64, list []discover.Container)
	Labels     []string // as in CgroupOptions
}

// PushSource passes on what applications have pushed since the last tick. Their
// series carry the labels of the container that they come from, if that is known,
// and end when it leaves.
func PushSource(opts PushOptions) (Source, error) {
	if opts.Table == nil || opts.Containers == nil {
		return nil, errors.New("a push source needs a table and to be told of containers")
	}
	if opts.Labels == nil {
		opts.Labels = DefaultContainerLabels()
	}
	return &pushSource{opts: opts, naming: newNaming(opts.Labels)}, nil
}

type pushSource struct {
	opts   PushOptions
	naming naming

	version uint64
	byID    map[string]*discover.Container // nil before the first list
}

func (s *pushSource) Name() string { return "push" }

func (s *pushSource) Collect(_ context.Context, b *sample.Batch) error {
	version, list := s.opts.Containers()
	if s.byID == nil || version != s.version {
		s.version = version
		s.byID = make(map[string]*discover.Container, len(list))
		for i := range list {
			if id := list[i].ID; id != "" && s.byID[id] == nil {
				s.byID[id] = &list[i]
			}
		}
	}
	s.opts.Table.Collect(b, version, s.identify)
	return nil
}

// identify tells the labels of a sender's series. Of a container that stays
// unknown there is only the id: it may be of another engine, or made up.
func (s *pushSource) identify(o push.Origin, was push.Standing, since time.Duration) ([]sample.Label, push.Standing) {
	labels := []sample.Label{{Name: "job", Value: o.Job}}
	if o.Instance != "" {
		labels = append(labels, sample.Label{Name: "exported_instance", Value: o.Instance})
	}
	if o.Container == "" {
		return labels, push.Stranger
	}
	c := s.byID[o.Container]
	switch {
	case c == nil && was == push.Member:
		return nil, push.Gone
	case c == nil && since < patience || c != nil && waitsForName(c, since):
		return nil, push.Unnamed
	case c == nil:
		return append(labels, sample.Label{Name: "container_id", Value: o.Container}), push.Stranger
	}
	for _, l := range s.naming.of(c) {
		if l.Name != "job" {
			labels = append(labels, l)
		}
	}
	return labels, push.Member
}
