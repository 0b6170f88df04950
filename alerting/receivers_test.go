package alerting_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/alerting"
)

// botConfig tells a chat bot, with groups by alert and container.
func botConfig(bot string) string {
	return fmt.Sprintf(`route: {receiver: chat, group_by: [alertname, name], group_wait: 0s, group_interval: %v, repeat_interval: 1h}
receivers:
  - name: chat
%s`, groupInterval, bot)
}

// post is a message to a bot, and when it came.
type post struct {
	at   time.Time
	url  *http.Request
	body []byte
}

// bot is the server of a bot that says something to each post.
func bot(t *testing.T, say func(n int) string) (url string, posts chan post) {
	t.Helper()
	posts = make(chan post, 100)
	n := 0
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		n++
		posts <- post{time.Now(), r, body}
		fmt.Fprint(w, say(n))
	}), posts
}

func wait(t *testing.T, posts chan post) post {
	t.Helper()
	select {
	case p := <-posts:
		return p
	case <-time.After(patience):
		t.Fatalf("no post within %v", patience)
		return post{}
	}
}

func TestDingTalkIsToldAtTheThirdTrySigned(t *testing.T) {
	const secret = "SEC0123456789"
	w := newWorld(t)
	url, posts := bot(t, func(n int) string {
		if n <= 2 {
			return `{"errcode":130101,"errmsg":"send too fast"}`
		}
		return `{"errcode":0,"errmsg":"ok"}`
	})
	w.write("secret", secret+"\n")
	w.write("url", url+"/robot/send?access_token=tok\n")
	w.write("alertmanager.yml", botConfig("    dingtalk_configs: [{url_file: url, secret_file: secret, title: yes, text: \"### [x]\\n- y\"}]\n"))
	p := w.run(w.options())
	w.uses("web", 95)
	for range 2 {
		wait(t, posts)
	}
	got := wait(t, posts)
	q := got.url.URL.Query()
	stamp, err := strconv.ParseInt(q.Get("timestamp"), 10, 64)
	if err != nil || got.at.Sub(time.UnixMilli(stamp)).Abs() > 5*time.Second {
		t.Errorf("timestamp %s, now it is %v", q.Get("timestamp"), got.at)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(q.Get("timestamp") + "\n" + secret))
	if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); q.Get("sign") != want || q.Get("access_token") != "tok" {
		t.Errorf("signed %s, want %s", got.url.URL, want)
	}
	want := `{"msgtype":"markdown","markdown":{"title":"yes","text":"### [x]\n- y"},"at":{"isAtAll":false}}`
	if strings.TrimSpace(string(got.body)) != want {
		t.Errorf("body %s, want %s", got.body, want)
	}
	p.eventually("it counts as sent", func() bool {
		return p.metric("plimsoll_alerting_chatbot_posts_total", "integration", "dingtalk", "verdict", "taken") == 1
	})
	if busy := p.metric("plimsoll_alerting_chatbot_posts_total", "integration", "dingtalk", "verdict", "busy"); busy != 2 {
		t.Errorf("%v were busy, want 2", busy)
	}
	p.evaluates(settled)
	if len(posts) > 0 {
		t.Error("a message too many")
	}
}

func TestFeishusWrongSignatureIsNotTriedAgainAtOnceAndCounts(t *testing.T) {
	w := newWorld(t)
	url, posts := bot(t, func(int) string {
		return `{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}`
	})
	w.write("alertmanager.yml", strings.Replace(botConfig("    feishu_configs: [{url: "+url+"/open-apis/bot/v2/hook/0123456789abcdef, secret: hushhush}]\n"),
		"group_interval: "+groupInterval.String(), "group_interval: 1h", 1))
	p := w.run(w.options())
	w.uses("web", 95)
	got := wait(t, posts)
	var body struct {
		Stamp string `json:"timestamp"`
		Sign  string `json:"sign"`
		Type  string `json:"msg_type"`
	}
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatal(err)
	}
	if want := base64.StdEncoding.EncodeToString(hmac.New(sha256.New, []byte(body.Stamp+"\nhushhush")).Sum(nil)); body.Sign != want || body.Type != "interactive" {
		t.Errorf("body %s, want the sign %s", got.body, want)
	}
	p.eventually("it counts as failed", func() bool {
		return p.metric("alertmanager_notifications_failed_total", "integration", "feishu", "reason", "clientError") == 1
	})
	if len(posts) > 0 {
		t.Error("tried again")
	}
	if got := record(p.Handler(), mustGet(t, "/api/v2/status")).Body.String(); strings.Contains(got, "0123456789abcdef") || strings.Contains(got, "hushhush") {
		t.Errorf("secrets in the status: %s", got)
	}
}

func mustGet(t *testing.T, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTwentyFiveAlertsAreAllInAtMostTwentyPosts(t *testing.T) {
	w := newWorld(t)
	url, posts := bot(t, func(int) string { return `{"errcode":0,"errmsg":"ok"}` })
	w.write("alertmanager.yml", botConfig("    wecom_configs: [{url: '"+url+"/cgi-bin/webhook/send?key=k'}]\n"))
	p := w.run(w.options())
	for i := range 25 {
		w.uses(fmt.Sprintf("web-%02d", i), 95)
	}
	p.eventually("all have been told", func() bool {
		return p.metric("alertmanager_notifications_total", "integration", "wecom") >= 25 && p.metric("plimsoll_alerting_chatbot_waiting") == 0
	})
	var all strings.Builder
	n := len(posts)
	for range n {
		all.Write((<-posts).body)
	}
	for i := range 25 {
		if name := fmt.Sprintf("web-%02d", i); !strings.Contains(all.String(), name) {
			t.Errorf("%s is in no message", name)
		}
	}
	if n > 20 {
		t.Errorf("%d posts, want at most 20", n)
	}
	if failed := p.metric("alertmanager_notifications_failed_total"); failed != 0 {
		t.Errorf("%v notifications failed", failed)
	}
}

// In Alertmanager, the healthy receiver would get its second alert only after
// the other has been given up.
func TestAReceiverThatHangsHoldsNobodyBack(t *testing.T) {
	w := newWorld(t)
	hang := make(chan struct{})
	began := make(chan struct{}, 100)
	sick := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	defer close(hang)
	w.write("alertmanager.yml", fmt.Sprintf(`route: {receiver: both, group_by: [alertname], group_wait: 0s, group_interval: %v, repeat_interval: 1h}
receivers:
  - name: both
    webhook_configs: [{url: %q}, {url: %q}]
`, groupInterval, sick, w.hook))
	p := w.run(w.options())
	w.uses("one", 95)
	if m := w.next(); len(m.Alerts) != 1 {
		t.Errorf("message %+v", m)
	}
	<-began
	second := time.Now()
	w.uses("two", 95)
	if m := w.next(); len(m.Alerts) != 2 {
		t.Errorf("message %+v, want both alerts", m)
	}
	if took := time.Since(second); took > 5*time.Second {
		t.Errorf("the second alert came after %v", took)
	}
	p.eventually("it is counted", func() bool {
		return p.metric("plimsoll_alerting_slow_notifications_total", "integration", "webhook") > 0
	})
	select {
	case <-began:
		t.Error("the receiver that hangs was asked again meanwhile")
	default:
	}
}

func TestAWebhookThatIsOverwhelmedIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	calls := make(chan struct{}, 100)
	n := 0
	hook := serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		if n++; n <= 2 {
			rw.WriteHeader(http.StatusTooManyRequests)
		}
		calls <- struct{}{}
	})
	// The next flush would be in an hour.
	w.write("alertmanager.yml", strings.Replace(config(hook), "group_interval: "+groupInterval.String(), "group_interval: 1h", 1))
	p := w.run(w.options())
	w.uses("web", 95)
	p.eventually("it has been told", func() bool { return len(calls) == 3 })
}

func TestChatBotsAreCheckedWithTheRest(t *testing.T) {
	w := newWorld(t)
	w.write("bad.yml", botConfig("    dingtalk_configs:\n      - url_fil: x\n      - {url_file: x, title: '{{ .Nonsense }}', text: '{{ template \"no\" }}'}\n"))
	got := alerting.CheckConfig(w.path("bad.yml")).Error()
	for _, want := range []string{
		`bad.yml:5:9: receivers[0].dingtalk_configs[0].url_fil: unknown key, did you mean "url_file"?`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
	w.write("bad.yml", botConfig("    dingtalk_configs:\n      - {url_file: x, text: '{{ template \"no\" }}'}\n"))
	if got := alerting.CheckConfig(w.path("bad.yml")).Error(); !strings.Contains(got, `bad.yml:5:29: receivers[0].dingtalk_configs[0].text: no valid template`) {
		t.Errorf("got %s", got)
	}
	w.write("good.yml", botConfig("    dingtalk_configs: [{url_file: x}]\n    feishu_configs: [{url_file: x, language: zh}]\n    wecom_configs: [{url_file: x}]\n"))
	if got := alerting.CheckConfig(w.path("good.yml")); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

// What waits for its turn is not in the notification log, so the next process
// tells it.
func TestWhatABotHasNotTakenIsToldAfterARestart(t *testing.T) {
	w := newWorld(t)
	taken := false
	url, posts := bot(t, func(int) string {
		if taken {
			return `{"errcode":0,"errmsg":"ok"}`
		}
		return `{"errcode":45009,"errmsg":"api freq out of limit"}`
	})
	w.write("alertmanager.yml", botConfig("    wecom_configs: [{url: '"+url+"/cgi-bin/webhook/send?key=k', text: '{{ .CommonLabels.name }}'}]\n"))
	w.write("rules.yml", "groups: [{name: g, rules: [{alert: Always, expr: vector(1), labels: {name: web}}]}]\n")
	p := w.run(w.options())
	wait(t, posts)
	p.stop()
	for len(posts) > 0 {
		<-posts
	}
	taken = true
	w.run(w.options())
	if got := wait(t, posts); !strings.Contains(string(got.body), `"content":"web"`) {
		t.Errorf("body %s", got.body)
	}
}
