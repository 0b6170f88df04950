package alerting

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	promrules "github.com/prometheus/prometheus/rules"
)

const (
	// holdTick is how often what is held is looked at, unless rules are evaluated
	// more often.
	holdTick = 5 * time.Second
	// valid is for how long an alert fires that is handed over once more. It is
	// as long as what rules say of alerts holds.
	valid = 4 * resendDelay
	// overdue is what is left of that when the rules should have spoken twice.
	overdue = valid / 3
	// settle is how long after its agent's return a node's data may be missing
	// for reasons of that: its slowest readings are a minute apart. It also is
	// how long after the start of this process the agents may take to return.
	settle = 90 * time.Second
	// longestHold is how long an alert may fire without any data.
	longestHold = time.Hour
	// leap is a step back of the clock that is more than evaluations out of turn.
	leap = time.Minute
)

// cause is why an alert is held.
type cause string

const (
	byEvaluation cause = "evaluation" // its rule cannot be evaluated
	byNode       cause = "node"       // the agent of its node is away, or just back
	bySource     cause = "source"     // the agent cannot read what the rule is about
	byRestart    cause = "restart"    // this process is new, and its data may not be here yet
)

// held is an alert that fires though the rules do not say so, because they lack
// the data to say anything.
type held struct {
	alert   *alert.Alert // as the rules put it last
	why     cause
	since   time.Time
	renewed time.Time
	present time.Time // from when on data are there again; zero if they are not
	fresh   time.Time // from when on data count, after a restart; else zero
}

// holder keeps alerts firing whose end nobody has seen. An alert ends when a rule
// that could be evaluated, on data that were there, does not call it active. Else
// it is held: AgentDown and RuleEvaluationFails speak meanwhile.
type holder struct {
	opts    Options
	am      *alertmanager
	groups  func() []*promrules.Group
	metrics *metrics
	log     *slog.Logger

	// mu also orders what is handed over, so that nothing that is held comes
	// after what ends it. It is not held while groups is called: that waits for
	// evaluations to end while rules are reloaded.
	mu      sync.Mutex
	held    map[model.Fingerprint]*held
	started time.Time
	looked  time.Time            // when all that fired was last looked at
	stamped time.Time            // the latest UpdatedAt
	evaled  map[string]time.Time // as of when groups were evaluated last
}

func newHolder(opts Options, am *alertmanager, groups func() []*promrules.Group, m *metrics) *holder {
	return &holder{
		opts: opts, am: am, groups: groups, metrics: m, log: opts.Log.With("component", "hold"),
		held: map[model.Fingerprint]*held{}, evaled: map[string]time.Time{},
	}
}

// adopt holds what fires at the start, which an earlier run has left, until the
// rules have seen data.
func (h *holder) adopt(now time.Time) {
	all := h.am.firing(now)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.started, h.looked = now, now
	for _, a := range all {
		h.held[a.Fingerprint()] = &held{alert: a, why: byRestart, since: now, renewed: a.UpdatedAt, fresh: now.Round(0)}
	}
}

// run looks at what is held until ctx ends.
func (h *holder) run(ctx context.Context) {
	tick := time.NewTicker(min(holdTick, h.opts.EvaluationInterval))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.look(ctx, time.Now())
		}
	}
}

// take hands over what a rule says of alerts, except that some have ended, if
// it cannot know. It tells how many it has handed over.
func (h *holder) take(ctx context.Context, expr string, list []*alert.Alert) (int, error) {
	now := time.Now()
	unseen := map[model.Fingerprint]cause{}
	for _, a := range list {
		if fp := a.Fingerprint(); a.ResolvedAt(now) && h.asks(fp, now) {
			unseen[fp] = h.unseen(ctx, expr, a, now)
		}
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	pass := make([]*alert.Alert, 0, len(list))
	for _, a := range list {
		fp := a.Fingerprint()
		_, isHeld := h.held[fp]
		switch why := unseen[fp]; {
		case !a.ResolvedAt(now):
			delete(h.held, fp)
		case isHeld:
			continue // look ends it
		default:
			told, err := h.am.alerts.Get(fp)
			if err != nil || told.ResolvedAt(now) {
				// Rules say for a quarter of an hour that it has ended, lest that be
				// lost on a network. In a group that has gone on it would be told again.
				continue
			}
			if why != "" {
				h.log.Info("alert held: its data are lost, not its cause", "alert", a.Name(), "node", string(a.Labels[nodeLabel]), "reason", string(why))
				e := &held{alert: told, why: why, since: now, renewed: told.UpdatedAt}
				if why == byRestart {
					e.fresh = now.Round(0)
				}
				h.held[fp] = e
				continue
			}
		}
		a.UpdatedAt = h.stamp(now)
		pass = append(pass, a)
	}
	if err := h.am.alerts.Put(ctx, pass...); err != nil {
		return 0, err
	}
	return len(pass), nil
}

// asks tells whether it matters if the end of an alert was seen: it fires, and is
// not held anyway.
func (h *holder) asks(fp model.Fingerprint, now time.Time) bool {
	h.mu.Lock()
	_, isHeld := h.held[fp]
	h.mu.Unlock()
	told, err := h.am.alerts.Get(fp)
	return !isHeld && err == nil && !told.ResolvedAt(now)
}

// unseen is why nobody can know that an alert has ended, or empty if the rule
// has seen it. What it has seen are the data it reads.
func (h *holder) unseen(ctx context.Context, expr string, a *alert.Alert, now time.Time) cause {
	if now.Sub(a.EndsAt) > longestHold {
		return ""
	}
	why := h.doubt(ctx, expr, a, now)
	if why == "" {
		return ""
	}
	if window([]string{expr}) > 0 && (why == byRestart || !h.lost(a)) {
		return why // data that are back do not fill the hole that a range has
	}
	if there, _ := h.present(ctx, []string{expr}, a, time.Time{}, now); there {
		return ""
	}
	return why
}

// doubt is what explains that data of an alert are missing, if anything does.
func (h *holder) doubt(ctx context.Context, expr string, a *alert.Alert, now time.Time) cause {
	h.mu.Lock()
	started := h.started
	h.mu.Unlock()
	if now.Sub(started) < settle {
		return byRestart
	}
	node := string(a.Labels[nodeLabel]) // none: it is lost if all are
	if h.opts.Lost != nil {
		if lost, back := h.opts.Lost(node); lost || now.Sub(back) < settle {
			return byNode
		}
	}
	if node != "" && h.sourceFails(ctx, expr, node, now) {
		return bySource
	}
	return ""
}

// lost tells whether the agent of an alert's node is away.
func (h *holder) lost(a *alert.Alert) bool {
	if h.opts.Lost == nil {
		return false
	}
	away, _ := h.opts.Lost(string(a.Labels[nodeLabel]))
	return away
}

// firing are the alerts that had not ended.
func (am *alertmanager) firing(now time.Time) (list []*alert.Alert) {
	all := am.alerts.GetPending()
	defer all.Close()
	for a := range all.Next() {
		if !a.Data.ResolvedAt(now) {
			list = append(list, a.Data)
		}
	}
	return list
}
