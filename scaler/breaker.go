package scaler

import (
	"fmt"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

const (
	// breakShare is of how many policies, or agents, the data must be lost within
	// breakRange before nothing shrinks anywhere.
	breakShare = 0.3
	breakRange = time.Minute
	// breakPolicies and breakAgents are how many that must be at least: one that is
	// broken in a set of two is that one's trouble.
	breakPolicies = 3
	breakAgents   = 2
	// breakSettle is how long it lasts after that is over.
	breakSettle = time.Minute
	// breakForget is after how long a policy does not count of which it cannot be
	// told whether it has its data: there may be no workload any more.
	breakForget = 10 * time.Minute
	// breakMost is how long a loss counts. What is not back by then is gone, and
	// each policy sees for itself what it lacks.
	breakMost = 6 * time.Hour
)

// breaker sees that data of many policies or agents was lost at once, which says
// more of what measures than of what is measured. Its methods may be called
// concurrently.
type breaker struct {
	nodes Nodes // nil if nobody knows

	mu       sync.Mutex
	policies map[string]health
	why      string    // empty while it is not open
	since    time.Time // it opened
	over     time.Time // since when that is over; zero while it is not
	silent   string    // what tick found of agents
	told     string    // what tick returned last
}

// vision is what a policy's data is at one moment.
type vision int

const (
	unknown vision = iota // it cannot be told whether it has it
	blind                 // it has not
	sees
)

// health is whether a policy has its data.
type health struct {
	heard  bool      // it has, or had
	lost   time.Time // since when it has not; zero while it has
	unseen time.Time // since when it cannot be told; zero while it can
}

// gone is whether it could not be told for so long that it does not count.
func (h health) gone(now time.Time) bool {
	return !h.unseen.IsZero() && now.Sub(h.unseen) >= breakForget
}

// brokenFile is what of a breaker outlives a restart.
type brokenFile struct {
	Why   string               `json:"why,omitempty"`
	Since time.Time            `json:"since,omitzero"`
	Lost  map[string]time.Time `json:"lost,omitempty"` // by policy
}

func newBreaker(nodes Nodes, was brokenFile) *breaker {
	b := &breaker{nodes: nodes, policies: make(map[string]health), why: was.Why, since: was.Since}
	for name, at := range was.Lost {
		b.policies[name] = health{heard: true, lost: at}
	}
	return b
}

// see takes in whether a policy has its data, and returns why nothing may shrink,
// or nothing.
func (b *breaker) see(name string, v vision, now time.Time) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	h, known := b.policies[name]
	was := h
	if h.gone(now) {
		h = health{unseen: h.unseen}
	}
	switch v {
	case sees:
		h = health{heard: true}
	case blind:
		h.unseen = time.Time{}
		if h.heard && h.lost.IsZero() {
			h.lost = now
		}
	case unknown:
		if h.unseen.IsZero() {
			h.unseen = now
		}
	}
	if h != was || !known {
		b.policies[name] = h
		b.judge(now)
	}
	return b.why
}

// retain drops the policies that are no more, once they do not count any more:
// those in labels may not have been read yet.
func (b *breaker) retain(apps []policy.App, now time.Time) {
	names := make(map[string]bool, len(apps))
	for _, app := range apps {
		names[app.Name] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, h := range b.policies {
		switch {
		case names[name]:
		case h.gone(now):
			delete(b.policies, name)
		case h.unseen.IsZero():
			h.unseen = now
			b.policies[name] = h
		}
	}
}

// tick looks at agents, and at what is over, and returns why nothing may shrink,
// or nothing, as it last returned it and as it is now. It is to be called each
// second.
func (b *breaker) tick(now time.Time) (before, after string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silent = b.deaf(b.from(now))
	b.judge(now)
	before, b.told = b.told, b.why
	return before, b.told
}

// judge opens and closes. b.mu is held.
func (b *breaker) judge(now time.Time) {
	bad := b.blinded(b.from(now), now)
	if bad == "" {
		bad = b.silent
	}
	switch {
	case bad != "" && b.why == "":
		b.why, b.since, b.over = bad, now, time.Time{}
	case bad != "":
		b.why, b.over = bad, time.Time{}
	case b.why == "":
	case b.over.IsZero() || now.Before(b.over):
		b.over = now
	case now.Sub(b.over) >= breakSettle:
		b.why, b.since, b.over = "", time.Time{}, time.Time{}
	}
}

// from is since when losses count. What was lost when it opened does until it is
// back, or breakMost is over.
func (b *breaker) from(now time.Time) time.Time {
	if b.why != "" {
		return later(b.since.Add(-breakRange), now.Add(-breakMost))
	}
	return now.Add(-breakRange)
}

// blinded is whether many policies have lost their data since a time.
func (b *breaker) blinded(from, now time.Time) string {
	all, lost := 0, 0
	for _, h := range b.policies {
		if h.gone(now) {
			continue
		}
		all++
		if !h.lost.IsZero() && !h.lost.Before(from) {
			lost++
		}
	}
	if lost < breakPolicies || float64(lost) < breakShare*float64(all) {
		return ""
	}
	return fmt.Sprintf("%d of %d policies lost their data at once", lost, all)
}

// deaf is whether many agents were lost since a time.
func (b *breaker) deaf(from time.Time) string {
	if b.nodes == nil {
		return ""
	}
	heard, gone := b.nodes.Agents()
	lost := 0
	for _, at := range gone {
		if !at.Before(from) {
			lost++
		}
	}
	if lost < breakAgents || float64(lost) < breakShare*float64(heard+lost) {
		return ""
	}
	return fmt.Sprintf("%d of %d agents were lost at once", lost, heard+lost)
}

// file is what is to be kept.
func (b *breaker) file() brokenFile {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := brokenFile{Why: b.why, Since: b.since}
	for name, h := range b.policies {
		if b.why != "" && !h.lost.IsZero() {
			if f.Lost == nil {
				f.Lost = make(map[string]time.Time)
			}
			f.Lost[name] = h.lost
		}
	}
	return f
}
