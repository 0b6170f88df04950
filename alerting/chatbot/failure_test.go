package chatbot_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/notify"
	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
)

// says is a platform that answers so, n times.
func says(n int, status int, header, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if n--; n < 0 {
			return false
		}
		if key, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(key, value)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, strings.ReplaceAll(body, "URL", r.URL.String()))
		return true
	}
}

func TestAnAnswerIsJudgedByItsCode(t *testing.T) {
	const echo = "no: URL!"
	tests := map[string]struct {
		kind     string
		status   int
		header   string
		body     string // URL in it is that of the request
		attempts int    // until it is told, or given up
		reason   notify.Reason
		want     string // in the error; empty if it is told in the end
		after    time.Duration
	}{
		"busy with status 200":        {"dingtalk", 200, "", `{"errcode":130101,"errmsg":"send too fast"}`, 3, 0, "", 2 * time.Second},
		"busy and for how long":       {"dingtalk", 200, "", `{"status":1111,"wait":5,"errcode":130101,"errmsg":"send too fast"}`, 3, 0, "", 10 * time.Second},
		"busy, the newer code":        {"dingtalk", 200, "", `{"errcode":410100,"errmsg":"too fast"}`, 3, 0, "", 2 * time.Second},
		"the system is busy":          {"wecom", 200, "", `{"errcode":-1,"errmsg":"system busy"}`, 3, 0, "", 2 * time.Second},
		"too many calls":              {"wecom", 200, "", `{"errcode":45009,"errmsg":"api freq out of limit"}`, 3, 0, "", 2 * time.Second},
		"Feishu's rush hour":          {"feishu", 200, "", `{"code":11232,"msg":"frequency limited"}`, 3, 0, "", 2 * time.Second},
		"Feishu's gateway":            {"feishu", 200, "", `{"code":9499,"msg":"too many request"}`, 3, 0, "", 2 * time.Second},
		"a bad request":               {"feishu", 200, "", `{"code":9499,"msg":"Bad Request"}`, 1, notify.ClientErrorReason, "code 9499", 0},
		"Feishu of old":               {"feishu", 200, "", `{"StatusCode":0,"StatusMessage":"success"}`, 1, 0, "", 0},
		"status 429":                  {"wecom", 429, "Retry-After: 7", "slow down", 3, 0, "", 14 * time.Second},
		"status 503":                  {"wecom", 503, "", "later", 3, 0, "", 0},
		"a wrong signature":           {"feishu", 200, "", `{"code":19021,"msg":"sign match fail"}`, 1, notify.ClientErrorReason, "code 19021, sign match fail", 0},
		"a token that nobody has":     {"dingtalk", 200, "", `{"errcode":300001,"errmsg":"token is not exist"}`, 1, notify.ClientErrorReason, "code 300001", 0},
		"a bot that was removed":      {"wecom", 200, "", `{"errcode":93000,"errmsg":"invalid webhook url"}`, 1, notify.ClientErrorReason, "code 93000", 0},
		"no JSON":                     {"wecom", 200, "", "<html>Log in to the WiFi</html>", 1, notify.DefaultReason, "without a code", 0},
		"JSON without a code":         {"dingtalk", 200, "", `{"ok":true}`, 1, notify.DefaultReason, "without a code", 0},
		"an empty answer":             {"feishu", 200, "", "", 1, notify.DefaultReason, "without a code", 0},
		"an endless answer":           {"feishu", 200, "", `{"code":0,"msg":"` + strings.Repeat("x", 1<<20) + `"}`, 1, notify.DefaultReason, "without a code", 0},
		"a redirect":                  {"dingtalk", 307, "Location: http://elsewhere.example/", "", 1, notify.DefaultReason, "redirect, which is not followed", 0},
		"forbidden":                   {"dingtalk", 403, "", echo, 1, notify.AuthErrorReason, "status 403", 0},
		"an error that quotes secret": {"feishu", 200, "", `{"code":9,"msg":"` + echo + `"}`, 1, notify.ClientErrorReason, "<secret>", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.kind)
				w.odd = says(2, tt.status, tt.header, tt.body)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				attempts, err := deliver(ctx, w.notifier(w.config()), "A", firing("A"))
				if attempts != tt.attempts || (tt.want == "") != (err == nil) {
					t.Fatalf("%d attempts, want %d; error %v", attempts, tt.attempts, err)
				}
				if took := time.Since(began); took < tt.after {
					t.Errorf("told after %v, want %v at least", took, tt.after)
				}
				if err == nil {
					return
				}
				if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), token) {
					t.Errorf("error %q, want %q in it and no token", err, tt.want)
				}
				var answer *notify.ErrorWithReason
				if !errors.As(err, &answer) || answer.Reason != tt.reason {
					t.Errorf("error %#v, want the reason %v", err, tt.reason)
				}
				if len(w.messages()) != 0 {
					t.Errorf("messages %v", w.messages())
				}
			})
		})
	}
}

func TestATokenThatIsCutIsInNoError(t *testing.T) {
	for have := range len(token) + 1 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "wecom")
			w.odd = says(1, 403, "", strings.Repeat("x", 200-have)+token)
			_, err := w.notifier(w.config()).Notify(group(t.Context(), "A"), firing("A"))
			if err == nil || strings.Contains(err.Error(), token[:6]) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestABotThatHangsIsGivenUpAfterTheTimeoutAndItsURLIsInNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		hang := make(chan struct{})
		defer close(hang)
		server := w.platform
		server.odd = func(http.ResponseWriter, *http.Request) bool { <-hang; return true }
		c := w.config()
		c.Timeout = model.Duration(3 * time.Second)
		began := time.Now()
		retry, err := w.notifier(c).Notify(group(t.Context(), "A"), firing("A"))
		if !retry || err == nil || !strings.Contains(err.Error(), "no answer within 3s") || strings.Contains(err.Error(), token) {
			t.Errorf("retry %v, error %v", retry, err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("given up after %v, want 3s", took)
		}
	})
}

func TestABotThatIsNotThereIsTriedAgainAndItsURLIsInNoError(t *testing.T) {
	hub, err := chatbot.NewHub(chatbot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	w := &world{t: t, hub: hub, platform: &platform{t: t, kind: "dingtalk"}}
	c := w.config()
	c.URL = "http://127.0.0.1:1/robot/send?access_token=" + token
	retry, err := w.notifier(c).Notify(group(t.Context(), "A"), firing("A"))
	if !retry || err == nil || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("retry %v, error %v", retry, err)
	}
}

func TestTheRestOfALongTextFollowsAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		posts := 0
		w.odd = func(rw http.ResponseWriter, r *http.Request) bool {
			if posts++; posts == 2 {
				return says(1, 503, "", "later")(rw, r)
			}
			return false
		}
		c := w.config()
		c.Text = strings.Repeat("告警\n", 1500) // 10.5 kB
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		attempts, err := deliver(ctx, w.notifier(c), "A", firing("A"))
		if err != nil || attempts != 2 {
			t.Fatalf("%d attempts, error %v", attempts, err)
		}
		for i, m := range w.messages() {
			if want := fmt.Sprintf("(%d/3)\n", i+1); !strings.HasPrefix(m.text, want) {
				t.Errorf("part %d begins %q, want %q", i, m.text[:10], want)
			}
		}
		if got := len(w.messages()); got != 3 {
			t.Errorf("%d messages, want 3: none twice", got)
		}
	})
}

func TestATextThatHasChangedSinceIsToldAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		posts := 0
		w.odd = func(rw http.ResponseWriter, r *http.Request) bool {
			posts++
			return posts == 2 && says(1, 503, "", "later")(rw, r)
		}
		c := w.config()
		c.Text = "{{ len .Alerts }}" + strings.Repeat("告警\n", 1500)
		n := w.notifier(c)
		if _, err := n.Notify(group(t.Context(), "A"), firing("A")); err == nil {
			t.Fatal("no error")
		}
		if _, err := n.Notify(group(t.Context(), "A"), firing("A"), firing("B")); err != nil {
			t.Fatal(err)
		}
		if got := len(w.messages()); got != 4 {
			t.Errorf("%d messages, want one of the first text and three of the second", got)
		}
	})
}

// One message that a bot refuses must not take those down that it shares a post
// with.
func TestWhatIsRefusedTogetherIsToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "feishu")
		c := w.config()
		c.Text = "{{ .CommonLabels.alertname }}"
		n := w.notifier(c)
		empty(t, n, 4)
		bodies := 0
		w.mu.Lock()
		w.odd = func(rw http.ResponseWriter, r *http.Request) bool {
			var b strings.Builder
			buf := make([]byte, 1<<16)
			for {
				k, err := r.Body.Read(buf)
				b.Write(buf[:k])
				if err != nil {
					break
				}
			}
			bodies++
			if strings.Contains(b.String(), "Poison") {
				return says(1, 200, "", `{"code":9499,"msg":"bad"}`)(rw, r)
			}
			return says(1, 200, "", `{"code":0,"msg":"ok"}`)(rw, r)
		}
		w.mu.Unlock()
		results := make(chan error, 3)
		for _, name := range []string{"Good1", "Poison", "Good2"} {
			go func() {
				_, err := n.Notify(group(t.Context(), name), firing(name))
				if (err != nil) != (name == "Poison") {
					t.Errorf("%s: error %v", name, err)
				}
				results <- err
			}()
		}
		for range 3 {
			<-results
		}
		if bodies != 4 {
			t.Errorf("%d posts, want one together and three apart", bodies)
		}
	})
}

func TestURLAndSecretAreReadForEachMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "dingtalk")
		dir := t.TempDir()
		write := func(name, text string) string {
			t.Helper()
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return file
		}
		c := w.config()
		c.URL, c.URLFile, c.SecretFile = "", write("url", address("dingtalk", token)+"\n"), write("secret", "SECold\n")
		n := w.notifier(c)
		w.secret = "SECnew"
		if _, err := n.Notify(group(t.Context(), "A"), firing("A")); err == nil {
			t.Error("the old secret is taken")
		}
		write("secret", "SECnew\n")
		if _, err := n.Notify(group(t.Context(), "A"), firing("A")); err != nil {
			t.Error(err)
		}
		for text, want := range map[string]string{"": "is empty", "not a " + token: "holds no URL"} {
			write("url", text)
			if _, err := n.Notify(group(t.Context(), "A"), firing("A")); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
				t.Errorf("URL %q: error %v, want %q", text, err, want)
			}
		}
		if err := os.Remove(c.URLFile); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Notify(group(t.Context(), "A"), firing("A")); err == nil || !strings.Contains(err.Error(), "url_file") {
			t.Errorf("error %v, want one about url_file", err)
		}
	})
}

func TestMistakesInSettingsAreNamed(t *testing.T) {
	tests := map[string]struct {
		kind   string
		change func(*chatbot.Config)
		key    string
		want   string
	}{
		"no URL":                          {"wecom", func(c *chatbot.Config) { c.URL = "" }, "", "missing"},
		"two URLs":                        {"wecom", func(c *chatbot.Config) { c.URLFile = "x" }, "url_file", "both"},
		"no URL at all":                   {"wecom", func(c *chatbot.Config) { c.URL = commoncfg.Secret(token) }, "url", "is no URL"},
		"a strange scheme":                {"wecom", func(c *chatbot.Config) { c.URL = "ftp://a/b" }, "url", "is no URL"},
		"two secrets":                     {"dingtalk", func(c *chatbot.Config) { c.Secret, c.SecretFile = "x", "y" }, "secret_file", "both"},
		"a secret for WeCom":              {"wecom", func(c *chatbot.Config) { c.Secret = "x" }, "secret", "no secret"},
		"a secret file for WeCom":         {"wecom", func(c *chatbot.Config) { c.SecretFile = "x" }, "secret_file", "no secret"},
		"a language nobody wrote":         {"wecom", func(c *chatbot.Config) { c.Language = "fr" }, "language", `"fr"`},
		"a format nobody knows":           {"feishu", func(c *chatbot.Config) { c.Format = "markdown" }, "format", `"markdown"`},
		"no time at all":                  {"feishu", func(c *chatbot.Config) { c.Timeout = 0 }, "timeout", "above 0"},
		"too much time":                   {"feishu", func(c *chatbot.Config) { c.Timeout = model.Duration(time.Hour) }, "timeout", "1h"},
		"mobiles in Feishu":               {"feishu", func(c *chatbot.Config) { c.Mention.Mobiles = []string{"1"} }, "mention.mobiles", "nobody"},
		"mobiles in WeCom's markdown":     {"wecom", func(c *chatbot.Config) { c.Mention.Mobiles = []string{"1"} }, "mention.mobiles", "markdown"},
		"everybody in WeCom's markdown":   {"wecom", func(c *chatbot.Config) { c.Mention.All = true }, "mention.all", "markdown"},
		"nothing, in WeCom's text format": {"wecom", func(c *chatbot.Config) { c.Mention.All, c.Format = true, "text" }, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := chatbot.Default()
			c.URL = commoncfg.Secret(address(tt.kind, token))
			tt.change(&c)
			got := kindOf(tt.kind).Mistakes(c)
			if tt.want == "" {
				if len(got) > 0 {
					t.Errorf("mistakes %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Key != tt.key || !strings.Contains(got[0].What, tt.want) || strings.Contains(fmt.Sprint(got), token) {
				t.Errorf("mistakes %+v, want one of %q with %q", got, tt.key, tt.want)
			}
		})
	}
}
