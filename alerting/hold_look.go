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
	for _, e := range waiting { // asks the store, so without mu
		seen[e.alert.Fingerprint()] = h.see(ctx, rules.of(e.alert.Labels), e, now)
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
	for _, a := range h.am.firing(now) {
		// What was said since now is news to rules: above, the store may have taken
		// its time, and what has ended meanwhile must not be renewed.
		if _, ok := h.held[a.Fingerprint()]; ok || a.UpdatedAt.After(now) || a.EndsAt.Sub(now) >= overdue {
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
	asked   time.Time     // when the rules were last evaluated
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
	if !h.lost(e.alert) { // else all was ended, and there is no need to ask
		s.present = h.present(ctx, rules.exprs(), e.alert, now)
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
	case now.Sub(e.since) >= longestHold:
		h.metrics.heldExpired.Inc()
		h.log.Warn("an alert was held for as long as may be, without data, and counts as resolved",
			"alert", e.alert.Name(), "node", string(e.alert.Labels[nodeLabel]), "reason", string(e.why), "since", e.since)
		return h.end(fp, e, now, "")
	default:
		switch {
		case s.present && e.present.IsZero():
			e.present = now
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
	next := *a
	next.EndsAt, next.UpdatedAt, next.Timeout = now.Add(valid), h.stamp(now), false
	return &next
}

// end is an alert that has ended now. h.mu is held.
func (h *holder) end(fp model.Fingerprint, e *held, now time.Time, why string) *alert.Alert {
	delete(h.held, fp)
	if why != "" {
		h.log.Info("alert held no longer", "alert", e.alert.Name(), "node", string(e.alert.Labels[nodeLabel]), "because", why)
	}
	next := *e.alert
	next.EndsAt, next.UpdatedAt, next.Timeout = now, h.stamp(now), false
	return &next
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
