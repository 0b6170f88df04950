package alerting

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
)

// look renews what is held, ends what turns out to have ended, and keeps firing
// what the rules would if they could be evaluated.
func (h *holder) look(ctx context.Context, now time.Time) {
	rules := index(h.groups())
	seen := map[model.Fingerprint]sight{}
	h.mu.Lock()
	waiting := make([]*held, 0, len(h.held))
	for _, e := range h.held {
		waiting = append(waiting, e)
	}
	h.mu.Unlock()
	// A store that does not answer must not keep what is held from being renewed.
	asking, cancel := context.WithTimeout(ctx, holdTick)
	defer cancel()
	for _, e := range waiting { // asks the store, so without mu
		seen[e.alert.Fingerprint()] = h.see(asking, rules.of(e.alert.Labels), e, now)
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	var renewed []*alert.Alert
	for fp, e := range h.held {
		s, ok := seen[fp]
		if !ok {
			continue // it is held since just now
		}
		if put := h.decide(fp, e, s, now); put != nil {
			renewed = append(renewed, put)
		}
	}
	// What ran out since the last look did so because this process stood still.
	for _, a := range h.am.firing(h.looked) {
		// What was said since now is news to rules: above, the store may have taken
		// its time, and what has ended meanwhile must not be renewed.
		if _, ok := h.held[a.Fingerprint()]; ok || a.UpdatedAt.After(now) || a.EndsAt.Sub(now) >= overdue || saidToEnd(a, now) {
			continue
		}
		switch rules.of(a.Labels).judge(a) {
		case pending, firing: // evaluation fails, or is late
			renewed = append(renewed, h.renew(a, now))
		case unheard: // as above, and they have forgotten it
			a = h.renew(a, now)
			h.held[a.Fingerprint()] = &held{alert: a, why: byEvaluation, since: now, renewed: now}
			renewed = append(renewed, a)
		}
	}
	h.looked = now
	h.count(rules)
	if err := h.am.alerts.Put(ctx, renewed...); err != nil {
		h.log.Error("alerts that are held cannot be renewed", "count", len(renewed), "err", err)
	}
}

// sight is what can be seen of an alert that is held.
type sight struct {
	verdict verdict
	doubt   cause
	present bool
	blind   bool          // nobody knows if data are there
	asked   time.Time     // as of when the rules were last evaluated
	window  time.Duration // and how far back they look
}

func (h *holder) see(ctx context.Context, rules ruleList, e *held, now time.Time) sight {
	s := sight{verdict: rules.judge(e.alert)}
	if s.verdict != notActive {
		return s
	}
	s.asked, s.window = rules.asked(), window(rules.exprs())
	for _, r := range rules {
		if s.doubt = h.doubt(ctx, r.Query().String(), e.alert, now); s.doubt != "" {
			break
		}
	}
	// Of a node that was lost meanwhile all was ended, and there is no need to ask.
	// One that is lost since the start may be seen by others.
	if !e.fresh.IsZero() || !h.lost(e.alert) {
		after := e.fresh
		if after.After(now) { // the clock was set back
			after = time.Time{}
		}
		var err error
		s.present, err = h.present(ctx, rules.exprs(), e.alert, after, now)
		s.blind = err != nil
	}
	return s
}

// decide returns what is to be handed over of an alert that is held, if
// anything. h.mu is held.
func (h *holder) decide(fp model.Fingerprint, e *held, s sight, now time.Time) *alert.Alert {
	switch {
	case s.verdict == firing:
		delete(h.held, fp)
		return nil
	case s.verdict == noRule:
		if e.why == byRestart { // it came from elsewhere, or its rule is gone
			delete(h.held, fp)
			return nil
		}
		return h.end(fp, e, now, "its rule is gone")
	case s.verdict == unheard || s.verdict == pending:
		e.present = time.Time{}
	case s.blind: // nothing more is known than at the last look
	case now.Sub(e.since) >= longestHold:
		h.metrics.heldExpired.Inc()
		h.log.Warn("an alert was held for as long as may be, without data, and counts as resolved",
			"alert", e.alert.Name(), "node", string(e.alert.Labels[nodeLabel]), "reason", string(e.why), "since", e.since)
		return h.end(fp, e, now, "")
	default:
		clock := now.Round(0) // which evaluations go by
		switch {
		case s.present && (e.present.IsZero() || e.present.After(clock)): // or that was set back
			e.present = clock
		case s.present && s.asked.After(e.present.Add(s.window)):
			return h.end(fp, e, now, "its rule has seen data again")
		case !s.present && s.doubt == "":
			return h.end(fp, e, now, "its data do not come back")
		case !s.present:
			e.present = time.Time{}
		}
		e.why = cmp.Or(s.doubt, e.why)
	}
	if now.Sub(e.renewed) < resendDelay && e.alert.EndsAt.Sub(now) >= overdue {
		return nil
	}
	e.alert, e.renewed = h.renew(e.alert, now), now
	return e.alert
}

// renew is an alert that fires for some time more. h.mu is held.
func (h *holder) renew(a *alert.Alert, now time.Time) *alert.Alert {
	return h.until(a, now.Add(valid), now)
}

// end is an alert that has ended now. h.mu is held.
func (h *holder) end(fp model.Fingerprint, e *held, now time.Time, why string) *alert.Alert {
	delete(h.held, fp)
	if why != "" {
		h.log.Info("alert held no longer", "alert", e.alert.Name(), "node", string(e.alert.Labels[nodeLabel]), "because", why)
	}
	return h.until(e.alert, now, now)
}

// until is an alert with another end. It does not begin in the future, as it
// might when the clock was set back. h.mu is held.
func (h *holder) until(a *alert.Alert, ends, now time.Time) *alert.Alert {
	next := *a
	if clock := now.Round(0); next.StartsAt.After(clock) {
		next.StartsAt = clock
	}
	next.EndsAt, next.UpdatedAt, next.Timeout = ends, h.stamp(now), false
	return &next
}

// saidToEnd tells whether an alert ended because somebody said so, not for want
// of anybody who said anything.
func saidToEnd(a *alert.Alert, now time.Time) bool {
	return a.ResolvedAt(now) && !a.EndsAt.After(a.UpdatedAt)
}

// stamp is an UpdatedAt later than all before: of two things that are said of
// an alert the later one counts, also when the clock was set back in between.
// h.mu is held.
func (h *holder) stamp(now time.Time) time.Time {
	if !now.After(h.stamped) {
		now = h.stamped.Add(time.Nanosecond)
	}
	h.stamped = now
	return now
}

// count brings the metric up to date. h.mu is held.
func (h *holder) count(rules ruleIndex) {
	n := map[cause]float64{byEvaluation: rules.failing(), byNode: 0, bySource: 0, byRestart: 0}
	for _, e := range h.held {
		n[e.why]++
	}
	for why, n := range n {
		h.metrics.held.WithLabelValues(string(why)).Set(n)
	}
}
