package chatbot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	commoncfg "github.com/prometheus/common/config"
)

const (
	// maxParts bounds the messages that one notification takes.
	maxParts = 6
	// maxTitle and maxHeadline are in bytes.
	maxTitle    = 240
	maxHeadline = 300
	// maxNames is how many names of alerts a headline has.
	maxNames = 10
	// numbering is room for " (1/6)" or "(1/6)\n".
	numbering = 8
)

// person matches what may be mentioned. A name often comes from a label, which
// must neither end the tag that it is put into nor mean everybody.
var person = regexp.MustCompile(`^[A-Za-z0-9_@.+-]+$`)

// Notifier tells alerts to a bot.
type Notifier struct {
	kind   Kind
	conf   Config
	hub    *Hub
	tmpl   *template.Template
	log    *slog.Logger
	client *http.Client
	proto  Protocol
	id     string // of the integration, among all of a configuration
}

var _ notify.Notifier = (*Notifier)(nil)

// New makes a notifier for a Config without mistakes. id names the integration
// among all, and is the same after a reload.
func New(kind Kind, conf Config, id string, hub *Hub, tmpl *template.Template, log *slog.Logger) (*Notifier, error) {
	client, err := commoncfg.NewClientFromConfig(*cmp.Or(conf.HTTPConfig, &commoncfg.DefaultHTTPClientConfig), kind.Name, hub.http...)
	if err != nil {
		return nil, err
	}
	// Whoever is redirected to would get the messages, and the URL as referrer.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	conf = kind.Complete(conf)
	hub.metrics.show(kind.Name)
	return &Notifier{
		kind: kind, conf: conf, hub: hub, tmpl: tmpl, log: log, client: client,
		proto: kind.New(conf), id: kind.Name + "/" + id,
	}, nil
}

// Notify implements notify.Notifier. It returns when the bot has taken all of
// the message.
func (n *Notifier) Notify(ctx context.Context, alerts ...*alert.Alert) (retry bool, err error) {
	data := notify.GetTemplateData(ctx, n.tmpl, alerts, n.log)
	m, err := n.render(data)
	if err != nil {
		return false, err
	}
	at, secret, err := n.conf.target()
	if err != nil {
		return false, err
	}
	w := wordsOf(n.conf.Language)
	about := truncate(headline(data, w), maxHeadline, UTF8Size)
	m.Title = cmp.Or(m.Title, about)
	e := &entry{
		sum:      sum(m, alerts),
		parts:    n.divide(m, w),
		headline: about,
		words:    w,
		via: &channel{
			integration: n.kind.Name, format: n.conf.Format, protocol: n.proto, client: n.client,
			timeout: time.Duration(n.conf.Timeout), url: at, secret: secret,
		},
		done: make(chan result, 1),
	}
	for _, part := range e.parts {
		e.size += n.proto.Limits().Size(part.Text)
	}
	if group, ok := notify.GroupKey(ctx); ok {
		e.key = n.id + "/" + group
	}
	return n.hub.tell(ctx, e)
}

// render makes the message of all templates.
func (n *Notifier) render(data *template.Data) (Message, error) {
	var err error
	text := notify.TmplText(n.tmpl, data, &err)
	m := Message{
		// A title is one line.
		Title:  truncate(strings.Join(strings.Fields(text(n.conf.Title)), " "), maxTitle, UTF8Size),
		Text:   strings.ToValidUTF8(text(n.conf.Text), "\uFFFD"),
		Firing: len(data.Alerts.Firing()) > 0,
	}
	names := func(templates []string) (list []string) {
		for _, t := range templates {
			for _, name := range strings.FieldsFunc(text(t), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
				if person.MatchString(name) && strings.TrimPrefix(name, "@") != "all" {
					list = append(list, name)
				}
			}
		}
		return list
	}
	if m.Firing {
		m.Mentions = Mentions{All: n.conf.Mention.All, Users: names(n.conf.Mention.Users), Mobiles: names(n.conf.Mention.Mobiles)}
	}
	if err != nil {
		return Message{}, fmt.Errorf("render message: %w", err)
	}
	m.Title = strings.ToValidUTF8(m.Title, "\uFFFD")
	return m, nil
}

// divide makes the messages that a text needs. The mentions are in the last.
func (n *Notifier) divide(m Message, w words) []Message {
	limits := n.proto.Limits()
	tail := ""
	if !m.Mentions.empty() {
		if mention := n.proto.Mention(m.Mentions); mention != "" {
			tail = "\n\n" + mention
		}
	}
	texts := split(m.Text+tail, limits.Bytes, limits.Size)
	room := limits.Bytes - limits.Size(w.cut) - numbering
	if len(texts) > 1 {
		texts = split(m.Text+tail, room, limits.Size)
	}
	if len(texts) > maxParts {
		n.hub.metrics.cut.WithLabelValues(n.kind.Name).Inc()
		texts = texts[:maxParts]
		last := &texts[maxParts-1]
		if room -= limits.Size(tail); room > 0 { // else they are more people than fit
			*last = split(*last, room, limits.Size)[0]
		} else {
			tail = ""
		}
		*last += "\n" + w.cut + tail
	}
	parts := make([]Message, len(texts))
	for i, text := range texts {
		parts[i] = Message{Title: m.Title, Text: text, Firing: m.Firing}
		if len(texts) == 1 {
			continue
		}
		number := fmt.Sprintf("(%d/%d)", i+1, len(texts))
		parts[i].Title += " " + number
		if !limits.TitleApart {
			parts[i].Text = number + "\n" + text
		}
	}
	parts[len(parts)-1].Mentions = m.Mentions
	return parts
}

// tag matches the beginning of what looks like one. In a chat, <at id=all> and
// its like make every phone ring.
var tag = regexp.MustCompile(`<([/@a-zA-Z])`)

// headline says what alerts are about without a template, so that a name is
// never missing.
func headline(data *template.Data, w words) string {
	names := map[string]bool{}
	for _, a := range data.Alerts {
		names[a.Labels["alertname"]] = true
	}
	list := slices.Sorted(maps.Keys(names))
	if more := len(list) - maxNames; more > 0 {
		list = append(list[:maxNames], fmt.Sprintf("+%d", more))
	}
	text := w.resolved
	if firing := len(data.Alerts.Firing()); firing > 0 {
		text = fmt.Sprintf(w.firing, firing)
	}
	text += " " + strings.Join(list, ", ")
	for _, pair := range data.GroupLabels.SortedPairs() {
		if pair.Name != "alertname" {
			text += " " + pair.Name + "=" + pair.Value
		}
	}
	return tag.ReplaceAllString(strings.Join(strings.Fields(text), " "), "‹$1")
}

// sum tells one message from another, and from one with the same words about
// another time.
func sum(m Message, alerts []*alert.Alert) [sha256.Size]byte {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(m) // strings and booleans
	for _, a := range alerts {
		fmt.Fprintf(h, "%s %d %v\n", a.Fingerprint(), a.StartsAt.UnixNano(), a.Resolved())
	}
	return [sha256.Size]byte(h.Sum(nil))
}
