package alerting

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

const (
	// trialTime is how long an integration may take for a test.
	trialTime = 15 * time.Second
	// trialPause is the least time between two tests: they reach people.
	trialPause = 2 * time.Second
	// trialName is the alert that a test tells of, if it does not say otherwise.
	trialName = "PlimsollTest"
)

// Test asks for a made-up alert to be sent to one receiver.
type Test struct {
	Receiver    string            `json:"receiver"`
	Labels      map[string]string `json:"labels,omitempty"`      // added to alertname and severity
	Annotations map[string]string `json:"annotations,omitempty"` // added to a summary
	// Resolve sends its end too, so that what opens incidents closes this one.
	Resolve bool `json:"resolve,omitempty"`
}

// TestResult is how a Test went.
type TestResult struct {
	Receiver     string  `json:"receiver"`
	Integrations []Trial `json:"integrations"`
}

// Trial is how a Test went with one integration.
type Trial struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"` // without secrets
}

// refusal is why a Test was not made.
type refusal struct {
	code  int
	after time.Duration // when to try again
	why   string
}

func (r refusal) Error() string { return r.why }

// trials lets one test run at a time, and not too often.
type trials struct {
	mu      sync.Mutex
	running bool
	ended   time.Time
}

func (t *trials) begin(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running {
		return refusal{http.StatusTooManyRequests, trialPause, "another test is under way; try again when it is over"}
	}
	if wait := t.ended.Add(trialPause).Sub(now); wait > 0 {
		return refusal{http.StatusTooManyRequests, wait, "a test has just been made; try again in a moment"}
	}
	t.running = true
	return nil
}

func (t *trials) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running, t.ended = false, time.Now()
}

// Test sends a made-up alert to the integrations of one receiver, once to each
// and to all at a time. No route, silence or notification log is asked.
func (a *Alerting) Test(ctx context.Context, t Test) (TestResult, error) {
	a.mu.Lock()
	integrations, known := a.settings.receivers[t.Receiver]
	names := slices.Sorted(maps.Keys(a.settings.receivers))
	a.mu.Unlock()
	if a.am.handler.Load() == nil {
		return TestResult{}, refusal{http.StatusServiceUnavailable, time.Second, errNotRunning.Error()}
	}
	if !known {
		return TestResult{}, refusal{http.StatusNotFound, 0, fmt.Sprintf("no route leads to a receiver %q; there are: %s", t.Receiver, strings.Join(names, ", "))}
	}
	made, err := t.alert(time.Now())
	if err != nil {
		return TestResult{}, err
	}
	if err := a.am.trials.begin(time.Now()); err != nil {
		return TestResult{}, err
	}
	defer a.am.trials.end()

	result := TestResult{Receiver: t.Receiver, Integrations: make([]Trial, len(integrations))}
	var all sync.WaitGroup
	for i := range integrations {
		all.Go(func() { result.Integrations[i] = a.am.try(ctx, t, made, &integrations[i]) })
	}
	all.Wait()
	return result, nil
}

func (t Test) alert(now time.Time) (*alert.Alert, error) {
	made := &alert.Alert{Alert: model.Alert{
		Labels:      model.LabelSet{model.AlertNameLabel: trialName, "severity": "info"},
		Annotations: model.LabelSet{"summary": "A test of receiver " + model.LabelValue(t.Receiver) + "; nothing is wrong"},
		StartsAt:    now,
	}, UpdatedAt: now}
	for name, value := range t.Labels {
		made.Labels[model.LabelName(name)] = model.LabelValue(value)
	}
	for name, value := range t.Annotations {
		made.Annotations[model.LabelName(name)] = model.LabelValue(value)
	}
	if err := made.Validate(); err != nil {
		return nil, refusal{http.StatusBadRequest, 0, err.Error()}
	}
	return made, nil
}

// try sends a test through one integration.
func (am *alertmanager) try(ctx context.Context, t Test, made *alert.Alert, i *notify.Integration) Trial {
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	began := time.Now()
	ctx = notify.WithNow(ctx, began)
	ctx = notify.WithReceiverName(ctx, t.Receiver)
	ctx = notify.WithGroupKey(ctx, fmt.Sprintf("{}/test:{receiver=%q, at=%q}", t.Receiver, made.StartsAt.UTC().Format(time.RFC3339Nano)))
	ctx = notify.WithGroupLabels(ctx, model.LabelSet{model.AlertNameLabel: made.Labels[model.AlertNameLabel]})
	ctx = notify.WithRouteLabels(ctx, model.LabelSet{})
	ctx = notify.WithRepeatInterval(ctx, time.Hour)
	ctx = notify.WithNotificationReason(ctx, notify.ReasonFirstNotification)
	ctx = notify.WithFiringAlerts(ctx, []uint64{loggedAs(made.Labels)})
	ctx = notify.WithResolvedAlerts(ctx, nil)
	ctx = notify.WithNflogStore(ctx, nflog.NewStore(nil))

	_, err := i.Notify(ctx, made)
	if err == nil && t.Resolve && i.SendResolved() {
		over := *made
		over.EndsAt = time.Now()
		_, err = i.Notify(notify.WithNotificationReason(ctx, notify.ReasonAllAlertsResolved), &over)
	}
	took := time.Since(began).Round(time.Millisecond).Seconds()
	r := Trial{Name: i.String(), OK: err == nil, Seconds: took}
	if err != nil {
		r.Error = cmp.Or(scrub(err), "it failed without a word")
	} else {
		am.recorder.works(t.Receiver, i.String(), time.Since(began))
	}
	am.recorder.note(history.Event{
		Kind: history.Tested, Alerts: named(made), Receiver: t.Receiver, Integration: i.String(), Seconds: took, Error: r.Error,
	})
	return r
}
