package scaler

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

const (
	// actsEach is how many acts go into one payload.
	actsEach = 500
	// actsMost is how many acts are kept that the other collector told of; it has the
	// same policies, so more are a mistake.
	actsMost = 20_000
)

// Tube is a way to the other collector of a pair. Each of its methods may be called
// by one goroutine at a time; both fail once it has ended.
type Tube interface {
	Send(payload []byte) error
	Recv() ([]byte, error)
}

// TalkPrefix is how every payload begins that Talk sends.
const TalkPrefix = `{"acts":`

// handFrame is a payload. Leads is for a collector of a version before this one,
// which takes each payload for one about silences, and reads nothing else of it.
type handFrame struct {
	Acts  []journal.Act `json:"acts"`
	Leads bool          `json:"leads"`
}

// Talk shares with the other collector of a pair, by that name, what people have
// said: what is told to one counts on both, and the later word counts. It lasts
// until the tube ends or ctx does. Whoever owns the tube ends it when Talk returns.
func (s *Scaler) Talk(ctx context.Context, peer string, tube Tube) error {
	changed := s.hands.listen()
	defer s.hands.leave(changed)
	heard := make(chan error, 1)
	go func() { heard <- s.listenTo(peer, tube) }() // until the tube ends
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-heard:
			return err
		case <-changed:
			if err := s.tellActs(tube); err != nil {
				return err
			}
		}
	}
}

// tellActs sends all that is known: it is little, and what the other knows already
// it leaves.
func (s *Scaler) tellActs(tube Tube) error {
	acts := s.hands.all()
	_, leads := s.guard.lease.Held()
	for len(acts) > 0 {
		n := min(actsEach, len(acts))
		payload, err := json.Marshal(handFrame{acts[:n], leads})
		if err != nil {
			return err
		}
		if err := tube.Send(payload); err != nil {
			return err
		}
		acts = acts[n:]
	}
	return nil
}

func (s *Scaler) listenTo(peer string, tube Tube) error {
	for {
		payload, err := tube.Recv()
		if err != nil {
			return err
		}
		var f handFrame
		if err := json.Unmarshal(payload, &f); err != nil {
			return fmt.Errorf("the other collector said what makes no sense: %w", err)
		}
		taken := false
		for _, a := range f.Acts {
			if err := checkHeard(a, s.hands.wall()); err != nil {
				s.log.Warn("what was told to the other collector is left out", "peer", peer, "policy", a.Policy, "act", string(a.Verb), "err", err)
				continue
			}
			if a.Peer == "" {
				a.Peer = peer
			}
			if s.hands.hear(a) {
				taken = true
				s.wakeHand(a)
			}
		}
		if taken {
			if warning := s.saveHands(); warning != "" {
				s.log.Error("pauses and overrides not saved", "err", warning)
			}
		}
	}
}

// checkHeard finds what cannot have been said to a collector that is in its right mind:
// another's mistake is not to be kept for ever.
func checkHeard(a journal.Act, now time.Time) error {
	switch {
	case a.Policy == "" || len(a.Policy) > nameMost || a.At.IsZero():
		return fmt.Errorf("policy %.40q at %v", a.Policy, a.At)
	case a.Verb != journal.VerbPause && a.Verb != journal.VerbResume && a.Verb != journal.VerbOverride && a.Verb != journal.VerbRelease:
		return fmt.Errorf("unknown act %.40q", string(a.Verb))
	case a.Until.Sub(a.At) > handMost+clockSlack:
		return fmt.Errorf("it lasts until %v", a.Until)
	case a.Order > now.Add(handMost).UnixMilli(), a.At.After(now.Add(handMost)):
		return fmt.Errorf("its time %v is far ahead: set the clocks", a.At)
	}
	return checkAct(a)
}

// listen returns what is poked now and at each change.
func (h *hands) listen() chan struct{} {
	changed := make(chan struct{}, 1)
	changed <- struct{}{}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[changed] = struct{}{}
	return changed
}

func (h *hands) leave(changed chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, changed)
}

// poke tells who listens that something has changed. h.mu is held.
func (h *hands) poke() {
	for changed := range h.listeners {
		select {
		case changed <- struct{}{}:
		default: // it has not looked since the last change and will see both
		}
	}
}
