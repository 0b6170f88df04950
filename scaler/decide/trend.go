package decide

import "time"

// What a trend must be before it is carried on.
const (
	trendMemory = 15 * time.Second // how fast readings are forgotten: by a factor of about e
	trendSeen   = 20 * time.Second // how long there must have been readings
	trendLeast  = 5                // how many there must have been
	trendFit    = 0.9              // R² from which the load is taken to follow a line
)

// Trend is the line that the load of a signal has followed lately, fitted by
// least squares. It is kept as sums of powers, in which older readings weigh less
// and less, so that it takes the same little room however often one looks: a step
// in the load never looks like a line (its R² is 0.75 at most), a ramp does.
//
// Time counts from the last reading and load from its value, which keeps the sums
// small.
type Trend struct {
	Since time.Time `json:"since,omitzero"` // first reading
	At    time.Time `json:"at,omitzero"`    // last reading
	Last  float64   `json:"last,omitempty"` // in replicas that it would fill
	Count int       `json:"count,omitempty"`
	// The weighted sums over all readings of 1, t, t², y, ty and y²; t in seconds.
	W  float64 `json:"w,omitempty"`
	T  float64 `json:"t,omitempty"`
	TT float64 `json:"tt,omitempty"`
	Y  float64 `json:"y,omitempty"`
	TY float64 `json:"ty,omitempty"`
	YY float64 `json:"yy,omitempty"`
}

// add takes a reading of y replicas' worth of load. Decisions are made every
// interval, but also whenever something happens: those in between say nothing new.
// After a gap it begins anew, since two readings are always on a line.
func (r *Trend) add(now time.Time, y float64, interval time.Duration) {
	memory := memory(interval)
	if r.Count == 0 || r.over(now, interval) {
		*r = Trend{Since: now, At: now, Last: y, Count: 1, W: 1}
		return
	}
	if now.Sub(r.At) < interval/2 {
		return
	}
	dt, dy := now.Sub(r.At).Seconds(), y-r.Last
	// e to the minus x, nearly. Every product is rounded before it is added: some
	// machines would fuse the two, and a decision is the same on all of them.
	x := dt / memory.Seconds()
	keep := 1 / (1 + x + float64(x*x/2))
	// In this order: each uses those below as they were.
	r.TT = keep * (r.TT - float64(2*dt*r.T) + float64(dt*dt*r.W))
	r.T = keep * (r.T - float64(dt*r.W))
	r.TY = float64(keep*(r.TY-float64(dt*r.Y))) - float64(dy*r.T)
	r.YY = keep * (r.YY - float64(2*dy*r.Y) + float64(dy*dy*r.W))
	r.Y = keep * (r.Y - float64(dy*r.W))
	r.W = float64(keep*r.W) + 1
	r.At, r.Last, r.Count = now, y, r.Count+1
}

// memory is how fast readings are forgotten that come every interval.
func memory(interval time.Duration) time.Duration { return max(trendMemory, 5*interval) }

// over tells whether the last reading says nothing of now any more.
func (r *Trend) over(now time.Time, interval time.Duration) bool {
	return now.Before(r.At) || now.Sub(r.At) > memory(interval)
}

// slope is by how many replicas' worth the load grows in a second; 0 if it does
// not, or not along a line, or if that was long ago.
func (r *Trend) slope(now time.Time, interval time.Duration) float64 {
	if r.over(now, interval) || r.Count < trendLeast || r.At.Sub(r.Since) < trendSeen {
		return 0
	}
	tt := float64(r.W*r.TT) - float64(r.T*r.T)
	yy := float64(r.W*r.YY) - float64(r.Y*r.Y)
	ty := float64(r.W*r.TY) - float64(r.T*r.Y)
	if tt <= 0 || yy <= 0 || ty <= 0 || ty*ty < trendFit*tt*yy {
		return 0
	}
	return ty / tt
}
