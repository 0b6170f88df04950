// Package wecom speaks to webhook bots of WeCom groups, by
// https://developer.work.weixin.qq.com/document/path/91770: 20 messages a
// minute; markdown of 4,096 bytes, text of 2,048; no signature; errors as codes
// with status 200.
package wecom

import (
	"encoding/json"
	"net/url"
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
		Name:    "wecom",
		Formats: []string{markdown, plain},
		New:     func(c chatbot.Config) chatbot.Protocol { return protocol{c.Format} },
		Check: func(c chatbot.Config) (all []chatbot.Mistake) {
			if c.Format != markdown {
				return nil
			}
			const hint = "set format: text, or write ids under mention.users"
			if c.Mention.All {
				all = append(all, chatbot.Mistake{Key: "mention.all", What: "markdown cannot mention everybody", Hint: hint})
			}
			if len(c.Mention.Mobiles) > 0 {
				all = append(all, chatbot.Mistake{Key: "mention.mobiles", What: "markdown cannot mention people by their mobile numbers", Hint: hint})
			}
			return all
		},
	}
}

type protocol struct{ format string }

func (p protocol) Limits() chatbot.Limits {
	l := chatbot.Limits{Bytes: 4096, Size: chatbot.UTF8Size, Burst: 6, Every: 5 * time.Second}
	if p.format == plain {
		l.Bytes = 2048
	}
	return l
}

// Mention is for markdown only; a text has its lists beside it.
func (p protocol) Mention(m chatbot.Mentions) string {
	if p.format == plain {
		return ""
	}
	var list []string
	for _, id := range m.Users {
		list = append(list, "<@"+id+">")
	}
	return strings.Join(list, " ")
}

type body struct {
	Type     string `json:"msgtype"`
	Markdown *note  `json:"markdown,omitempty"`
	Text     *note  `json:"text,omitempty"`
}

type note struct {
	Content string   `json:"content"`
	Users   []string `json:"mentioned_list,omitempty"`
	Mobiles []string `json:"mentioned_mobile_list,omitempty"`
}

func (p protocol) Request(bot url.URL, _ string, _ time.Time, m chatbot.Message) (string, any) {
	if p.format == markdown {
		return bot.String(), body{Type: markdown, Markdown: &note{Content: m.Text}}
	}
	users := m.Mentions.Users
	if m.Mentions.All {
		users = append([]string{"@all"}, users...)
	}
	return bot.String(), body{Type: plain, Text: &note{m.Text, users, m.Mentions.Mobiles}}
}

func (protocol) Answer(text []byte) chatbot.Answer {
	var said struct {
		Code *int   `json:"errcode"`
		Text string `json:"errmsg"`
	}
	if err := json.Unmarshal(text, &said); err != nil || said.Code == nil {
		return chatbot.Answer{}
	}
	a := chatbot.Answer{Code: *said.Code, Text: said.Text, Verdict: chatbot.Refused}
	switch a.Code {
	case 0:
		a.Verdict = chatbot.Taken
	case -1, // the system is busy
		45009, 45033: // too many calls, too many at once
		a.Verdict = chatbot.Busy
	}
	return a
}
