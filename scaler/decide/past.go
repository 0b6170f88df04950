package decide

import (
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Past is what a signal is remembered by.
type Past struct {
	Signal string `json:"signal"`
	// Heard is since when enough of it has been heard to let the workload shrink,
	// without a break; zero if it is not.
	Heard time.Time `json:"heard,omitzero"`
	// Busiest is the most that a replica had to do when all of them were last
	// heard, for those that are silent now.
	Busiest float64 `json:"busiest,omitempty"`
	// Load is what the replicas that are ready had to do, as far as that was last
	// known, for when others are heard beside them.
	Load float64 `json:"load,omitempty"`
	// Trend is the line its load follows.
	Trend Trend `json:"trend,omitzero"`
}

// settle is how long a signal that was not heard must be heard again before the
// workload may shrink: until nothing it reads is of the time before, and a minute
// more, in which those that were held up by the same outage come back. It is never
// longer than a policy could say: a query may look back a week.
func settle(p *policy.App, s *policy.Signal) time.Duration {
	if p.In.Settle.Auto {
		return min(s.LookBack()+time.Minute, longestSettle)
	}
	return p.In.Settle.Time
}

// longestSettle is the most that in.settle may be.
const longestSettle = time.Hour

// horizon is how far ahead the trend of a load is carried. It takes boot until a
// replica asked for now is ready, and one more decision to ask for it. Where boot
// is not known it is surely not 0: a service of which nothing is known has usualBoot.
func horizon(p *policy.App, boot time.Duration) time.Duration {
	switch {
	case !p.Out.Lead.Auto:
		return p.Out.Lead.Time
	case boot <= 0:
		boot = usualBoot
	}
	return boot + p.Interval
}

// usualBoot is taken for the time that replicas take to start until it was seen.
const usualBoot = 20 * time.Second
