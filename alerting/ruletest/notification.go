package ruletest

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/alerting/place"
)

// stage is a rehearsal and what it has said so far.
type stage struct {
	*alerting.Rehearsal
	at     time.Time
	err    error
	unread []alerting.Message
	next   int // the test to check next, by time
	order  []int
}

// openStage opens the configuration that notifications are tested with.
func (t *trial) openStage() bool {
	f := t.file
	external, err := url.Parse(t.group.ExternalURL)
	if err != nil {
		t.fail(t.at("external_url"), err.Error())
		return false
	}
	r, problems := alerting.Rehearse(f.beside(f.AlertmanagerConfig), external)
	if len(problems) > 0 {
		t.failures = append(t.failures, broken(problems)...)
		return false
	}
	t.stage = &stage{Rehearsal: r}
	for i := range t.group.Notifications {
		t.stage.order = append(t.stage.order, i)
	}
	slices.SortStableFunc(t.stage.order, func(a, b int) int {
		return int(t.group.Notifications[a].EvalTime - t.group.Notifications[b].EvalTime)
	})
	return true
}

func (t *trial) closeStage() {
	if t.stage != nil {
		t.stage.Close()
	}
}

// begin starts an evaluation: what was due before it is said.
func (s *stage) begin(at time.Time) {
	s.at = at
	s.until(at.Add(-time.Nanosecond))
}

func (s *stage) until(at time.Time) {
	more, err := s.Until(at)
	s.unread = append(s.unread, more...)
	s.keep(err)
}

func (s *stage) keep(err error) {
	if s.err == nil {
		s.err = err
	}
}

// notify implements rules.NotifyFunc.
func (s *stage) notify(_ context.Context, _ string, alerts ...*promrules.Alert) {
	s.keep(s.Put(s.at, alerts...))
}

// inputs hands over the alerts that the file itself gives.
func (t *trial) inputs(at time.Time, step time.Duration) {
	begin := t.group.begin()
	for _, in := range t.group.InputAlerts {
		from, until := begin.Add(time.Duration(in.From)), begin.Add(time.Duration(in.Until))
		if at.Before(from) {
			continue
		}
		a := &promrules.Alert{
			State: promrules.StateFiring, Labels: labels.FromMap(in.Labels), Annotations: labels.FromMap(in.Annotations),
			ActiveAt: from, FiredAt: from, ValidUntil: at.Add(4 * step),
		}
		if in.Until > 0 && !at.Before(until) {
			a.ResolvedAt = until
		}
		t.stage.keep(t.stage.Put(at, a))
	}
}

// checkNotifications compares what is said up to each time that is asked about
// before the next evaluation.
func (t *trial) checkNotifications(at time.Time, step time.Duration) {
	t.inputs(at, step)
	for ; t.stage.next < len(t.stage.order); t.stage.next++ {
		i := t.stage.order[t.stage.next]
		test := t.group.Notifications[i]
		asked := t.group.begin().Add(time.Duration(test.EvalTime))
		if !asked.Before(at.Add(step)) {
			return
		}
		t.stage.until(asked)
		n := t.at("notification_test", i)
		if t.stage.err != nil {
			t.fail(n, t.stage.err.Error())
			return
		}
		t.compareMessages(n, test)
		t.stage.unread = nil
	}
}

func (t *trial) compareMessages(n place.Node, test notificationTest) {
	pairs := match(len(test.Expected), len(t.stage.unread), func(e, m int) bool { return test.Expected[e].fits(t.stage.unread[m]) })
	if len(pairs) == len(test.Expected) && len(pairs) == len(t.stage.unread) {
		return
	}
	want, got := make([]string, len(test.Expected)), make([]string, len(t.stage.unread))
	wanted := map[string]bool{}
	for i, e := range test.Expected {
		want[i] = e.String()
		for key := range e.Text {
			wanted[key] = true
		}
	}
	for i, m := range t.stage.unread {
		got[i] = describe(m, t.group.begin(), wanted)
	}
	for e, m := range pairs { // what fits is said in the same words, and so not marked
		want[e] = got[m]
	}
	t.differ(n, fmt.Sprintf("up to %s, people are told something else than expected", test.EvalTime), want, got)
}

// fits tells whether a message is as expected.
func (e expectedMessage) fits(m alerting.Message) bool {
	if e.Receiver != m.Receiver || e.Status != "" && e.Status != m.Status {
		return false
	}
	if name, _, _ := strings.Cut(m.Integration, "["); e.Integration != "" && e.Integration != m.Integration && e.Integration != name {
		return false
	}
	if e.GroupLabels != nil && !maps.Equal(e.GroupLabels, m.GroupLabels) {
		return false
	}
	if e.Alerts != nil {
		pairs := match(len(e.Alerts), len(m.Alerts), func(i, j int) bool { return within(e.Alerts[i], m.Alerts[j].Labels) })
		if len(pairs) != len(e.Alerts) || len(pairs) != len(m.Alerts) {
			return false
		}
	}
	return within(e.Text, m.Text)
}

// within tells whether all of a is in b.
func within(a, b map[string]string) bool {
	for k, v := range a {
		if got, ok := b[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// match pairs as many of n things with m others as fit each other, each with one
// at most: Kuhn's algorithm for bipartite graphs.
func match(n, m int, fit func(i, j int) bool) map[int]int {
	owner := map[int]int{} // of each of the m
	var try func(i int, seen map[int]bool) bool
	try = func(i int, seen map[int]bool) bool {
		for j := range m {
			if seen[j] || !fit(i, j) {
				continue
			}
			seen[j] = true
			if other, taken := owner[j]; !taken || try(other, seen) {
				owner[j] = i
				return true
			}
		}
		return false
	}
	for i := range n {
		try(i, map[int]bool{})
	}
	pairs := map[int]int{}
	for j, i := range owner {
		pairs[i] = j
	}
	return pairs
}

func (e expectedMessage) String() string {
	text := headline(e.Receiver, e.Integration, e.Status, e.GroupLabels)
	for _, a := range e.Alerts {
		text += "\nalert " + labels.FromMap(a).String()
	}
	return text + rendered(e.Text, nil)
}

// describe is a message as a person compares it: with the texts that matter.
func describe(m alerting.Message, begin time.Time, wanted map[string]bool) string {
	text := headline(m.Receiver, m.Integration, m.Status, m.GroupLabels) + fmt.Sprintf(" at %v", m.At.Sub(begin))
	for _, a := range m.Alerts {
		text += fmt.Sprintf("\nalert %s %s", labels.FromMap(a.Labels), a.Status)
	}
	return text + rendered(m.Text, wanted)
}

func headline(receiver, integration, status string, group map[string]string) string {
	text := "to " + receiver
	if integration != "" {
		text += " by " + integration
	}
	if status != "" {
		text += ": " + status
	}
	if group != nil {
		text += ", group " + labels.FromMap(group).String()
	}
	return text
}

// rendered lists texts; with wanted, only those.
func rendered(texts map[string]string, wanted map[string]bool) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		if wanted == nil || wanted[key] {
			fmt.Fprintf(&b, "\n%s: %q", key, texts[key])
		}
	}
	return b.String()
}
