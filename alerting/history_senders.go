package alerting

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

// sender is what is known of an integration. It outlives a reload.
type sender struct {
	receiver, integration string
	sent, failed          uint64 // messages, and attempts at one
	attempted             time.Time
	took                  time.Duration
	delivered             time.Time
	problem               string // of the last attempt; empty if it went well
	failing               map[string]failure
}

// failure is what was last written about a group that an integration fails to
// send.
type failure struct {
	problem string
	at      time.Time
	more    int // attempts since
}

// watched is an integration whose attempts are noted.
type watched struct {
	notify.Integration
	receiver string
	*recorder
}

// Notify implements notify.Notifier.
func (w watched) Notify(ctx context.Context, alerts ...*alert.Alert) (bool, error) {
	began := time.Now()
	retry, err := w.Integration.Notify(ctx, alerts...)
	w.attempted(ctx, w.receiver, w.Integration.String(), began, alerts, err)
	return retry, err
}

// watch returns receivers whose attempts are noted, and forgets integrations
// that are none of theirs.
func (r *recorder) watch(receivers map[string][]notify.Integration) map[string][]notify.Integration {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string][]notify.Integration, len(receivers))
	senders := map[string]*sender{}
	for name, list := range receivers {
		all[name] = make([]notify.Integration, len(list))
		for i := range list {
			all[name][i] = notify.NewIntegration(watched{list[i], name, r}, &list[i], list[i].Name(), list[i].Index(), name)
			key := senderKey(name, list[i].String())
			senders[key] = cmp.Or(r.senders[key], &sender{receiver: name, integration: list[i].String(), failing: map[string]failure{}})
		}
	}
	r.senders = senders
	return all
}

func senderKey(receiver, integration string) string { return receiver + "\x00" + integration }

// attempted notes how an attempt at a message went. A failure that goes on is
// written each hour, with the number of attempts since.
func (r *recorder) attempted(ctx context.Context, receiver, integration string, began time.Time, alerts []*alert.Alert, err error) {
	if errors.Is(ctx.Err(), context.Canceled) && err != nil {
		return // Plimsoll ends, or was reloaded; that says nothing about the receiver
	}
	group, _ := notify.GroupKey(ctx)
	now := time.Now()
	e := history.Event{
		At: now, Kind: history.Notified, Alerts: named(alerts...), More: unnamed(alerts),
		Receiver: receiver, Integration: integration, Group: group, Seconds: now.Sub(began).Round(time.Millisecond).Seconds(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.senders[senderKey(receiver, integration)]
	if s == nil {
		return
	}
	s.attempted, s.took, s.problem = now, now.Sub(began), ""
	if err == nil {
		s.sent, s.delivered = s.sent+1, now
		delete(s.failing, group)
		r.note(e)
		return
	}
	s.failed++
	s.problem = scrub(err)
	last, known := s.failing[group]
	last.more++
	if known && last.problem == s.problem && now.Sub(last.at) < repeatFailure {
		s.failing[group] = last
		return
	}
	if len(s.failing) < maxGroups || known {
		s.failing[group] = failure{problem: s.problem, at: now}
	}
	e.Kind, e.Error, e.Attempts = history.Failed, s.problem, last.more
	r.note(e)
}

// works notes that a test reached somebody. What failed before is no trouble any
// more, even if its alert has ended and nobody tries to send it again.
func (r *recorder) works(receiver, integration string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.senders[senderKey(receiver, integration)]; s != nil {
		now := time.Now()
		s.attempted, s.took, s.delivered, s.problem = now, took, now, ""
	}
}

// address is a URL in the middle of a sentence. Its path or query may be what
// lets one send.
var address = regexp.MustCompile(`\b([a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^\s/"'<>@]*@)?([^\s/"'<>?#]*)[^\s"'<>]*`)

// scrub is an error for people, without what only the configuration may know:
// of an address, the host is left.
func scrub(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = errors.New(strings.ReplaceAll(err.Error(), e.URL, hostOf(e.URL)))
	}
	text := address.ReplaceAllString(err.Error(), "${1}${2}/…")
	const most = 500
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "an address"
	}
	return u.Scheme + "://" + u.Host + "/…"
}

// Receiver is one that a route leads to, with what became of its messages.
type Receiver struct {
	Name         string        `json:"name"`
	Integrations []Integration `json:"integrations"`
}

// Integration is one way a Receiver is told. Counts are of this process.
type Integration struct {
	Name string `json:"name"` // "webhook[0]"
	// Sent counts messages that were taken, Failed attempts that were not.
	Sent   uint64 `json:"sent"`
	Failed uint64 `json:"failed"`
	// LastAttempt is zero if there was none.
	LastAttempt time.Time `json:"lastAttempt,omitzero"`
	LastSeconds float64   `json:"lastAttemptSeconds"`
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	LastError   string    `json:"lastError,omitempty"` // empty if the last attempt went well
}

// receivers are those in force, by name; one without integrations tells nobody.
func (r *recorder) receivers(in map[string][]notify.Integration) []Receiver {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Receiver, 0, len(in))
	for _, name := range slices.Sorted(maps.Keys(in)) {
		rcv := Receiver{Name: name, Integrations: []Integration{}}
		for i := range in[name] {
			rcv.Integrations = append(rcv.Integrations, r.state(name, in[name][i].String()))
		}
		list = append(list, rcv)
	}
	return list
}

// integration is the state of one.
func (r *recorder) integration(receiver, name string) Integration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state(receiver, name)
}

// state is called with mu held.
func (r *recorder) state(receiver, integration string) Integration {
	i := Integration{Name: integration}
	if s := r.senders[senderKey(receiver, integration)]; s != nil {
		i.Sent, i.Failed, i.LastAttempt, i.LastSuccess, i.LastError = s.sent, s.failed, s.attempted, s.delivered, s.problem
		i.LastSeconds = s.took.Seconds()
	}
	return i
}

// senderMetrics exports what is known of integrations.
type senderMetrics struct{ *recorder }

var (
	integrationLabels = []string{"receiver", "integration"}
	lastAttemptDesc   = prometheus.NewDesc("plimsoll_alerting_integration_last_attempt_timestamp_seconds",
		"When an integration last tried to send, in seconds since 1970; absent if it never did.", integrationLabels, nil)
	lastSuccessDesc = prometheus.NewDesc("plimsoll_alerting_integration_last_success_timestamp_seconds",
		"When it last sent a message, in seconds since 1970; absent if it never did.", integrationLabels, nil)
	failingDesc = prometheus.NewDesc("plimsoll_alerting_integration_failing",
		"Whether its last attempt failed (1) or not (0); absent if there was none.", integrationLabels, nil)
)

// Describe implements prometheus.Collector.
func (senderMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- lastAttemptDesc
	to <- lastSuccessDesc
	to <- failingDesc
}

// Collect implements prometheus.Collector.
func (m senderMetrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, s *sender) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, s.receiver, s.integration)
	}
	for _, s := range m.senders {
		if s.attempted.IsZero() {
			continue
		}
		failing := 0.0
		if s.problem != "" {
			failing = 1
		}
		gauge(lastAttemptDesc, seconds(s.attempted), s)
		gauge(failingDesc, failing, s)
		if !s.delivered.IsZero() {
			gauge(lastSuccessDesc, seconds(s.delivered), s)
		}
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
