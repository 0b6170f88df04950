package history

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
)

// Kind is what happened.
type Kind string

// The kinds of events.
const (
	Created        Kind = "created"         // an alert began to fire
	Grouped        Kind = "grouped"         // it was considered for a receiver, in a group, for the first time
	Notified       Kind = "notified"        // an integration took a message
	Failed         Kind = "failed"          // an integration did not
	Silenced       Kind = "silenced"        // a silence holds the alert back from here on
	Inhibited      Kind = "inhibited"       // another alert does
	Muted          Kind = "muted"           // a time interval holds a group back from here on
	Unmuted        Kind = "unmuted"         // none of the three does any more
	Resolved       Kind = "resolved"        // the alert ended
	Tested         Kind = "tested"          // a person sent a test to a receiver
	SilenceCreated Kind = "silence_created" // a person made a silence
	SilenceUpdated Kind = "silence_updated" // … or changed one
	SilenceExpired Kind = "silence_expired" // it ended, or was ended
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{
		Created, Grouped, Notified, Failed, Silenced, Inhibited, Muted, Unmuted, Resolved, Tested,
		SilenceCreated, SilenceUpdated, SilenceExpired,
	}
}

// MaxAlerts is how many alerts an event names; how many more there were is in
// Event.More.
const MaxAlerts = 100

// Event is one thing that happened to alerts or to a silence.
type Event struct {
	At     time.Time `json:"at"` // to the millisecond
	Kind   Kind      `json:"event"`
	Alerts []Alert   `json:"alerts,omitempty"`
	More   int       `json:"more,omitempty"` // alerts that are not named

	Receiver    string `json:"receiver,omitempty"`
	Integration string `json:"integration,omitempty"` // "webhook[0]"
	Group       string `json:"group,omitempty"`       // its key, as in messages

	Attempts int     `json:"attempts,omitempty"` // of Failed: since it was said last
	Seconds  float64 `json:"seconds,omitempty"`  // how long the attempt took
	Error    string  `json:"error,omitempty"`    // without secrets

	// By are the IDs of silences, the fingerprints of alerts or the names of
	// time intervals that hold back.
	By      []string `json:"by,omitempty"`
	Silence *Silence `json:"silence,omitempty"`
}

// Alert is one that an Event is about.
type Alert struct {
	Fingerprint string            `json:"fingerprint"`
	Labels      map[string]string `json:"labels"`
	StartsAt    time.Time         `json:"startsAt,omitzero"`
	EndsAt      time.Time         `json:"endsAt,omitzero"` // set if it was over
}

// Silence is one that an Event is about.
type Silence struct {
	ID       string    `json:"id"`
	Matchers string    `json:"matchers"` // {a="b",c=~"d"}; several sets are joined by " or "
	StartsAt time.Time `json:"startsAt"`
	EndsAt   time.Time `json:"endsAt"`
	Author   string    `json:"author"`
	Comment  string    `json:"comment"`
}

// stamp is how the time of an event is written: always as long, so that two of
// them compare as text.
const stamp = "2006-01-02T15:04:05.000Z"

// begins is what is before it in a line.
const begins = `{"at":"`

// MarshalJSON puts the time first, in the form of stamp.
func (e Event) MarshalJSON() ([]byte, error) {
	type plain Event
	return json.Marshal(struct {
		At string `json:"at"`
		plain
	}{e.At.UTC().Format(stamp), plain(e)})
}

// Query selects events. The zero value selects the last 100.
type Query struct {
	From, To time.Time // zero is no limit; both ends are inside
	Kinds    []Kind    // none for all
	// Matchers must all match one of the event's alerts. An event without
	// alerts matches only if there are none.
	Matchers labels.Matchers
	Limit    int // default 100
}

func (q Query) matches(e Event) bool {
	if !q.From.IsZero() && e.At.Before(q.From) || !q.To.IsZero() && e.At.After(q.To) {
		return false
	}
	if len(q.Kinds) > 0 && !slices.Contains(q.Kinds, e.Kind) {
		return false
	}
	return len(q.Matchers) == 0 || slices.ContainsFunc(e.Alerts, func(a Alert) bool {
		set := make(model.LabelSet, len(a.Labels))
		for name, value := range a.Labels {
			set[model.LabelName(name)] = model.LabelValue(value)
		}
		return q.Matchers.Matches(set)
	})
}
