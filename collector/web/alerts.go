package web

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The links in Alertmanager's messages are to fragments, #/alerts?receiver=x.
// A server never sees those: the script asks for the part of that name.
const (
	alertsPart     = "alerts"
	silencesPart   = "silences"
	newSilencePart = "silences/new"
)

// maxAlerts is how many alerts or silences are shown.
const maxAlerts = 1000

// Silence is one that people made.
type Silence struct {
	ID       string
	Matchers string // {a="b"}
	Author   string
	Comment  string
	Starts   time.Time
	Ends     time.Time
	Ack      bool // it lasts as long as its alerts
}

// Receiver is who is told, and how that goes.
type Receiver struct {
	Name         string
	Integrations []Integration
}

// Integration is one way a Receiver is told.
type Integration struct {
	Name      string
	Sent      uint64
	Failed    uint64
	Attempted time.Time
	Problem   string // of the last attempt; empty if it went well
}

// Event is what happened to an alert or a silence.
type Event struct {
	At   time.Time
	Kind string
	What string
	To   string // receiver and integration, empty if it is not about one
	Text string
}

// Matcher is one condition on a label.
type Matcher struct {
	Name, Op, Value string // Op is one of = != =~ !~
}

// Filter is what matchers select.
type Filter struct {
	Matchers []Matcher
	Match    func(labels map[string]string) bool
}

// Alerting is what the pages about alerts show.
type Alerting interface {
	// Alerts are those that fire, the newest first.
	Alerts(context.Context) []Alert
	// Silences are those that are not over, the first to end first.
	Silences(context.Context) ([]Silence, error)
	Receivers() []Receiver
	// Events are the latest, the newest first.
	Events(context.Context) ([]Event, error)
	// Filter reads matchers as Alertmanager writes them, {a="b",c=~"d"}.
	Filter(text string) (Filter, error)
}

// alertsView is what the part alerts shows.
type alertsView struct {
	Now       time.Time
	Trouble   []string
	Receiver  string // only of this one, if given
	Filter    string // only what this selects, if given
	Alerts    []Alert
	Hidden    int
	Receivers []Receiver
	Events    []Event
}

func (p *Page) lookAtAlerts(ctx context.Context, form url.Values) alertsView {
	v := alertsView{Now: p.opts.Now(), Receiver: form.Get("receiver"), Filter: form.Get("filter")}
	keep := func(map[string]string) bool { return true }
	if v.Filter != "" {
		f, err := p.opts.Alerting.Filter(v.Filter)
		if err != nil {
			v.Trouble = append(v.Trouble, err.Error())
		} else {
			keep = f.Match
		}
	}
	for _, a := range p.opts.Alerting.Alerts(ctx) {
		if (v.Receiver == "" || slices.Contains(a.Receivers, v.Receiver)) && keep(a.Labels) {
			v.Alerts = append(v.Alerts, a)
		}
	}
	v.Hidden = max(0, len(v.Alerts)-maxAlerts)
	v.Alerts = v.Alerts[:len(v.Alerts)-v.Hidden]
	v.Receivers = p.opts.Alerting.Receivers()
	var err error
	if v.Events, err = p.opts.Alerting.Events(ctx); err != nil {
		v.Trouble = append(v.Trouble, err.Error())
	}
	return v
}

// silencesView is what the part silences shows.
type silencesView struct {
	Now      time.Time
	Trouble  []string
	Silences []Silence
	Hidden   int
}

func (p *Page) lookAtSilences(ctx context.Context) silencesView {
	v := silencesView{Now: p.opts.Now()}
	all, err := p.opts.Alerting.Silences(ctx)
	if err != nil {
		v.Trouble = append(v.Trouble, err.Error())
	}
	v.Hidden = max(0, len(all)-maxAlerts)
	v.Silences = all[:len(all)-v.Hidden]
	return v
}

// formView is what the form for a silence begins with.
type formView struct {
	Trouble  []string
	Matchers []Matcher
	Ops      []string
}

// spare is how many empty lines the form for a silence has.
const spare = 2

func (p *Page) lookAtForm(form url.Values) formView {
	v := formView{Ops: []string{"=", "!=", "=~", "!~"}}
	if text := form.Get("filter"); text != "" {
		f, err := p.opts.Alerting.Filter(text)
		if err != nil {
			v.Trouble = append(v.Trouble, err.Error())
		}
		v.Matchers = f.Matchers
	}
	v.Matchers = append(v.Matchers, make([]Matcher, spare)...)
	return v
}

// labelText is labels as people read them, without the name of the alert.
func labelText(labels map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name == "alertname" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + "=" + labels[name])
	}
	return b.String()
}

// silenceLink is where a silence for just these labels is made.
func silenceLink(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+quote(labels[name]))
	}
	return "#/silences/new?" + url.Values{"filter": {"{" + strings.Join(parts, ",") + "}"}}.Encode()
}

// quote writes a value as matchers have it.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
