package alerting_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/alerting"
)

var aboutWeb = url.Values{"match": {`name="web"`}}

func TestTheLifeOfAnAlertIsInTheHistoryAlsoAfterARestart(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	began := time.Now()
	w.uses("web", 95)
	w.uses("db", 95)
	w.next()
	w.next()
	all := p.happened(aboutWeb, "created", "grouped", "notified")
	told := all[2]
	if told.Receiver != "hook" || told.Integration != "webhook[0]" || told.Group != `{}:{alertname="NearLimit", name="web", node="n1"}` || told.Seconds <= 0 && told.Error != "" {
		t.Errorf("told %+v", told)
	}
	if a := told.Alerts[0]; a.Labels["name"] != "web" || a.StartsAt.Before(began.Add(-time.Second)) || len(a.Fingerprint) != 16 || !a.EndsAt.IsZero() {
		t.Errorf("alert %+v", a)
	}

	id := p.silence("name=web", "")
	all = p.happened(aboutWeb, "created", "grouped", "notified", "silenced")
	if by := all[3].By; len(by) != 1 || by[0] != id {
		t.Errorf("silenced by %v, want %s", by, id)
	}
	p.stop()

	// The next process knows what was noted, and notes it no second time.
	p = w.run(w.options())
	w.uses("web", 95)
	w.uses("db", 95)
	p.evaluates(settled)
	p.happened(aboutWeb, "created", "grouped", "notified", "silenced")
	p.expire(id)
	p.happened(aboutWeb, "created", "grouped", "notified", "silenced", "unmuted")
	p.happened(url.Values{"event": {"silence_created", "silence_expired"}}, "silence_created", "silence_expired")

	w.uses("web", 50)
	w.next()
	all = p.happened(aboutWeb, "created", "grouped", "notified", "silenced", "unmuted", "resolved", "notified")
	if over := all[5].Alerts[0]; over.EndsAt.IsZero() {
		t.Errorf("over %+v, want an end", over)
	}
	for i := range all[1:] {
		if all[i+1].At.Before(all[i].At) {
			t.Errorf("event %d is before the one before it", i+1)
		}
	}

	for name, form := range map[string]url.Values{
		"from": {"from": {fmt.Sprint(all[4].At.UnixMilli()/1000 + 1000)}},
		"to":   {"to": {began.Add(-time.Minute).Format(time.RFC3339)}},
	} {
		if got, _ := p.events(form); len(got) != 0 {
			t.Errorf("%s: %d events, want none", name, len(got))
		}
	}
	if got, _ := p.events(url.Values{"limit": {"2"}}); len(got) != 2 {
		t.Errorf("%d events, want 2", len(got))
	}
}

func TestAnInhibitedAlertIsInTheHistoryWithWhatHoldsItBack(t *testing.T) {
	w := newWorld(t)
	w.write("down.rules.yml", `groups: [{name: down, rules: [{alert: AgentDown, expr: vector(1), labels: {node: n1}}]}]`)
	p := w.run(w.options())
	down := w.next().Alerts[0]
	w.uses("web", 95)
	all := p.happened(aboutWeb, "created", "grouped", "inhibited")
	if by := all[2].By; len(by) != 1 || by[0] != down.Fingerprint {
		t.Errorf("inhibited by %v, want %s", by, down.Fingerprint)
	}
	w.silent()
}

func TestAFailureIsInTheHistoryOnceAndWithoutSecrets(t *testing.T) {
	w := newWorld(t)
	hook := serve(t, func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusBadRequest) })
	w.write("alertmanager.yml", config(hook+"/bot-sesame/send?key=sesame"))
	p := w.run(w.options())
	w.uses("web", 95)
	p.eventually("it was tried again and again", func() bool {
		return p.metric("alertmanager_notification_requests_failed_total") >= 3
	})
	all := p.happened(aboutWeb, "created", "grouped", "failed")
	if e := all[2]; !strings.Contains(e.Error, "400") || e.Attempts != 1 {
		t.Errorf("failed %+v", e)
	}

	var list []alerting.Receiver
	body, _ := p.ask(http.MethodGet, alerting.ReceiversPath, nil, "", &list)
	if len(list) != 1 || list[0].Name != "hook" || len(list[0].Integrations) != 1 {
		t.Fatalf("receivers %+v", list)
	}
	i := list[0].Integrations[0]
	if i.Name != "webhook[0]" || i.Failed < 3 || i.Sent != 0 || i.LastError == "" || i.LastAttempt.IsZero() || !i.LastSuccess.IsZero() {
		t.Errorf("integration %+v", i)
	}
	if p.metric("plimsoll_alerting_integration_failing", "receiver", "hook") != 1 {
		t.Error("the metric does not say that it fails")
	}
	log, err := os.ReadFile(filepath.Join(w.dir, "alerting", "history", "00000001.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	explained, _ := p.ask(http.MethodGet, alerting.ExplainPath, url.Values{"alert": {"NearLimit"}}, "", nil)
	tried, _ := p.ask(http.MethodPost, alerting.TestPath, nil, `{"receiver":"hook"}`, nil)
	for name, text := range map[string]string{"receivers": body.Body.String(), "history": string(log), "explain": explained.Body.String(), "test": tried.Body.String()} {
		if strings.Contains(text, "sesame") {
			t.Errorf("%s tells a secret: %s", name, text)
		}
	}
}

// Its alert may have ended, so that nobody tries to send it again.
func TestAReceiverThatFailedIsWellAfterATestOfIt(t *testing.T) {
	w := newWorld(t)
	var mended atomic.Bool
	hook := serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		if !mended.Load() {
			http.Error(rw, "no", http.StatusBadRequest)
		}
	})
	w.write("alertmanager.yml", fmt.Sprintf("route: {receiver: hook, group_wait: 0s}\nreceivers: [{name: hook, webhook_configs: [{url: %q}]}]\n", hook))
	p := w.run(w.options())
	failing := func() float64 { return p.metric("plimsoll_alerting_integration_failing", "receiver", "hook") }
	now := time.Now()
	alert := fmt.Sprintf(`[{"labels":{"alertname":"Short"},"startsAt":%q,"endsAt":%q}]`, now.Format(time.RFC3339Nano), now.Add(time.Hour).Format(time.RFC3339Nano))
	r, err := http.Post(p.api+"/api/v2/alerts", "application/json", strings.NewReader(alert))
	if err != nil || r.Body.Close() != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r.Status, err)
	}
	p.eventually("it failed", func() bool { return failing() == 1 })
	mended.Store(true)
	var result alerting.TestResult
	if p.ask(http.MethodPost, alerting.TestPath, nil, `{"receiver":"hook"}`, &result); !result.Integrations[0].OK {
		t.Fatalf("test %+v", result)
	}
	if failing() != 0 {
		t.Error("the metric still says that it fails")
	}
	var list []alerting.Receiver
	p.ask(http.MethodGet, alerting.ReceiversPath, nil, "", &list)
	if i := list[0].Integrations[0]; i.LastError != "" || i.LastSuccess.IsZero() || i.Sent != 0 {
		t.Errorf("integration %+v", i)
	}
}

// silenceEnds is when a silence ends, by API v2.
func (p *process) silenceEnds(id string) time.Time {
	p.t.Helper()
	r, err := http.Get(p.api + "/api/v2/silence/" + id)
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	var s struct{ EndsAt time.Time }
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		p.t.Fatal(err)
	}
	return s.EndsAt
}

func TestAnAcknowledgementLastsAsLongAsItsAlert(t *testing.T) {
	w := newWorld(t)
	p := w.run(w.options())
	w.uses("web", 95)
	w.next()
	ack := func(matcher string, left time.Duration) (id string, ends time.Time) {
		ends = time.Now().Add(left).Truncate(time.Millisecond)
		id = p.silence(matcher, fmt.Sprintf(`,"annotations":{%q:"true"},"endsAt":%q`, alerting.AckAnnotation, ends.Format(time.RFC3339Nano)))
		return id, ends
	}
	other, otherEnds := ack("name=other", time.Minute) // nothing fires that it is about
	web, _ := ack("name=web", time.Minute)
	p.eventually("it is prolonged", func() bool { return time.Until(p.silenceEnds(web)) > 9*time.Minute })
	if got := p.silenceEnds(other); !got.Equal(otherEnds) {
		t.Errorf("one without an alert ends at %v, want %v", got, otherEnds)
	}
	p.happened(url.Values{"event": {"silence_created", "silence_updated"}}, "silence_created", "silence_created")

	w.uses("web", 50)
	p.happened(url.Values{"match": {`name="web"`}, "event": {"resolved"}}, "resolved")
	late, lateEnds := ack("name=web", time.Minute)
	p.silence("name=x", "") // has silences looked at once more
	p.eventually("they were looked at", func() bool {
		_, kinds := p.events(url.Values{"event": {"silence_created"}})
		return len(kinds) == 4
	})
	if got := p.silenceEnds(late); !got.Equal(lateEnds) {
		t.Errorf("one whose alert is over ends at %v, want %v", got, lateEnds)
	}
}

// A disk that takes no history keeps nobody from being told.
func TestWithoutHistoryPeopleAreTold(t *testing.T) {
	w := newWorld(t)
	opts := w.options()
	a, err := alerting.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(opts.DataDir, "history")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w.write("alerting/history", "in the way")
	p := w.start(a, opts)
	w.uses("web", 95)
	w.next()
	p.eventually("it is counted", func() bool { return p.metric("plimsoll_alerting_history_write_failures_total") >= 1 })

	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	w.uses("web", 50)
	w.next()
	p.happened(url.Values{"event": {"resolved"}}, "resolved")
}
