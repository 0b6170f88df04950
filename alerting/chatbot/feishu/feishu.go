// Package feishu speaks to custom bots of Feishu and Lark groups, by
// https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot: 100
// messages a minute and 5 a second; 20 KB a request; signed in the body; errors
// as codes with status 200.
package feishu

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
)

const (
	card  = "card"
	plain = "text"
)

// Kind is this kind of bot.
func Kind() chatbot.Kind {
	return chatbot.Kind{
		Name:    "feishu",
		Formats: []string{card, plain},
		Signed:  true,
		New:     func(c chatbot.Config) chatbot.Protocol { return protocol{c.Format} },
		Check: func(c chatbot.Config) []chatbot.Mistake {
			if len(c.Mention.Mobiles) == 0 {
				return nil
			}
			return []chatbot.Mistake{{Key: "mention.mobiles", What: "a Feishu bot knows nobody by a mobile number", Hint: "write open_ids under mention.users"}}
		},
	}
}

type protocol struct{ format string }

// Limits leave 2,000 of 20,000 bytes to what is around the text, and never
// allow more than 5 messages in a second or 64 in a minute.
func (p protocol) Limits() chatbot.Limits {
	return chatbot.Limits{Bytes: 18_000, Size: chatbot.JSONSize, Burst: 4, Every: time.Second, TitleApart: p.format == card}
}

func (p protocol) Mention(m chatbot.Mentions) string {
	tag := func(id string) string {
		if p.format == plain {
			return `<at user_id="` + id + `"></at>`
		}
		return "<at id=" + id + "></at>"
	}
	var list []string
	if m.All {
		list = append(list, tag("all"))
	}
	for _, id := range m.Users {
		list = append(list, tag(id))
	}
	return strings.Join(list, " ")
}

type body struct {
	Stamp   string   `json:"timestamp,omitempty"`
	Sign    string   `json:"sign,omitempty"`
	Type    string   `json:"msg_type"`
	Card    *message `json:"card,omitempty"`
	Content *note    `json:"content,omitempty"`
}

type note struct {
	Text string `json:"text"`
}

type message struct {
	Config   config    `json:"config"`
	Header   header    `json:"header"`
	Elements []content `json:"elements"`
}

type config struct {
	Wide bool `json:"wide_screen_mode"`
}

type header struct {
	Template string  `json:"template"` // the colour
	Title    content `json:"title"`
}

type content struct {
	Tag     string `json:"tag"`
	Content string `json:"content"`
}

func (p protocol) Request(bot url.URL, secret string, now time.Time, m chatbot.Message) (string, any) {
	b := body{Type: "text", Content: &note{m.Text}}
	if p.format == card {
		colour := "green"
		if m.Firing {
			colour = "red"
		}
		b = body{Type: "interactive", Card: &message{
			Config:   config{Wide: true},
			Header:   header{Template: colour, Title: content{"plain_text", m.Title}},
			Elements: []content{{"markdown", m.Text}},
		}}
	}
	if secret != "" {
		b.Stamp = strconv.FormatInt(now.Unix(), 10)
		b.Sign = sign(secret, b.Stamp)
	}
	return bot.String(), b
}

// sign is the base64 of the HMAC-SHA256 of nothing, keyed by the time in
// seconds, a line feed and the secret.
func sign(secret, stamp string) string {
	return base64.StdEncoding.EncodeToString(hmac.New(sha256.New, []byte(stamp+"\n"+secret)).Sum(nil))
}

func (protocol) Answer(text []byte) chatbot.Answer {
	var said struct {
		Code *int   `json:"code"`
		Text string `json:"msg"`
		// What bots of the first version say.
		OldCode *int   `json:"StatusCode"`
		OldText string `json:"StatusMessage"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return chatbot.Answer{}
	}
	if said.Code == nil {
		said.Code, said.Text = said.OldCode, said.OldText
	}
	if said.Code == nil {
		return chatbot.Answer{}
	}
	a := chatbot.Answer{Code: *said.Code, Text: said.Text, Verdict: chatbot.Refused}
	switch {
	case a.Code == 0:
		a.Verdict = chatbot.Taken
	case a.Code == 11232, a.Code == 11233, a.Code == 99991400, // too many messages
		// The code of any bad request, which some gateways say of too many.
		a.Code == 9499 && strings.Contains(strings.ToLower(a.Text), "too many"):
		a.Verdict = chatbot.Busy
	}
	return a
}
