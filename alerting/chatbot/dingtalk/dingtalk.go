// Package dingtalk speaks to custom robots of DingTalk groups, by
// https://open.dingtalk.com/document/orgapp/custom-robot-access: 20 messages a
// minute, or none for ten minutes; signed by parameters of the URL; errors as
// codes with status 200.
package dingtalk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
)

const (
	markdown = "markdown"
	plain    = "text"
)

// Kind is this kind of bot.
func Kind() chatbot.Kind {
	return chatbot.Kind{
		Name:    "dingtalk",
		Formats: []string{markdown, plain},
		Signed:  true,
		New:     func(c chatbot.Config) chatbot.Protocol { return protocol{c.Format} },
	}
}

type protocol struct{ format string }

// Limits leave 1,000 of 15,000 bytes to what is around the text. That is the
// least that DingTalk names for messages of any of its robots.
func (protocol) Limits() chatbot.Limits {
	return chatbot.Limits{Bytes: 14_000, Size: chatbot.JSONSize, Burst: 6, Every: 5 * time.Second}
}

// Mention names people in the text, without which at rings no phone.
func (protocol) Mention(m chatbot.Mentions) string {
	var list []string
	for _, name := range slices.Concat(m.Mobiles, m.Users) {
		list = append(list, "@"+name)
	}
	return strings.Join(list, " ")
}

type body struct {
	Type     string `json:"msgtype"`
	Markdown *page  `json:"markdown,omitempty"`
	Text     *note  `json:"text,omitempty"`
	At       at     `json:"at"`
}

type page struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

type note struct {
	Content string `json:"content"`
}

type at struct {
	Mobiles []string `json:"atMobiles,omitempty"`
	Users   []string `json:"atUserIds,omitempty"`
	All     bool     `json:"isAtAll"`
}

func (p protocol) Request(bot url.URL, secret string, now time.Time, m chatbot.Message) (string, any) {
	if secret != "" {
		q := bot.Query()
		stamp := strconv.FormatInt(now.UnixMilli(), 10)
		q.Set("timestamp", stamp)
		q.Set("sign", sign(secret, stamp))
		bot.RawQuery = q.Encode()
	}
	b := body{Type: p.format, At: at{m.Mentions.Mobiles, m.Mentions.Users, m.Mentions.All}}
	if p.format == plain {
		b.Text = &note{m.Text}
	} else {
		b.Markdown = &page{m.Title, m.Text}
	}
	return bot.String(), b
}

// sign is the base64 of the HMAC-SHA256, keyed by the secret, of the time in
// milliseconds, a line feed and the secret.
func sign(secret, stamp string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "\n" + secret))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (protocol) Answer(text []byte) chatbot.Answer {
	var said struct {
		Code *int    `json:"errcode"`
		Text string  `json:"errmsg"`
		Wait float64 `json:"wait"` // seconds; some refusals of the gateway have it
	}
	if err := json.Unmarshal(text, &said); err != nil || said.Code == nil {
		return chatbot.Answer{}
	}
	a := chatbot.Answer{Code: *said.Code, Text: said.Text, Verdict: chatbot.Refused}
	switch a.Code {
	case 0:
		a.Verdict = chatbot.Taken
	case -1, // the system is busy
		130101, 410100: // sent too fast
		a.Verdict = chatbot.Busy
		a.Wait = time.Duration(min(max(said.Wait, 0), 600) * float64(time.Second))
	}
	return a
}
