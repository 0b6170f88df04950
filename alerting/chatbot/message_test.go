package chatbot_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
)

// once tells alerts of a group and returns the messages.
func (w *world) once(t *testing.T, c chatbot.Config, name string) []told {
	t.Helper()
	if retry, err := w.notifier(c).Notify(group(t.Context(), name), firing(name)); err != nil {
		t.Fatalf("retry %v, error %v", retry, err)
	}
	return w.messages()
}

func TestSignedMessagesAreTaken(t *testing.T) {
	for _, kind := range []string{"dingtalk", "feishu"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kind)
				w.secret = secret
				c := w.config()
				c.Secret = secret
				if got := w.once(t, c, "Signed"); len(got) != 1 {
					t.Errorf("%d messages, want 1", len(got))
				}
				c.Secret += "x"
				retry, err := w.notifier(c).Notify(group(t.Context(), "Wrong"), firing("Wrong"))
				if err == nil || retry || !strings.Contains(err.Error(), map[string]string{"dingtalk": "310000", "feishu": "19021"}[kind]) {
					t.Errorf("retry %v, error %v, want the code of a wrong signature, once", retry, err)
				}
			})
		})
	}
}

// Alertmanager's own webhook reads what templates give as YAML.
func TestTextsStayTexts(t *testing.T) {
	texts := []string{"### [x]\n- y", "0123", "yes", "a: b", "null", "[FIRING:1] x", "{}", "1e3", "~", `"quoted"`, "<b>&amp;</b>"}
	for _, kind := range []string{"dingtalk", "feishu", "wecom"} {
		for _, format := range kindOf(kind).Formats {
			t.Run(kind+" "+format, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, kind)
					for i, text := range texts[:5] {
						c := w.config()
						c.Format, c.Title, c.Text = format, text, text
						got := w.once(t, c, "T")[i]
						if got.text != text || got.title != "" && got.title != strings.Join(strings.Fields(text), " ") {
							t.Errorf("title %q, text %q, want %q", got.title, got.text, text)
						}
					}
				})
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, kind)
					for i, text := range texts[5:] {
						c := w.config()
						c.Format, c.Text = format, text
						if got := w.once(t, c, "T")[i]; got.text != text {
							t.Errorf("text %q, want %q", got.text, text)
						}
					}
				})
			})
		}
	}
}

func TestALongTextBecomesSeveralMessagesOfWholeCharacters(t *testing.T) {
	line := strings.Repeat("容器内存接近上限，", 20) + "\n"
	text := strings.Repeat(line, 20) // 10.8 kB of UTF-8
	for kind, limit := range map[string]int{"wecom": 4096, "dingtalk": 20_000, "feishu": 20_000} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kind)
				c := w.config()
				c.Text, c.Mention.Users = text, []string{"li"}
				if kind != "wecom" {
					c.Text = strings.Repeat(text, 4)
				}
				got := w.once(t, c, "Long")
				if len(got) < 2 {
					t.Fatalf("%d messages, want several", len(got))
				}
				var all strings.Builder
				for i, m := range got {
					if !utf8.ValidString(m.text) || len(m.text) > limit || strings.ContainsRune(m.text, utf8.RuneError) {
						t.Errorf("part of %d bytes, limit %d: %q", len(m.text), limit, m.text)
					}
					part := m.text
					if kind == "wecom" {
						_, part, _ = strings.Cut(part, "\n")
					}
					if mentioned := strings.Contains(part, "li"); mentioned != (i == len(got)-1) {
						t.Errorf("part %d mentions: %v", i, mentioned)
					}
					all.WriteString(part + "\n")
				}
				if got := strings.Count(all.String(), "上限"); got != strings.Count(c.Text, "上限") {
					t.Errorf("%d of %d words arrived", got, strings.Count(c.Text, "上限"))
				}
			})
		})
	}
}

func TestAnEndlessTextIsCutAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		c := w.config()
		c.Text = strings.Repeat("告警", 100_000)
		got := w.once(t, c, "Endless")
		if len(got) != 6 || !strings.HasSuffix(got[5].text, "… cut, it is too long for the chat") || !strings.HasPrefix(got[5].text, "(6/6)\n") {
			t.Errorf("%d messages, the last ends in %q", len(got), got[len(got)-1].text[len(got[len(got)-1].text)-60:])
		}
		if w.metric("cut_total") != 1 {
			t.Errorf("%v counted as cut", w.metric("cut_total"))
		}
	})
}

func TestACutTextStillMentions(t *testing.T) {
	room := 4096 - len("… cut, it is too long for the chat") - 8 // for a part in WeCom
	long := strings.Repeat("告警\n", 100_000)
	for name, tt := range map[string]struct {
		kind, text string
		people     []string
	}{
		"all in one line":               {"wecom", strings.Repeat("告警", 100_000), []string{"oncall"}},
		"in lines":                      {"dingtalk", long, []string{"oncall"}},
		"in a card":                     {"feishu", long, []string{"oncall"}},
		"too long by its mention alone": {"wecom", strings.Repeat("a", 6*room-5), []string{"oncall"}},
		"and many people":               {"wecom", strings.Repeat("a", 5*room+1500), names(200)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kind := tt.kind
				w := newWorld(t, kind)
				c := w.config()
				c.Text, c.Mention.Users = tt.text, tt.people
				got := w.once(t, c, "Endless")
				mention := kindOf(kind).New(kindOf(kind).Complete(c)).Mention(chatbot.Mentions{Users: tt.people})
				if last := got[len(got)-1].text; len(got) != 6 || !strings.HasSuffix(last, "… cut, it is too long for the chat\n\n"+mention) || strings.Count(last, tt.people[0]) != 1 {
					t.Errorf("%d messages, the last ends in %q", len(got), last[len(last)-80:])
				}
			})
		})
	}
}

func TestMorePeopleThanFitDoNotKeepATextFromBeingTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		c := w.config()
		c.Text, c.Mention.Users = strings.Repeat("告警", 100_000), names(1000)
		if got := w.once(t, c, "Endless"); len(got) != 6 {
			t.Errorf("%d messages, want 6", len(got))
		}
	})
}

func TestACardIsRedWhileSomethingFiresAndGreenAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "feishu")
		c := w.config()
		c.Mention = chatbot.Mention{All: true, Users: []string{"ou_1,ou_2", "all ou_3></at><at", "@all"}}
		n := w.notifier(c)
		if _, err := n.Notify(group(t.Context(), "A"), firing("A")); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Notify(group(t.Context(), "A"), resolved("A")); err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct{ colour, title string }{{"red", "[FIRING:1] A"}, {"green", "[RESOLVED] A"}} {
			m := w.messages()[i]
			header := m.raw["card"].(map[string]any)["header"].(map[string]any)
			if header["template"] != want.colour || m.title != want.title {
				t.Errorf("a %v card %q, want %+v", header["template"], m.title, want)
			}
			mention := "<at id=all></at> <at id=ou_1></at> <at id=ou_2></at>"
			if got := strings.Contains(m.text, mention); got != (i == 0) {
				t.Errorf("mention in %q: %v", m.text, got)
			}
		}
	})
}

func TestMentionsAreWhereThePlatformLooksForThem(t *testing.T) {
	mention := chatbot.Mention{All: true, Users: []string{"{{ .CommonLabels.node }}", "{{ .CommonLabels.owner }}"}, Mobiles: []string{"13800000000"}}
	tests := map[string]struct {
		kind, format string
		mention      chatbot.Mention
		want         func(m told) bool
	}{
		"dingtalk": {"dingtalk", "", mention, func(m told) bool {
			at := m.raw["at"].(map[string]any)
			return at["isAtAll"] == true && at["atMobiles"].([]any)[0] == "13800000000" && at["atUserIds"].([]any)[0] == "n1" &&
				len(at["atUserIds"].([]any)) == 1 && strings.HasSuffix(m.text, "@13800000000 @n1")
		}},
		"wecom text": {"wecom", "text", mention, func(m told) bool {
			text := m.raw["text"].(map[string]any)
			users := text["mentioned_list"].([]any)
			return users[0] == "@all" && users[1] == "n1" && text["mentioned_mobile_list"].([]any)[0] == "13800000000"
		}},
		"wecom markdown": {"wecom", "", chatbot.Mention{Users: mention.Users}, func(m told) bool { return strings.HasSuffix(m.text, "\n\n<@n1>") }},
		"feishu text":    {"feishu", "text", chatbot.Mention{All: true}, func(m told) bool { return strings.HasSuffix(m.text, `<at user_id="all"></at>`) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.kind)
				c := w.config()
				c.Format, c.Mention = tt.format, tt.mention
				if m := w.once(t, c, "A")[0]; !tt.want(m) {
					t.Errorf("message %v", m.raw)
				}
			})
		})
	}
}

func TestTheDefaultTextsSayWhatMatters(t *testing.T) {
	for _, kind := range []string{"dingtalk", "feishu", "wecom"} {
		for _, format := range kindOf(kind).Formats {
			for language, words := range map[string][]string{"en": {"FIRING", "NearLimit"}, "zh": {"告警", "NearLimit"}} {
				t.Run(kind+" "+format+" "+language, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, kind)
						c := w.config()
						c.Format, c.Language = format, language
						n := w.notifier(c)
						evil := firing("NearLimit")
						const tag = "<at id=all></at> <@all> 5 < 6"
						evil.Annotations["summary"] = tag
						for _, name := range []model.LabelName{"container", "severity", "alertname", tag} {
							evil.Labels[name] += " " + tag
						}
						ended := resolved("Ended")
						if _, err := n.Notify(group(t.Context(), "NearLimit"), evil, ended); err != nil {
							t.Fatal(err)
						}
						m := w.messages()[0]
						all := m.title + "\n" + m.text
						for _, want := range append(words, "node=n1", "critical", "5 < 6", "Ended", "http://plimsoll.example:9900/#/alerts?receiver=team") {
							if !strings.Contains(all, want) {
								t.Errorf("%q is not in %q", want, all)
							}
						}
						if !strings.Contains(all, "‹at id=all>") {
							t.Errorf("values are not in %q", all)
						}
						if strings.Contains(all, "<at") || strings.Contains(all, "<@") {
							t.Errorf("a value rings phones: %q", all)
						}
						t.Log(all)
					})
				})
			}
		}
	}
}

func TestANameInAHeadlineRingsNoPhone(t *testing.T) {
	for _, name := range []string{"the default title", "no title", "no group"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "feishu")
				c := w.config()
				c.Text = "x"
				if name == "no title" {
					c.Title = `{{ "" }}`
				}
				ctx := group(t.Context(), "<at id=all></at>")
				if name == "no group" {
					ctx = notify.WithGroupLabels(ctx, nil)
				}
				if _, err := w.notifier(c).Notify(ctx, firing("<at id=all></at>")); err != nil {
					t.Fatal(err)
				}
				if got := w.messages()[0].title; !strings.Contains(got, "‹at id=all>") || strings.Contains(got, "<at") || strings.Contains(got, "</at") {
					t.Errorf("title %q", got)
				}
			})
		})
	}
}

func TestABrokenTemplateIsAnErrorAndNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		c := w.config()
		c.Text = `{{ template "no.such" . }}`
		retry, err := w.notifier(c).Notify(group(t.Context(), "A"), firing("A"))
		if err == nil || retry || w.count() != 0 {
			t.Errorf("retry %v, error %v, %d posts", retry, err, w.count())
		}
	})
}
