// Package chatbot tells group chats through their webhook bots: DingTalk, Feishu
// and WeCom, a package each below this one. What they have in common is here.
//
//	Notifier ── render ── Hub ── bot ── wait, merge or split ── post ── answer
//
// All three answer "200 OK" to what they refuse and say so in the body; allow
// about 20 messages a minute, and DingTalk then takes none for ten; and limit
// the bytes of a message. So a bot, which is one URL whoever uses it, has a
// bucket of messages that outlives reloads, and a queue. While the bucket has
// enough for all that waits, each notification is a message of its own; else
// those that wait go out together, and if even that were too much, by their
// headlines. A text that is too long becomes several messages, divided between
// lines if possible and never inside a character.
//
// Nothing is told as delivered before the bot has taken it: Notify waits as
// long as its context lets it, and what it gives up is not sent later. If a part
// of a long text is out by then, the next try goes on after it.
//
// The URL and the secret of a bot are read for each message, and are in no
// error and no log line.
package chatbot
