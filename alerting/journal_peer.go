package alerting

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/alertmanager/cluster"
)

// shared is a state that another process may have too, as a cluster.State.
func (am *alertmanager) shared(k kind) cluster.State { return peerState{am.kept[k]} }

// onChange has f called for each change, as the comment atop this package's
// journal.go says.
func (am *alertmanager) onChange(k kind, f func(change []byte)) {
	am.kept[k].listeners = append(am.kept[k].listeners, f)
}

// merge takes in what another process has told.
func (am *alertmanager) merge(k kind, changes []byte) error { return am.kept[k].merge(changes) }

type peerState struct{ *kept }

func (p peerState) MarshalBinary() ([]byte, error) { return p.state.MarshalBinary() }
func (p peerState) Merge(changes []byte) error     { return p.merge(changes) }

// merge takes in changes one by one, so that what is new is told and kept and
// what is known is not, also when a peer sends all it has.
func (c *kept) merge(changes []byte) error {
	var errs []error
	for _, change := range c.split(changes) {
		if err := c.state.Merge(change); err != nil {
			errs = append(errs, fmt.Errorf("take in what a peer has of %s: %w", c.kind, err))
			continue
		}
		// Alertmanager does not tell of changes that are too long for its gossip,
		// nor whether they were new.
		if cluster.OversizedMessage(change) && c.fresh.first(change) {
			c.append(tagChange, change)
		}
	}
	return errors.Join(errs...)
}

// echo remembers what it has heard, for a while.
type echo struct {
	mu          sync.Mutex
	now, before map[[sha256.Size]byte]bool
}

// echoes is how many changes are remembered at least. One that comes again
// after that costs its bytes in the journal.
const echoes = 10_000

func (e *echo) first(change []byte) bool {
	sum := sha256.Sum256(change)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.now[sum] || e.before[sum] {
		return false
	}
	if e.now == nil || len(e.now) >= echoes {
		e.now, e.before = map[[sha256.Size]byte]bool{}, e.now
	}
	e.now[sum] = true
	return true
}
