package decide

import "github.com/plimsoll-io/plimsoll/scaler/policy"

// The shares of the time from which replicas that carry their target or more count
// as full, though their mean use of CPU does not show it: in which their limit kept
// them from running, and in which some of what they run waited for a CPU (PSI some).
const (
	throttledFull = 0.25
	pressureFull  = 0.40
)

// overTarget is how far their mean must be above the target until replicas that are
// throttled, or wait for a CPU, count as full: growth leaves them just below it, and
// noise must not make that look like more than they can do.
const overTarget = 0.1

// track asks for as many replicas as keep each at its target g: the load L over
// g. It is L that is compared with what the platform was asked for, not a ratio
// with what is ready, so replicas on their way are not asked for again.
//
// On the way out, replicas that are not heard count nothing; on the way in, they
// count full. If more are heard than are ready, some only start, and are told apart
// on the way out. If more are ready than were asked for, as in a rolling update or
// while old ones end, the surplus is none of the load the others will have.
func (t *turn) track(s *policy.Signal, v values, past *Past) (p proposal, refused Reason) {
	g := s.Target.Value
	running := max(t.from, t.obs.Ready)
	silent := 0
	ready := v
	out, in := v.sum, v.sum
	switch {
	case v.whole:
	case v.single:
		out, in = v.sum*float64(t.obs.Ready), v.sum*float64(running)
	default:
		if v.count > t.obs.Ready {
			ready = t.ready(s, v, past)
		}
		out = ready.sum
		if ready.count > t.from {
			out = ready.mean() * float64(t.from)
		}
		if silent = running - v.count; silent > 0 {
			in += t.unheard(s, v, past, silent)
		}
		if v.count == t.obs.Ready {
			past.Busiest = v.most
		}
	}
	if n := out / g; !(n <= float64(t.ceiling())) { // so that NaN is refused, too
		return p, because(CodeOverCeiling, decimal(n), count(t.ceiling()))
	}
	if !v.single {
		past.Load = ready.sum
	}
	p.out = replicas(out / g)
	p.in = replicas(min(in/g, float64(t.ceiling())))

	load, goal := unit(s, out), amount(s.Target)
	switch {
	case v.whole:
		t.says(s, t.from, p.out, because(CodeTrackTotal, load, goal, count(p.out)))
	case v.single:
		t.says(s, t.from, p.out, because(CodeTrackMean, load, goal, count(p.out), unit(s, v.sum), count(t.obs.Ready)))
	case ready.count < v.count:
		t.says(s, t.from, p.out, because(CodeTrackStarting, load, goal, count(p.out), count(ready.count), count(v.count-ready.count)))
	case silent > 0:
		t.says(s, t.from, p.out, because(CodeTrackSilent, load, goal, count(p.out), count(v.count), count(silent)))
	default:
		t.says(s, t.from, p.out, because(CodeTrackEach, load, goal, count(p.out), count(v.count)))
	}
	sign := full(s, ready)
	rising := t.lead(s, past, out, &p)
	t.follow(ready, past, out/g, sign != "")
	if !rising && p.out > t.from && out <= above(s, float64(t.policy.Out.Tolerance))*float64(t.from) {
		t.says(s, p.out, t.from, because(CodeTolerance, percent(t.policy.Out.Tolerance)))
		p.out = t.from
	}
	if sign != "" {
		p.out = t.boost(s, v, p.out, sign)
	}
	if p.in < t.from && float64(p.in) >= float64(t.from)*(1-float64(t.policy.In.DeadBand)) {
		t.says(s, p.in, t.from, because(CodeDeadBand, percent(t.policy.In.DeadBand)))
		p.in = t.from
	}
	return p, Reason{}
}

// ready is what those that are ready read, where more are heard. Which are which the
// samples do not tell. What starts serves nothing yet, so that as many as are ready have
// the most there is of it; but CPU time it may use as much as it can, or none, and of
// that a ready one is taken to use as much as any. The load is at least what it was
// before, and no more than all of it. So what starts makes no load that goes on
// growing, and hides none that was there.
func (t *turn) ready(s *policy.Signal, v values, past *Past) values {
	var known float64
	if s.Source == policy.CPU {
		known = float64(v.mean() * float64(t.obs.Ready))
	} else {
		r, _ := t.reading(s.Name)
		known = t.greatest(r.Samples, s.MaxAge, t.obs.Ready)
	}
	v.kept = s.Source == policy.CPU || known <= past.Load
	v.sum, v.count = min(max(known, past.Load), v.sum), t.obs.Ready
	return v
}

// above is a mean that is by a share above the target. Where there is not as much
// above it, as replicas cannot use more than all of their limit, it is halfway there.
func above(s *policy.Signal, by float64) float64 {
	g := s.Target.Value
	most := g * (1 + by)
	if s.Kind == policy.Utilization && g < 1 {
		most = min(most, (1+g)/2)
	}
	return most
}

// unit is a load in the unit of a tracking signal.
func unit(s *policy.Signal, v float64) arg {
	return amount(policy.Amount{Value: v, Unit: s.Target.Unit})
}

// unheard is the load that replicas which are not heard may have. One that serves
// may be as busy as the busiest that is or was heard, and have no more to give; one
// that is on its way has what it will have.
func (t *turn) unheard(s *policy.Signal, v values, past *Past, silent int) float64 {
	g := s.Target.Value
	most := max(g, v.most, past.Busiest)
	if s.Kind == policy.Utilization {
		most = max(most, 1)
	}
	serving := min(silent, max(0, t.obs.Ready-v.count))
	return float64(float64(serving)*most) + float64(float64(silent-serving)*g)
}

// full is by what it shows that the replicas have nothing left; empty if they have.
// Being throttled, or waiting for a CPU, says so only of replicas that carry more than
// their target: a burst that is throttled on idle ones would be on any number of them.
func full(s *policy.Signal, v values) Code {
	if s.Saturation.Boost <= 1 || v.whole || v.count == 0 {
		return ""
	}
	loaded := v.mean() >= above(s, overTarget)
	switch {
	case v.mean() >= float64(s.Saturation.Above):
		return CodeSaturated
	case loaded && v.throttled != nil && *v.throttled >= throttledFull:
		return CodeThrottled
	case loaded && v.pressure != nil && *v.pressure >= pressureFull:
		return CodePressure
	}
	return ""
}

// boost asks for several times the replicas there are: full ones do not show how
// much more they would take. It is those that are ready that count, so that what is
// on its way is not asked for again.
func (t *turn) boost(s *policy.Signal, v values, out int, sign Code) int {
	heard := min(v.count, t.obs.Ready, t.from)
	n := replicas(min(float64(heard)*s.Saturation.Boost, float64(t.ceiling())))
	if n <= out {
		return out
	}
	var share arg
	switch sign {
	case CodeThrottled:
		share = percent(*v.throttled)
	case CodePressure:
		share = percent(*v.pressure)
	}
	t.says(s, out, n, because(sign, decimal(s.Saturation.Boost), count(heard), count(n), share))
	return n
}

// lead carries the trend of the load on to when replicas that are asked for now are
// ready, by half of the load at the most. It tells whether the load is rising: then
// it will not come back, and the tolerance is for loads that do.
//
// The trend is that of the readings before this one: however far off a reading is,
// it can neither make a line of what was none nor break one.
func (t *turn) lead(s *policy.Signal, past *Past, load float64, p *proposal) (rising bool) {
	far, b := horizon(t.policy, t.obs.Boot), past.Trend.slope(t.obs.Now, t.policy.Interval)
	if b <= 0 || far <= 0 || t.from == 0 {
		return false
	}
	g := s.Target.Value
	now := load / g
	then := min(now+min(b*far.Seconds(), now/2), float64(t.ceiling()))
	if n := replicas(then); n > p.out {
		t.says(s, p.out, n, because(CodeLead, unit(s, b*g*60), unit(s, then*g), span(far), count(n)))
		p.out, p.in = n, max(p.in, n)
	}
	return true
}

// follow lets the trend see a load of so many replicas' worth, if it is all there
// is. Full replicas show what they can do, not what they would take, so that their
// number would be taken for the trend.
func (t *turn) follow(v values, past *Past, load float64, full bool) {
	switch {
	case full:
		past.Trend = Trend{}
	case t.obs.Updating, v.kept, !v.single && v.count < t.obs.Ready, !v.whole && t.obs.Ready == 0:
	default:
		past.Trend.add(t.obs.Now, load, t.policy.Interval)
	}
}
