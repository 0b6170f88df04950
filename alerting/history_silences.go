package alerting

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/silence"
	pb "github.com/prometheus/alertmanager/silence/silencepb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

const (
	// lookInterval is how often silences are looked at: for what has become of
	// them, and for whether one that acknowledges is still needed.
	lookInterval = 10 * time.Second
	// AckAnnotation marks a silence that acknowledges alerts: it is made longer
	// while one that it matches fires, and ends soon after.
	AckAnnotation = "plimsoll.io/ack"
	// AckFor is how long such a silence outlives its alerts, or the collector.
	AckFor = 10 * time.Minute
	// ackRenew is how much of that must be over before it is made longer, so
	// that not each look is a change to store.
	ackRenew = AckFor / 4
	// tidyHistory is how often the history is trimmed without being written to.
	tidyHistory = 10 * time.Minute
)

// look looks at silences until done is closed, and once more whenever asked.
func (am *alertmanager) look(done <-chan struct{}) {
	tick, tidy := time.NewTicker(lookInterval), time.NewTicker(tidyHistory)
	defer tick.Stop()
	defer tidy.Stop()
	for {
		am.lookOnce()
		select {
		case <-tick.C:
		case <-am.touched:
		case <-tidy.C:
			am.recorder.tidy(am.longestInterval())
		case <-done:
			am.lookOnce()
			return
		}
	}
}

// touch has silences looked at soon.
func (am *alertmanager) touch() {
	select {
	case am.touched <- struct{}{}:
	default: // somebody has asked already
	}
}

func (am *alertmanager) lookOnce() {
	all, _, err := am.silences.Query(am.life)
	if err != nil {
		am.log.Warn("silences not read", "err", err)
		return
	}
	now := time.Now()
	am.recorder.sawSilences(all, now)
	if err := am.renewAcks(am.life, all, now); err != nil {
		am.log.Warn("acknowledgement not prolonged; it ends by itself", "err", err)
	}
}

// renewAcks prolongs silences that acknowledge alerts which still fire.
func (am *alertmanager) renewAcks(ctx context.Context, all []*pb.Silence, now time.Time) error {
	due := map[string]*pb.Silence{}
	for _, s := range all {
		ends := s.EndsAt.AsTime()
		if s.Annotations[AckAnnotation] == "true" && ends.After(now) && !s.StartsAt.AsTime().After(now) && ends.Before(now.Add(AckFor-ackRenew)) {
			due[s.Id] = s
		}
	}
	if len(due) == 0 {
		return nil
	}
	alerts := am.alerts.GetPending()
	defer alerts.Close()
	for a := range alerts.Next() {
		if a.Data.Resolved() {
			continue
		}
		matching, _, err := am.silences.Query(ctx, silence.QState(silence.SilenceStateActive), silence.QMatches(a.Data.Labels))
		if err != nil {
			return err
		}
		for _, s := range matching {
			if due[s.Id] == nil {
				continue
			}
			delete(due, s.Id)
			s.EndsAt = timestamppb.New(now.Add(AckFor))
			if err := am.silences.Set(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// sawSilences notes which silences are new, were changed or have ended.
func (r *recorder) sawSilences(all []*pb.Silence, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	there := make(map[string]bool, len(all))
	for _, s := range all {
		there[s.Id] = true
		is := described(s)
		was, known := r.silences[is.ID]
		over := !is.EndsAt.After(now)
		note := func(k history.Kind, at time.Time) {
			r.note(history.Event{At: at, Kind: k, Silence: &is})
			r.silences[is.ID] = is
		}
		switch {
		case !known:
			note(history.SilenceCreated, s.UpdatedAt.AsTime())
		case over || r.ended[is.ID]:
		case s.Annotations[AckAnnotation] == "true":
			r.silences[is.ID] = is // only made longer
		case was != is:
			note(history.SilenceUpdated, s.UpdatedAt.AsTime())
		}
		if over && !r.ended[is.ID] {
			note(history.SilenceExpired, is.EndsAt)
			r.ended[is.ID] = true
		}
	}
	for id := range r.silences {
		if !there[id] && r.ended[id] {
			delete(r.silences, id)
			delete(r.ended, id)
		}
	}
}

// described is a silence as the history and explanations show it.
func described(s *pb.Silence) history.Silence {
	var sets []string
	for _, set := range s.MatcherSets {
		var list labels.Matchers
		for _, m := range set.Matchers {
			if to, err := labels.NewMatcher(matchType(m.Type), m.Name, m.Pattern); err == nil {
				list = append(list, to)
			}
		}
		sets = append(sets, list.String())
	}
	return history.Silence{
		ID: s.Id, Matchers: strings.Join(sets, " or "), StartsAt: s.StartsAt.AsTime().Truncate(time.Millisecond),
		EndsAt: s.EndsAt.AsTime().Truncate(time.Millisecond), Author: s.CreatedBy, Comment: s.Comment,
	}
}

func matchType(t pb.Matcher_Type) labels.MatchType {
	switch t {
	case pb.Matcher_REGEXP:
		return labels.MatchRegexp
	case pb.Matcher_NOT_EQUAL:
		return labels.MatchNotEqual
	case pb.Matcher_NOT_REGEXP:
		return labels.MatchNotRegexp
	default:
		return labels.MatchEqual
	}
}

// longestInterval is that of the group of alerts that is considered least often.
func (am *alertmanager) longestInterval() time.Duration {
	longest := time.Hour
	am.now.Load().settings.routes.Walk(func(r *dispatch.Route) { longest = max(longest, r.RouteOpts.GroupInterval) })
	return longest
}
