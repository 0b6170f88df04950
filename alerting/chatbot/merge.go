package chatbot

import (
	"fmt"
	"slices"
	"strings"
)

const (
	separator = "\n\n---\n\n"
	// patience is how many full messages may be needed for what waits; beyond
	// that, headlines must do. With a message in five seconds it is 15 seconds.
	patience = 3
)

// words are what the texts made here say, in one language.
type words struct {
	many     string // of how many groups of alerts a message is
	firing   string
	resolved string
	cut      string // that a text was cut
}

func wordsOf(language string) words {
	if language == "zh" {
		return words{many: "%d 组告警", firing: "[告警:%d]", resolved: "[已恢复]", cut: "…… 内容过长，已截断"}
	}
	return words{many: "%d groups of alerts", firing: "[FIRING:%d]", resolved: "[RESOLVED]", cut: "… cut, it is too long for the chat"}
}

// take makes the next message and names the entries it is about.
func (b *bot) take() (Message, []*entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return Message{}, nil
	}
	from, short := b.choose()
	for _, e := range from {
		e.posting = true
	}
	first := from[0]
	if len(from) == 1 {
		return first.parts[first.next], from
	}
	integration := first.via.integration
	b.metrics.merged.WithLabelValues(integration).Add(float64(len(from)))
	if short {
		b.metrics.shortened.WithLabelValues(integration).Add(float64(len(from)))
	}
	return join(from, short), from
}

// choose is what the next message is about: the first that waits, and more of
// them if the bucket has too little for each.
func (b *bot) choose() (from []*entry, short bool) {
	first := b.queue[0]
	if first.next > 0 || first.alone || float64(len(b.queue)-1) <= b.bucket.Tokens() {
		return []*entry{first}, false
	}
	limits := first.via.protocol.Limits() // those of all of the same format
	size := 0
	var mates []*entry
	for _, e := range b.queue {
		if e.next == 0 && !e.alone && e.via.integration == first.via.integration && e.via.format == first.via.format {
			mates = append(mates, e)
			size += e.size
		}
	}
	short = size > patience*limits.Bytes
	if !short && len(first.parts) > 1 {
		return []*entry{first}, false
	}
	used, room := 0, limits.Bytes
	if short {
		room -= room / 8 // for the title and the mentions
	}
	for _, e := range mates {
		if !short && len(e.parts) > 1 {
			continue // its turn comes
		}
		size := limits.Size(e.section(short) + separator)
		if len(from) > 0 && used+size > room {
			break
		}
		from, used = append(from, e), used+size
	}
	if len(from) == 1 && short {
		short = false // alone, it need not be short
	}
	return from, short
}

// section is what an entry says in a message with others.
func (e *entry) section(short bool) string {
	switch {
	case short:
		return "- " + e.headline
	case e.via.protocol.Limits().TitleApart:
		return "**" + e.parts[0].Title + "**\n" + e.parts[0].Text
	default:
		return e.parts[0].Text
	}
}

// join is one message about several entries.
func join(from []*entry, short bool) Message {
	limits := from[0].via.protocol.Limits()
	m := Message{Title: fmt.Sprintf(from[0].words.many, len(from))}
	var sections []string
	for _, e := range from {
		all := e.parts[len(e.parts)-1] // the last part has the mentions
		m.Firing = m.Firing || all.Firing
		m.Mentions = m.Mentions.and(all.Mentions)
		sections = append(sections, e.section(short))
	}
	if !short {
		m.Text = strings.Join(sections, separator)
		return m
	}
	if !limits.TitleApart {
		sections = slices.Insert(sections, 0, m.Title+"\n")
	}
	m.Text = strings.Join(sections, "\n")
	mention := from[0].via.protocol.Mention(m.Mentions)
	if all := m.Text + "\n\n" + mention; mention != "" && limits.Size(all) <= limits.Bytes {
		m.Text = all
	}
	return m
}
