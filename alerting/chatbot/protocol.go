package chatbot

import (
	"net/url"
	"slices"
	"time"
)

// Message is what a bot is told at once.
type Message struct {
	Title    string
	Text     string // in the markup of the protocol
	Firing   bool   // whether something in it still fires
	Mentions Mentions
}

// Mentions are people whose phones shall ring.
type Mentions struct {
	All     bool
	Users   []string // by the ids of the platform
	Mobiles []string
}

func (m Mentions) empty() bool { return !m.All && len(m.Users) == 0 && len(m.Mobiles) == 0 }

// and is everybody in either, each once.
func (m Mentions) and(more Mentions) Mentions {
	union := func(a, b []string) []string {
		list := slices.Concat(a, b)
		slices.Sort(list)
		return slices.Compact(list)
	}
	return Mentions{
		All:     m.All || more.All,
		Users:   union(m.Users, more.Users),
		Mobiles: union(m.Mobiles, more.Mobiles),
	}
}

// Limits are what a bot takes.
type Limits struct {
	Bytes int              // of a text
	Size  func(string) int // how many of them a text has; the sum of those of its characters
	// Burst messages at once and one more after each Every: at most
	// Burst + 60 s / Every in any minute.
	Burst int
	Every time.Duration
	// TitleApart tells that the title is shown with the text. Where it is not,
	// the text must say everything.
	TitleApart bool
}

// A Protocol is how one kind of bot is spoken to. Its methods may be called
// concurrently and do no I/O.
type Protocol interface {
	// Limits are always the same.
	Limits() Limits
	// Mention is the markup that makes the bot mention people, or "".
	Mention(m Mentions) string
	// Request is where to post a message and what, as a value for JSON; signed
	// if there is a secret.
	Request(bot url.URL, secret string, at time.Time, m Message) (target string, body any)
	// Answer reads what the bot said with a 2xx status.
	Answer(body []byte) Answer
}

// Answer is what a bot says to a message.
type Answer struct {
	Verdict Verdict
	Code    int           // as the platform numbers it
	Text    string        // as the platform says it
	Wait    time.Duration // before the next message, if it says so; else 0
}

// Verdict is what an answer means.
type Verdict uint8

// Verdicts.
const (
	Unknown Verdict = iota // the answer cannot be understood
	Taken
	Busy    // too many messages, or out of order for a moment: later
	Refused // the same message again would not help
)

func (v Verdict) String() string {
	switch v {
	case Taken:
		return "taken"
	case Busy:
		return "busy"
	case Refused:
		return "refused"
	default:
		return "unknown"
	}
}
