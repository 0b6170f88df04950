package decide

import (
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// proof is how long replicas must be ready before they count as up: one that crashes
// again and again is ready in between, too.
const proof = 30 * time.Second

// Growth is the growth whose replicas are awaited, whoever asked for them, until most
// of them are up. The zero Growth awaits none.
type Growth struct {
	At    time.Time `json:"at,omitzero"`     // when they were asked for
	Ready int       `json:"ready,omitempty"` // how many were ready before
	To    int       `json:"to,omitempty"`    // how many are to be ready
	// Up is since when most of them are; zero if they are not.
	Up time.Time `json:"up,omitzero"`
	// Stuck is set where most of them were not ready in time, and some failed.
	Stuck bool `json:"stuck,omitempty"`
	// Off is how many that were asked for earlier are not awaited any more: most of
	// their growth came up without them.
	Off int `json:"off,omitempty"`
}

// next is the growth awaited at o.Now; had is how many replicas there were to be
// before, and fresh is set where nobody knows.
//
// What comes on top while replicas are awaited is awaited once those are up, so that
// a workload that keeps growing still has something to show for it. A few that fail,
// as on a node that is broken, do not keep the others from helping.
func (g Growth) next(o *Observation, had int, fresh bool, patience time.Duration) Growth {
	g.Off = max(0, min(g.Off, o.Desired-o.Ready))
	g.To = min(g.To, o.Desired)
	switch {
	case fresh && o.Ready < o.Desired:
		return Growth{}.await(o, 0)
	case g.To <= g.Ready && o.Desired > had && !fresh:
		return g.await(o, min(o.Ready, had))
	case g.To <= g.Ready:
		return Growth{Off: g.Off}
	case o.Updating, o.Now.Before(g.At):
		return g.await(o, min(g.Ready, o.Ready)) // what is rolled out may be the cure
	}
	missing := g.To - o.Ready
	if 2*missing > g.To-g.Ready {
		g.Up = time.Time{}
	} else if g.Up.IsZero() {
		g.Up = o.Now
	}
	switch up := !g.Up.IsZero(); {
	case up && o.Now.Sub(g.Up) >= proof:
		g.Off = max(0, missing)
		if o.Ready < o.Desired-g.Off {
			return g.await(o, o.Ready)
		}
		return Growth{Off: g.Off}
	case !up && o.Failing > 0 && o.Now.Sub(g.At) >= patience:
		g.Stuck = true
	}
	return g
}

// await awaits from now on all that are asked for, but for those that are off.
func (g Growth) await(o *Observation, ready int) Growth {
	return Growth{At: o.Now, Ready: ready, To: o.Desired - g.Off, Off: g.Off}
}

// patience is how long replicas may take to be ready.
func patience(p *policy.App, boot time.Duration) time.Duration {
	if p.StuckAfter > 0 {
		return p.StuckAfter
	}
	return max(5*time.Minute, 3*boot)
}
