package agent

import (
	"errors"
	"fmt"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/node"
)

const (
	// mostProbes bounds how many file systems are asked at a time, and so how
	// many threads those that never answer can take away.
	mostProbes = 32
	// probePatience is how long all of them together may take.
	probePatience = 5 * time.Second
)

// errNoAnswer says that a file system does not answer.
var errNoAnswer = errors.New("the file system does not answer, see whether its server is up")

// answer is what a file system says, or why there is none.
type answer struct {
	space node.Space
	err   error
}

// probes asks file systems how full they are, each in a goroutine of its own:
// a file server that is away keeps who asks it in the kernel for ever. One that
// did not answer in time is not asked again until it has. All is done by one
// goroutine, but for the asking itself.
type probes struct {
	statfs func(path string) (node.Space, error)
	closed <-chan struct{}
	slots  chan struct{}              // one is taken by each who asks
	stuck  map[probeKey]<-chan answer // asked before, without an answer then
}

// probeKey tells a mount from a later one at the same place.
type probeKey struct{ id, path string }

func newProbes(statfs func(string) (node.Space, error), closed <-chan struct{}) *probes {
	return &probes{statfs: statfs, closed: closed, slots: make(chan struct{}, mostProbes), stuck: make(map[probeKey]<-chan answer)}
}

// ask returns an answer for each mount, in at most probePatience.
func (p *probes) ask(mounts []node.Mount) []answer {
	p.release()
	over := make(chan struct{})
	timer := time.AfterFunc(probePatience, func() { close(over) })
	defer timer.Stop()

	asked := make([]<-chan answer, len(mounts)) // nil for those that are not
	for i, m := range mounts {
		if p.stuck[keyOf(m)] == nil && p.enter(over) {
			asked[i] = p.start(m.Path)
		}
	}
	answers := make([]answer, len(mounts))
	for i, m := range mounts {
		answers[i] = answer{err: fmt.Errorf("%s: %w", m.MountPoint, errNoAnswer)}
		if asked[i] == nil {
			continue
		}
		select {
		case answers[i] = <-asked[i]:
			continue
		case <-over:
		case <-p.closed:
		}
		select { // it may have answered while others were waited for
		case answers[i] = <-asked[i]:
		default:
			p.stuck[keyOf(m)] = asked[i]
		}
	}
	return answers
}

// release forgets those that have answered meanwhile. What they said is old.
func (p *probes) release() {
	for key, late := range p.stuck {
		select {
		case <-late:
			delete(p.stuck, key)
		default:
		}
	}
}

// enter takes a slot; it is false if there was none in time.
func (p *probes) enter(over <-chan struct{}) bool {
	select {
	case p.slots <- struct{}{}:
		return true
	default:
	}
	select {
	case p.slots <- struct{}{}:
		return true
	case <-over:
	case <-p.closed:
	}
	return false
}

func (p *probes) start(path string) <-chan answer {
	back := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if r := recover(); r != nil {
				a.err = fmt.Errorf("statfs %s panicked: %v", path, r)
			}
			<-p.slots
			back <- a
		}()
		a.space, a.err = p.statfs(path)
	}()
	return back
}

func keyOf(m node.Mount) probeKey { return probeKey{m.ID, m.Path} }
