package chatbot_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/client_golang/prometheus"
	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
	"github.com/plimsoll-io/plimsoll/alerting/chatbot/dingtalk"
	"github.com/plimsoll-io/plimsoll/alerting/chatbot/feishu"
	"github.com/plimsoll-io/plimsoll/alerting/chatbot/wecom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token  = "0123456789abcdef0123456789abcdef"
	secret = "SECfedcba9876543210fedcba9876543210"
)

// platform is the server side of all three, as their documents describe it: the
// limit per minute and what follows on it, the signature and its window, the
// size of a message, codes with status 200.
type platform struct {
	t      *testing.T
	kind   string
	secret string
	// odd, if set, answers before anything else; false: as always.
	odd func(w http.ResponseWriter, r *http.Request) bool

	mu      sync.Mutex
	posts   []time.Time // of the last minute, taken or not
	blocked time.Time   // until then it takes nothing
	told    []told
	all     int // posts
}

// told is a message that a platform took.
type told struct {
	at          time.Time
	title, text string
	raw         map[string]any
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all++
	if p.odd != nil && p.odd(w, r) {
		return
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Errorf("read a post: %v", err)
	}
	code, text := p.take(r, data)
	w.Header().Set("Content-Type", "application/json")
	if p.kind == "feishu" {
		fmt.Fprintf(w, `{"code":%d,"msg":%q,"data":{}}`, code, text)
	} else {
		fmt.Fprintf(w, `{"errcode":%d,"errmsg":%q}`, code, text)
	}
}

func (p *platform) take(r *http.Request, data []byte) (code int, text string) {
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || !utf8.Valid(data) {
		p.t.Errorf("%s with %q, valid UTF-8: %v", r.Method, r.Header.Get("Content-Type"), utf8.Valid(data))
	}
	var body map[string]any
	if err := json.Unmarshal(data, &body); err != nil {
		p.t.Errorf("post %q: %v", data, err)
	}
	if code, text := p.signed(r.URL.Query(), body); code != 0 {
		return code, text
	}
	if code, text := p.allowed(time.Now()); code != 0 {
		return code, text
	}
	m := told{at: time.Now(), raw: body}
	str := func(path ...any) string {
		var at any = body
		for _, step := range path {
			switch step := step.(type) {
			case string:
				at = at.(map[string]any)[step]
			case int:
				at = at.([]any)[step]
			}
		}
		s, ok := at.(string)
		if !ok {
			p.t.Errorf("%v in %s is no string", path, data)
		}
		return s
	}
	limit := 20_000
	switch kind := body["msgtype"]; {
	case p.kind == "feishu" && body["msg_type"] == "interactive":
		m.title, m.text = str("card", "header", "title", "content"), str("card", "elements", 0, "content")
	case p.kind == "feishu":
		m.text = str("content", "text")
	case p.kind == "dingtalk" && kind == "markdown":
		m.title, m.text = str("markdown", "title"), str("markdown", "text")
	case p.kind == "wecom" && kind == "markdown":
		m.text, limit = str("markdown", "content"), 4096
	default:
		m.text = str("text", "content")
		if p.kind == "wecom" {
			limit = 2048
		}
	}
	size := len(data)
	if p.kind == "wecom" {
		size = len(m.text)
	}
	if size > limit {
		return map[string]int{"dingtalk": 460101, "feishu": 9499, "wecom": 40058}[p.kind], "too long"
	}
	p.told = append(p.told, m)
	return 0, "ok"
}

// signed checks as the platforms say that they do: within an hour.
func (p *platform) signed(q url.Values, body map[string]any) (int, string) {
	if p.secret == "" {
		return 0, ""
	}
	stamp, sign, key, message, wrong, unit := q.Get("timestamp"), q.Get("sign"), p.secret, "", 310000, time.Millisecond
	if p.kind == "feishu" {
		stamp, _ = body["timestamp"].(string)
		sign, _ = body["sign"].(string)
		key, wrong, unit = stamp+"\n"+p.secret, 19021, time.Second
	} else {
		message = stamp + "\n" + p.secret
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(message))
	n, err := strconv.ParseInt(stamp, 10, 64)
	at := time.Unix(0, 0).Add(time.Duration(n) * unit)
	if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); err != nil || sign != want || time.Since(at).Abs() > time.Hour {
		return wrong, "sign not match"
	}
	if time.Since(at).Abs() > 5*time.Second {
		p.t.Errorf("signed for %v, now it is %v", at, time.Now())
	}
	return 0, ""
}

func (p *platform) allowed(now time.Time) (int, string) {
	limit, code := 20, 130101
	switch p.kind {
	case "wecom":
		code = 45009
	case "feishu":
		limit, code = 100, 11232
	}
	var recent []time.Time
	for _, at := range p.posts {
		if now.Sub(at) < time.Minute {
			recent = append(recent, at)
		}
	}
	p.posts = append(recent, now)
	if len(p.posts) > limit {
		p.blocked = now.Add(10 * time.Minute)
	}
	if now.Before(p.blocked) {
		return code, "send too fast, exceed 20 times per minute"
	}
	return 0, ""
}

func (p *platform) messages() []told {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]told(nil), p.told...)
}

func (p *platform) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

// lines is a network without a kernel, so that time may be virtual.
type lines struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *lines) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *lines) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *lines) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *lines) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// world is a hub and a platform.
type world struct {
	t   *testing.T
	hub *chatbot.Hub
	reg *prometheus.Registry
	*platform
}

func newWorld(t *testing.T, kind string) *world {
	t.Helper()
	w := &world{t: t, reg: prometheus.NewRegistry(), platform: &platform{t: t, kind: kind}}
	l := &lines{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: w.platform}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	var err error
	w.hub, err = chatbot.NewHub(chatbot.Options{Registerer: w.reg, HTTP: []commoncfg.HTTPClientOption{
		commoncfg.WithDialContextFunc(l.dial), commoncfg.WithKeepAlivesDisabled(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.hub.Close()
		_ = server.Close()
		serving.Wait()
	})
	return w
}

func kindOf(name string) chatbot.Kind {
	for _, k := range []chatbot.Kind{dingtalk.Kind(), feishu.Kind(), wecom.Kind()} {
		if k.Name == name {
			return k
		}
	}
	panic(name)
}

// address is that of a bot as the platform gives it out.
func address(kind, token string) string {
	switch kind {
	case "dingtalk":
		return "http://oapi.dingtalk.example/robot/send?access_token=" + token
	case "feishu":
		return "http://open.feishu.example/open-apis/bot/v2/hook/" + token
	default:
		return "http://qyapi.weixin.example/cgi-bin/webhook/send?key=" + token
	}
}

func (w *world) config() chatbot.Config {
	c := chatbot.Default()
	c.URL = commoncfg.Secret(address(w.kind, token))
	return c
}

// notifier is that of a Config.
func (w *world) notifier(c chatbot.Config) *chatbot.Notifier {
	w.t.Helper()
	if wrong := kindOf(w.kind).Mistakes(c); len(wrong) > 0 {
		w.t.Fatalf("mistakes %+v", wrong)
	}
	tmpl, err := chatbot.Templates(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	tmpl.ExternalURL = &url.URL{Scheme: "http", Host: "plimsoll.example:9900"}
	n, err := chatbot.New(kindOf(w.kind), c, "team/0", w.hub, tmpl, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// firing is an alert.
func firing(name string) *alert.Alert {
	return &alert.Alert{Alert: model.Alert{
		Labels:       model.LabelSet{"alertname": model.LabelValue(name), "severity": "critical", "node": "n1"},
		Annotations:  model.LabelSet{"summary": "web uses 95%"},
		StartsAt:     time.Now(),
		GeneratorURL: "http://plimsoll.example:9900/graph?g0.expr=up",
	}}
}

func resolved(name string) *alert.Alert {
	a := firing(name)
	a.EndsAt = time.Now().Add(-time.Second)
	return a
}

// group is what a pipeline says about a group.
func group(ctx context.Context, name string) context.Context {
	ctx = notify.WithGroupKey(ctx, "{}:{alertname=\""+name+"\"}")
	ctx = notify.WithReceiverName(ctx, "team")
	ctx = notify.WithGroupLabels(ctx, model.LabelSet{"alertname": model.LabelValue(name)})
	ctx = notify.WithNotificationReason(ctx, notify.ReasonFirstNotification)
	return notify.WithNow(ctx, time.Now())
}

// deliver tells about a group as Alertmanager does: again, half a second later,
// as long as that may help.
func deliver(ctx context.Context, n *chatbot.Notifier, name string, alerts ...*alert.Alert) (attempts int, err error) {
	for {
		attempts++
		retry, err := n.Notify(group(ctx, name), alerts...)
		if err == nil || !retry || ctx.Err() != nil {
			return attempts, err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return attempts, err
		}
	}
}

// metric is the sum of the series of a metric.
func (w *world) metric(name string) float64 {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "plimsoll_alerting_chatbot_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}
