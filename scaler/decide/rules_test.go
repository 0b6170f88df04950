package decide

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// rules are what holds of every tick. Each returns how it is broken, or nothing.
var rules = []func(c *course, in *Input, d *Decision) string{
	staysWithinBounds, actsOnlyWhereItMay, whatIsNotKnownNeverShrinks, shrinksOnlyWhenNothingStandsInTheWay,
	settlesFirst, holdsDuringARollout, growsOnlyWhatComesUp, shrinksAfterAFullWindow, keepsInRateAndBudget, neverStepsBack, tellsItsWay,
}

// staysWithinBounds is I1.
func staysWithinBounds(_ *course, in *Input, d *Decision) string {
	p := &in.Policy
	least := max(1, p.Min)
	if p.AllowZero != nil {
		least = p.Min
	}
	most := min(p.Max, cmp.Or(p.Ceiling, policy.DefaultCeiling))
	switch {
	case d.To > d.From && d.To > most, d.To < d.From && d.To < least:
		return fmt.Sprintf("%d → %d leaves %d…%d", d.From, d.To, least, most)
	case d.From < 0 || d.To < 0:
		return "fewer than none"
	}
	return ""
}

// actsOnlyWhereItMay is I12 and I13.
func actsOnlyWhereItMay(_ *course, in *Input, d *Decision) string {
	h, now := in.Observation.Hand, in.Observation.Now
	paused := h.Pause
	if !now.Before(h.PauseUntil) {
		paused = ""
	}
	moves := d.To != d.From
	switch {
	case moves != (d.Action == Grow || d.Action == Shrink), (d.Action == Grow) != (d.To > d.From):
		return "the action is not what the numbers say"
	case d.Apply && (in.Policy.Mode != policy.Active || !moves):
		return "may be carried out in mode " + string(in.Policy.Mode)
	case moves && (in.Policy.Mode == policy.Paused || paused == PauseAll),
		d.To > d.From && paused == PauseOut, d.To < d.From && paused == PauseIn:
		return "moves while it is paused"
	case moves && in.Observation.Err != "":
		return "moves what it cannot see"
	}
	return ""
}

// whatIsNotKnownNeverShrinks is I3, I4 and I21.
func whatIsNotKnownNeverShrinks(_ *course, in *Input, d *Decision) string {
	if d.To >= d.From {
		return ""
	}
	if f := in.Policy.Fallback; f != nil && f.AllowIn {
		return ""
	}
	for i := range in.Policy.Signals {
		s := &in.Policy.Signals[i]
		if unknown := doubtful(s, &in.Observation); unknown != "" {
			return "shrinks, but " + s.Name + " " + unknown
		}
	}
	if in.State.At.IsZero() {
		return "shrinks without a past"
	}
	return ""
}

// doubtful is why a signal cannot be trusted to shrink anything; empty if it can.
func doubtful(s *policy.Signal, o *Observation) string {
	var r *Reading
	for i := range o.Signals {
		if o.Signals[i].Signal == s.Name {
			if r != nil {
				return "was read twice"
			}
			r = &o.Signals[i]
		}
	}
	if r == nil || r.Err != "" || len(r.Samples) == 0 {
		return "was not read"
	}
	fresh := map[string]bool{}
	for _, v := range r.Samples {
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || v.Value < 0 {
			return "is no number"
		}
		if age := o.Now.Sub(v.At); age <= s.MaxAge && -age <= s.MaxAge {
			fresh[v.Replica] = true
		}
	}
	switch single := s.Whole() || fresh[""]; {
	case len(fresh) == 0:
		return "is old"
	case single && len(r.Samples) > 1:
		return "is several numbers"
	case !single && float64(len(fresh)) < 0.8*float64(o.Ready):
		return "hears few"
	}
	return ""
}

func shrinksOnlyWhenNothingStandsInTheWay(c *course, in *Input, d *Decision) string {
	o := &in.Observation
	switch {
	case d.To >= d.From:
	case o.Updating:
		return "shrinks during an update"
	case o.Frozen != "":
		return "shrinks while all is frozen"
	case len(o.Lost) > 0:
		return "shrinks while an agent is lost"
	case o.Ready == 0 && d.To > 0:
		return "shrinks while none is ready"
	}
	return ""
}

// settlesFirst wants every signal to have been heard for long enough, without a break.
func settlesFirst(c *course, in *Input, d *Decision) string {
	o, p := &in.Observation, &in.Policy
	if o.Err != "" {
		return ""
	}
	last := in.State.At
	if c.heard == nil || last.IsZero() || o.Now.Before(last) || o.Now.Sub(last) > gap(p) || o.Desired == 0 && p.AllowZero == nil {
		c.heard = map[string]time.Time{}
	}
	for i := range p.Signals {
		s := &p.Signals[i]
		if why := doubtful(s, o); why != "" && why != "hears few" || o.Desired == 0 && !s.Whole() {
			delete(c.heard, s.Name)
			continue
		}
		if _, ok := c.heard[s.Name]; !ok {
			c.heard[s.Name] = o.Now
		}
		if f := p.Fallback; f != nil && f.AllowIn {
			continue
		}
		if long := o.Now.Sub(c.heard[s.Name]); d.To < d.From && long < settle(p, s) {
			return fmt.Sprintf("shrinks though %s is heard for only %v of %v", s.Name, long, settle(p, s))
		}
	}
	return ""
}

// holdsDuringARollout is that of a policy with during_update: hold nothing grows then
// but to a floor.
func holdsDuringARollout(_ *course, in *Input, d *Decision) string {
	if d.To <= d.From || !in.Observation.Updating || in.Policy.DuringUpdate != policy.HoldAll {
		return ""
	}
	for i := range d.Stages {
		if s := &d.Stages[i]; s.Name == "range" && s.In <= d.From {
			return "" // it is the floor that lifts
		}
	}
	return "grows during a rollout"
}

// growsOnlyWhatComesUp is the guard of progress: past replicas that fail there is no
// way but to a floor.
func growsOnlyWhatComesUp(c *course, in *Input, d *Decision) string {
	o := &in.Observation
	if d.To <= d.From || o.Err != "" || !c.state.Growth.Stuck {
		return ""
	}
	for i := range d.Stages {
		if s := &d.Stages[i]; s.Name == "bounds" && s.In <= d.From {
			return "" // it is the floor that lifts
		}
	}
	return "grows though what was added does not come up"
}

// shrinksAfterAFullWindow is I9 and I15: of all that was asked for within the in
// window, with no hole in it, nothing was more than what it shrinks to.
func shrinksAfterAFullWindow(c *course, in *Input, d *Decision) string {
	now, window := in.Observation.Now, max(in.Policy.In.Window, 2*in.Policy.Interval)
	if in.Observation.Err != "" {
		return ""
	}
	last := in.State.At
	if now.Before(last) || now.Sub(last) > gap(&in.Policy) || last.IsZero() || in.Observation.Desired == 0 && in.Policy.AllowZero == nil {
		c.began, c.asked = now, c.asked[:0]
	}
	n := d.From
	for i := range d.Stages {
		if d.Stages[i].Name == "record" {
			n = d.Stages[i].Out
		}
	}
	if !last.IsZero() && c.added > 0 && c.added == d.From && c.added != in.State.Asked {
		c.asked = append(c.asked, Ask{now, c.added}) // a person's number counts like one that was asked for
	}
	c.added = 0
	c.asked = append(c.asked, Ask{now, n})
	if d.To >= d.From {
		return ""
	}
	start := now.Add(-window)
	if c.began.After(start) {
		return fmt.Sprintf("shrinks though only %v of %v were seen", now.Sub(c.began), window)
	}
	for _, a := range c.asked {
		if !a.At.Before(start) && a.Replicas > d.To {
			return fmt.Sprintf("shrinks though %d were asked for %v ago", a.Replicas, now.Sub(a.At))
		}
	}
	return ""
}

// keepsInRateAndBudget is I11, and I10 of shrinking.
func keepsInRateAndBudget(c *course, in *Input, d *Decision) string {
	o, p := &in.Observation, &in.Policy
	if o.Err != "" {
		return ""
	}
	if !in.State.At.IsZero() && in.State.Desired != o.Desired {
		c.changes = append(c.changes, Change{At: o.Now, From: in.State.Desired, To: o.Desired})
	}
	for i := range c.changes {
		if c.changes[i].At.After(o.Now) {
			c.changes[i].At = o.Now // the clock went back
		}
	}
	c.changes = slices.DeleteFunc(c.changes, func(change Change) bool { return o.Now.Sub(change.At) >= longestLimit(p) })
	if d.To >= d.From {
		return ""
	}
	came, went := func(since time.Duration) int { return c.moved(o.Now, since, +1) }, func(since time.Duration) int { return c.moved(o.Now, since, -1) }
	by := d.From - d.To
	for _, r := range p.In.Rate {
		gone := went(r.Per) + by
		if base := d.To + gone; gone > allowance(r, base, -1) {
			return fmt.Sprintf("%d go within %v", gone, r.Per)
		}
	}
	if b := p.Budget; b != nil && came(b.Window)+went(b.Window)+by > b.Changes {
		return fmt.Sprintf("%d came and %d went within the budget's %v", came(b.Window), went(b.Window)+by, b.Window)
	}
	if n := len(c.changes); n > 0 && p.In.Cooldown > 0 && o.Now.Sub(c.changes[n-1].At) < p.In.Cooldown {
		return "shrinks within the cooldown"
	}
	return ""
}

func (c *course) moved(now time.Time, since time.Duration, sign int) (n int) {
	for _, change := range c.changes {
		if change.At.After(now.Add(-since)) {
			n += max(0, sign*(change.To-change.From))
		}
	}
	return n
}

// neverStepsBack is I16: what the replicas that stay would carry is not above max.
func neverStepsBack(c *course, in *Input, d *Decision) string {
	if d.To >= d.From || d.To == 0 || gated(*d, GateMax) || gated(*d, GateCeiling) {
		return "" // max is there to be obeyed
	}
	for i := range in.Policy.Signals {
		s := &in.Policy.Signals[i]
		if s.Type != policy.Threshold {
			continue
		}
		for _, counter := range c.state.Counters {
			if n := len(counter.Means); counter.Signal == s.Name && n > 0 && counter.Means[n-1]*float64(d.From)/float64(d.To) > s.Max.Value {
				return fmt.Sprintf("%s is %.4g, and would be above max of %.4g", s.Name, counter.Means[n-1], s.Max.Value)
			}
		}
	}
	return ""
}

// tellsItsWay wants a line for every step, and reasons out of the set.
func tellsItsWay(_ *course, _ *Input, d *Decision) string {
	known := func(r Reason) bool {
		_, ok := reasons[r.Code]
		return ok
	}
	n := d.From
	for i := range d.Stages {
		s := &d.Stages[i]
		if !known(s.Reason) {
			return fmt.Sprintf("stage %s has the reason %q", s.Name, s.Reason.Code)
		}
		if s.Name == "signal" {
			continue
		}
		if s.In != n {
			return fmt.Sprintf("%d go into stage %s, and %d came out before it", s.In, s.Name, n)
		}
		n = s.Out
	}
	if n != d.To {
		return fmt.Sprintf("the last stage leaves %d", n)
	}
	for i := range d.Gates {
		if g := &d.Gates[i]; !known(g.Reason) || g.Name == "" {
			return fmt.Sprintf("gate %q has the reason %q", g.Name, g.Reason.Code)
		}
	}
	return ""
}
