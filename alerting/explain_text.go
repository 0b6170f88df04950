package alerting

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// verdict is the answer in a sentence: what stands in the way first.
func (e Explanation) verdict(now time.Time) string {
	switch e.State {
	case "inactive":
		if e.Rule.Problem != "" {
			return "Nobody knows whether it should fire: its rule cannot be evaluated."
		}
		if e.Rule.Evaluated.IsZero() {
			return "Its rule was not evaluated yet."
		}
		return "It does not fire: the expression of its rule gives nothing."
	case "pending":
		return fmt.Sprintf("It does not fire yet: what it is about has been so for %s, and must be for %s; %s left.",
			span(now.Sub(e.Rule.ActiveSince)), span(time.Duration(e.Rule.For*float64(time.Second))), span(e.Rule.FiresAt.Sub(now)))
	case "resolved":
		return "It is over since " + ago(now, e.EndsAt) + "."
	}
	if len(e.InhibitedBy) > 0 {
		return fmt.Sprintf("It is held back by another alert: %s.", cmp.Or(labelText(e.InhibitedBy[0].Labels), e.InhibitedBy[0].Fingerprint))
	}
	if len(e.SilencedBy) > 0 {
		s := e.SilencedBy[0]
		return fmt.Sprintf("It is silenced by %s for another %s: %s.", s.Author, span(s.EndsAt.Sub(now)), strings.TrimSuffix(s.Comment, "."))
	}
	var parts []string
	for _, r := range e.Routes {
		parts = append(parts, r.verdict(now))
	}
	switch {
	case e.Rule == nil:
	case e.Rule.Held != "":
		parts = append(parts, "It fires on "+e.Rule.Held+".")
	case e.Rule.Problem != "":
		parts = append(parts, "It fires on as long as its rule cannot be evaluated.")
	}
	return strings.Join(parts, " ")
}

func (r RouteState) verdict(now time.Time) string {
	if len(r.MutedBy) > 0 {
		return fmt.Sprintf("Time interval %s keeps it from %s.", strings.Join(r.MutedBy, ", "), r.Receiver)
	}
	if len(r.Integrations) == 0 {
		return fmt.Sprintf("Nobody is told: its receiver %s has no integration.", r.Receiver)
	}
	var parts []string
	for _, t := range r.Integrations {
		to := r.Receiver + "/" + t.Name
		switch {
		case t.This:
			parts = append(parts, fmt.Sprintf("It was told to %s %s.", to, ago(now, t.At)))
		case r.OthersTurn:
			parts = append(parts, fmt.Sprintf("The other collector of the pair tells it to %s; if it has not within seconds, this one does.", to))
		case t.LastError != "":
			parts = append(parts, fmt.Sprintf("It could not be told to %s: %s.", to, strings.TrimSuffix(t.LastError, ".")))
		case now.Before(r.NextFlush):
			parts = append(parts, fmt.Sprintf("It is told to %s in %s.", to, span(r.NextFlush.Sub(now))))
		default:
			parts = append(parts, fmt.Sprintf("It is about to be told to %s.", to))
		}
	}
	return strings.Join(parts, " ")
}

// Write writes e for people, as of now.
func (e Explanation) Write(to io.Writer, now time.Time) error {
	w := &textLines{w: to}
	w.line("%s is %s", labelText(e.Labels), e.State)
	w.line("  %s", e.Verdict)
	if e.Fingerprint != "" {
		w.line("  fingerprint %s", e.Fingerprint)
	}
	if summary := e.Annotations["summary"]; summary != "" {
		w.line("  summary     %s", summary)
	}
	if !e.Since.IsZero() {
		w.line("  fires since %s", when(now, e.Since))
	}
	if !e.EndsAt.IsZero() {
		w.line("  over since  %s", when(now, e.EndsAt))
	}
	e.Rule.write(w, now)
	for _, i := range e.InhibitedBy {
		w.line("held back by alert %s %s", i.Fingerprint, labelText(i.Labels))
	}
	for _, s := range e.SilencedBy {
		w.line("silenced by %s until %s", s.ID, when(now, s.EndsAt))
		w.line("  matchers    %s", s.Matchers)
		w.line("  %s: %s", s.Author, s.Comment)
	}
	for _, r := range e.Routes {
		r.write(w, now)
	}
	return w.err
}

func (s *RuleState) write(w *textLines, now time.Time) {
	if s == nil {
		w.line("no rule: it came by the API")
		return
	}
	w.line("rule of group %s in %s, evaluated %s, every %s", s.Group, s.File, ago(now, s.Evaluated), interval(s.Interval))
	w.line("  expr        %s", strings.Join(strings.Fields(s.Expr), " "))
	if s.Value != nil {
		w.line("  value       %s", strconv.FormatFloat(*s.Value, 'g', -1, 64))
	}
	if s.For > 0 {
		w.line("  for         %s", interval(s.For))
	}
	if !s.ActiveSince.IsZero() {
		w.line("  so since    %s", when(now, s.ActiveSince))
	}
	if !s.FiresAt.IsZero() {
		w.line("  fires in    %s, if it stays so", span(s.FiresAt.Sub(now)))
	}
	if !s.KeptSince.IsZero() {
		w.line("  over since  %s, and kept for %s by keep_firing_for", when(now, s.KeptSince), interval(s.KeepFiringFor))
	}
	if s.Held != "" {
		w.line("  held        %s", s.Held)
	}
	if s.Problem != "" {
		w.line("  problem     %s", s.Problem)
	}
}

func (r RouteState) write(w *textLines, now time.Time) {
	w.line("receiver %s by route %s", r.Receiver, cmp.Or(strings.Join(r.Matchers, " "), "{}, the default"))
	w.line("  group       %s", r.Group)
	w.line("  times       group_wait %s, group_interval %s, repeat_interval %s", interval(r.GroupWait), interval(r.GroupInterval), interval(r.RepeatInterval))
	if !r.LastFlush.IsZero() {
		w.line("  considered  %s", when(now, r.LastFlush))
	}
	w.line("  next        %s", inTime(now, r.NextFlush))
	if len(r.MutedBy) > 0 {
		w.line("  muted by    time interval %s", strings.Join(r.MutedBy, ", "))
	}
	if r.OthersTurn {
		w.line("  it is the turn of the other collector of the pair")
	}
	if len(r.Integrations) == 0 {
		w.line("  it has no integration: nobody is told")
	}
	for _, t := range r.Integrations {
		switch {
		case t.This:
			w.line("  %s: told %s, again in %s if nothing changes", t.Name, when(now, t.At), span(t.RepeatAt.Sub(now)))
		case !t.At.IsZero():
			w.line("  %s: not told; of others of the group %s", t.Name, when(now, t.At))
		default:
			w.line("  %s: not told", t.Name)
		}
		if t.LastError != "" {
			w.line("    its last attempt failed, %s: %s", ago(now, t.LastAttempt), t.LastError)
		}
	}
}

// textLines writes lines, and remembers the first error.
type textLines struct {
	w   io.Writer
	err error
}

func (l *textLines) line(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.w, format+"\n", args...)
	}
}

// labelText is labels as people write them, the name of the alert first.
func labelText(set map[string]string) string {
	if len(set) == 0 {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if name != model.AlertNameLabel {
			parts = append(parts, fmt.Sprintf("%s=%q", name, set[name]))
		}
	}
	text := set[model.AlertNameLabel]
	if len(parts) > 0 {
		text += "{" + strings.Join(parts, ", ") + "}"
	}
	return text
}

// span is a duration to the second.
func span(d time.Duration) string { return max(d, 0).Round(time.Second).String() }

// interval is a duration in seconds as files have it.
func interval(seconds float64) string {
	return model.Duration(seconds * float64(time.Second)).String()
}

func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return span(now.Sub(t)) + " ago"
}

func when(now, t time.Time) string {
	text := t.UTC().Format(time.RFC3339)
	if t.After(now) {
		return fmt.Sprintf("%s, in %s", text, span(t.Sub(now)))
	}
	return fmt.Sprintf("%s, %s ago", text, span(now.Sub(t)))
}

func inTime(now, t time.Time) string {
	if t.Before(now) {
		return "now"
	}
	return "in " + span(t.Sub(now))
}

// finite is v, or nil for what JSON cannot write.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
