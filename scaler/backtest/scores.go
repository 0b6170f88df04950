package backtest

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Scores are how well supply followed demand. The first six are the metrics of
// elasticity of the SPEC Research Group (Herbst et al., «Ready for Rain? A View from
// SPEC Research on the Future of Cloud Metrics», SPEC-RG-2016-01, and Bauer et al.,
// «Chameleon», IEEE TPDS 2019), for d replicas demanded and s ready, over the time T
// in which demand is known:
//
//	θ_U = 100/T · Σ max(d−s, 0)/d · Δt      θ_O = 100/T · Σ max(s−d, 0)/d · Δt
//	τ_U = 100/T · Σ [s < d] · Δt            τ_O = 100/T · Σ [s > d] · Δt
//	υ   = 100/T · Σ min(|sgn Δs − sgn Δd|, 1) · Δt,  with Δ over a minute
//	jitter = (changes of s − changes of d) / T
//
// Where nothing is demanded, what is too much counts as a share of one replica.
// θ_U says nothing without θ_O or the replica-hours: who runs max all the time has
// none.
type Scores struct {
	// KnownHours is T, and KnownPercent its share of all the time that is judged.
	KnownHours   float64 `json:"known_hours"`
	KnownPercent float64 `json:"known_percent"`
	// CensoredPercent is the share of T in which demand may have been more than is
	// known, because all replicas were busy.
	CensoredPercent float64 `json:"censored_percent"`

	ThetaU  float64 `json:"theta_u"` // percent: what was missing, as a share of demand
	ThetaO  float64 `json:"theta_o"` // percent: what was too much, as a share of demand
	TauU    float64 `json:"tau_u"`   // percent of T with too few
	TauO    float64 `json:"tau_o"`   // percent of T with too many
	Upsilon float64 `json:"upsilon"` // percent of T in which supply did not move as demand did
	Jitter  float64 `json:"jitter"`  // per hour; below 0 if supply moved less often than demand

	// ReplicaHours are what was paid for, over the whole run: those that start and
	// those that leave cost, too.
	ReplicaHours float64 `json:"replica_hours"`
	// Changes is how often another number was asked for, and Reversals how often that
	// went the other way than the change before.
	Changes   int `json:"changes"`
	Reversals int `json:"reversals"`
	// OverMinutes is for how long replicas had to carry more than they are to.
	OverMinutes float64 `json:"over_minutes"`
	// WorstSeconds is the longest time without a break for which they had to.
	WorstSeconds float64 `json:"worst_seconds"`
	// LostPercent is the share of the load that no replica could carry at all: more
	// than full, and no room to wait. Nil where it is not known what one can carry.
	LostPercent *float64 `json:"lost_percent,omitempty"`
	// Peak is the most replicas that were ready at a time.
	Peak int `json:"peak"`
}

// Shortfall is a time without a break in which there were too few replicas.
type Shortfall struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Missing is what was missing, in replica-seconds.
	Missing float64 `json:"missing"`
	// At is when most were missing, Demand what was asked for then, and Ready and
	// Desired what there was.
	At      time.Time `json:"at"`
	Demand  float64   `json:"demand"`
	Desired int       `json:"desired"`
	Ready   int       `json:"ready"`
	// Asked is when as many were asked for as were demanded, for the first time; from
	// then on replicas were starting. Zero if that never was.
	Asked time.Time `json:"asked,omitzero"`
	// Why is what the autoscaler said to that, if it can say anything, as long as it
	// did not ask for enough.
	Why string `json:"why,omitempty"`
}

// moments is what a step is judged by.
type moments struct {
	at, dt               time.Duration
	demand               float64
	ready, desired, paid int
	censored             bool
}

// trend is the time over which it is judged whether supply moves as demand does.
const trend = time.Minute

// scorer adds up a run.
type scorer struct {
	all, known, censored   float64 // seconds
	thetaU, thetaO         float64
	tauU, tauO             float64
	paid                   float64
	supplied, demanded     int // changes
	changes, reversals     int
	peak                   int
	demand                 float64 // in the step before
	ready, desired, turned int
	longest                float64

	begun          bool
	next           time.Duration // when the trend is judged
	trendD         float64
	trendS         int
	moved, movable float64
	short          Shortfall // the one that goes on, if missing > 0
	worstN         int
	begin, ending  time.Duration // of it
	at             time.Duration // its worst
	asked          time.Duration // when enough was asked for; below 0 if not yet
	worst          []shortfall
}

// shortfall is a Shortfall whose times are since the beginning.
type shortfall struct {
	Shortfall
	from, to, at, asked time.Duration
}

func newScorer(start, worst int) scorer {
	return scorer{ready: start, desired: start, demand: math.NaN(), trendD: math.NaN(), worstN: worst}
}

// start takes note of what there is at the beginning, which is no change.
func (s *scorer) start(demand float64, ready, desired int) {
	s.demand, s.ready, s.desired, s.turned = demand, ready, desired, 0
}

// warm takes note of a step that is not judged.
func (s *scorer) warm(demand float64, ready, desired int) {
	s.demand, s.ready = demand, ready
	s.turn(desired, false)
}

// turn takes note of what is asked for.
func (s *scorer) turn(desired int, counts bool) {
	way := cmp.Compare(desired, s.desired)
	if way == 0 {
		return
	}
	if counts {
		s.changes++
		if s.turned == -way {
			s.reversals++
		}
	}
	s.turned, s.desired = way, desired
}

// step judges a step. why may be nil.
func (s *scorer) step(m moments, why Explainer) {
	dt := m.dt.Seconds()
	s.all += dt
	s.paid += float64(m.paid) * dt
	s.peak = max(s.peak, m.ready)
	s.turn(m.desired, true)
	if m.ready != s.ready {
		s.supplied++
		s.ready = m.ready
	}
	s.follow(m)
	if math.IsNaN(m.demand) {
		s.end()
		s.demand = m.demand
		return
	}
	if m.demand != s.demand && !math.IsNaN(s.demand) {
		s.demanded++
	}
	s.demand = m.demand
	s.known += dt
	if m.censored {
		s.censored += dt
	}
	switch gap := m.demand - float64(m.ready); {
	case gap > 0:
		s.thetaU += gap / m.demand * dt
		s.tauU += dt
		s.miss(m, gap, why)
		return
	case gap < 0:
		s.thetaO -= gap / max(m.demand, 1) * dt
		s.tauO += dt
	}
	s.end()
}

// follow judges, once in a while, whether supply moved as demand did.
func (s *scorer) follow(m moments) {
	if s.begun && m.at < s.next {
		return
	}
	if s.begun && !math.IsNaN(m.demand) && !math.IsNaN(s.trendD) {
		s.movable++
		if cmp.Compare(m.demand, s.trendD) != cmp.Compare(m.ready, s.trendS) {
			s.moved++
		}
	}
	s.begun, s.next, s.trendD, s.trendS = true, m.at+trend, m.demand, m.ready
}

// miss takes note of a shortfall that goes on.
func (s *scorer) miss(m moments, gap float64, why Explainer) {
	dt := m.dt.Seconds()
	begins := s.short.Missing == 0
	if begins {
		s.begin, s.asked = m.at, -1
	}
	worst := s.short.Demand - float64(s.short.Ready)
	enough := float64(m.desired) >= m.demand
	if begins || gap > worst {
		s.at = m.at
		s.short.Demand, s.short.Desired, s.short.Ready = m.demand, m.desired, m.ready
	}
	if why != nil && s.worstN > 0 && (begins || gap > worst || gap == worst && !enough) {
		s.short.Why = why.Why()
	}
	if enough && s.asked < 0 {
		s.asked = m.at
	}
	s.short.Missing += gap * dt
	s.ending = m.at + m.dt
}

// end ends the shortfall, if there is one.
func (s *scorer) end() {
	if s.short.Missing == 0 {
		return
	}
	s.longest = max(s.longest, (s.ending - s.begin).Seconds())
	if s.worstN > 0 && (len(s.worst) < s.worstN || s.worst[len(s.worst)-1].Missing < s.short.Missing) {
		if len(s.worst) == s.worstN {
			s.worst = s.worst[:s.worstN-1]
		}
		s.worst = append(s.worst, shortfall{s.short, s.begin, s.ending, s.at, s.asked})
		slices.SortStableFunc(s.worst, func(a, b shortfall) int { return cmp.Compare(b.Missing, a.Missing) })
	}
	s.short = Shortfall{}
}

func (s *scorer) result(from time.Time) (Scores, []Shortfall) {
	s.end()
	worst := make([]Shortfall, 0, len(s.worst))
	for _, w := range s.worst {
		w.From, w.To, w.At = from.Add(w.from), from.Add(w.to), from.Add(w.at)
		if w.asked >= 0 {
			w.Asked = from.Add(w.asked)
		}
		worst = append(worst, w.Shortfall)
	}
	percent := func(seconds float64) float64 { return 100 * seconds / max(s.known, 1e-9) }
	return Scores{
		KnownHours:      s.known / 3600,
		KnownPercent:    100 * s.known / max(s.all, 1e-9),
		CensoredPercent: percent(s.censored),
		ThetaU:          percent(s.thetaU),
		ThetaO:          percent(s.thetaO),
		TauU:            percent(s.tauU),
		TauO:            percent(s.tauO),
		Upsilon:         100 * s.moved / max(s.movable, 1),
		Jitter:          float64(s.supplied-s.demanded) / max(s.known/3600, 1e-9),
		ReplicaHours:    s.paid / 3600,
		Changes:         s.changes,
		Reversals:       s.reversals,
		OverMinutes:     s.tauU / 60,
		WorstSeconds:    s.longest,
		Peak:            s.peak,
	}, worst
}
