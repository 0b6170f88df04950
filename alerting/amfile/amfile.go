// Package amfile reads an alertmanager.yml that may have chat bots among its
// receivers. Alertmanager refuses keys that it does not know, so those of bots
// are cut out before it sees the file; a file without them reaches it byte for
// byte.
package amfile

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/prometheus/alertmanager/config"
	"go.yaml.in/yaml/v3"

	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
	"github.com/plimsoll-io/plimsoll/alerting/chatbot/dingtalk"
	"github.com/plimsoll-io/plimsoll/alerting/chatbot/feishu"
	"github.com/plimsoll-io/plimsoll/alerting/chatbot/wecom"
	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// suffix makes the key of a list of bots from the name of their kind.
const suffix = "_configs"

// Bot is an item of a list of chat bots.
type Bot struct {
	Kind     chatbot.Kind
	Receiver int // whose it is, as a position in the file
	Index    int // in its list
	Config   chatbot.Config
}

// At is where the bot stands in the file that it was read from.
func (b Bot) At(f place.File) place.Node {
	return f.At("receivers", b.Receiver, b.Kind.Name+suffix, b.Index)
}

// Kinds are the kinds of bots that a receiver may have.
func Kinds() []chatbot.Kind { return []chatbot.Kind{dingtalk.Kind(), feishu.Kind(), wecom.Kind()} }

// Parse reads the content of f. Names of files in it that are relative are those
// of files in dir. It returns all that is wrong with the bots; of the rest, what
// Alertmanager says.
func Parse(f place.File, data []byte, dir string) (*config.Config, []Bot, conf.Problems) {
	stock, bots, problems := Cut(f, data)
	whole := stock == nil
	if whole {
		if len(problems) > 0 {
			return nil, nil, problems
		}
		stock = data
	}
	c, err := config.Load(string(stock))
	switch {
	case err != nil && whole:
		return nil, nil, f.Refused(err)
	case err != nil:
		if len(bots) == 0 && len(problems) == 0 { // it is the file as it stands
			return nil, nil, f.Refused(err)
		}
		return nil, nil, append(refused(f, stock, err), problems...)
	}
	if problems = append(problems, empty(f, c)...); len(problems) > 0 {
		return nil, nil, problems
	}
	resolve(c, dir)
	for i := range bots {
		own := &bots[i].Config
		own.SetDirectory(dir)
		own.HTTPConfig = cmp.Or(own.HTTPConfig, c.Global.HTTPConfig)
	}
	return c, bots, nil
}

// refused places what Alertmanager says about stock, which may have other line
// numbers than f.
func refused(f place.File, stock []byte, err error) conf.Problems {
	g, problems := place.Parse(f.Name, stock)
	if len(problems) > 0 {
		return problems
	}
	problems = g.Refused(err)
	for i, p := range problems {
		problems[i] = f.Moved(p)
	}
	return problems
}

// Cut divides data into what Alertmanager knows and the bots. Without bots,
// stock is nil.
func Cut(f place.File, data []byte) (stock []byte, bots []Bot, problems conf.Problems) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) == 0 {
		return nil, nil, nil // Alertmanager will say so
	}
	receivers := follow(value(doc.Content[0], "receivers"))
	if receivers == nil || receivers.Kind != yaml.SequenceNode {
		return nil, nil, nil
	}
	found := false
	for i, r := range receivers.Content {
		r = follow(r)
		if r.Kind != yaml.MappingNode {
			continue
		}
		for _, kind := range Kinds() {
			key := kind.Name + suffix
			at := f.At("receivers", i, key)
			if merged(r, key) {
				found = true
				problems = append(problems, f.Problem(f.At("receivers", i), "a merge key (<<) brings "+key, "write the list out in this receiver"))
			}
			list := value(r, key)
			if list == nil {
				continue
			}
			found = true
			if again := twice(f.At("receivers", i), key); again.Exists() {
				problems = append(problems, f.OfKey(again, "the key is there twice", "write one list"))
			}
			more, wrong := decodeList(f, at, kind, i, list)
			bots, problems = append(bots, more...), append(problems, wrong...)
		}
	}
	if !found {
		return nil, nil, nil
	}
	for _, r := range receivers.Content {
		remove(follow(r))
	}
	stock, err := encode(&doc)
	if err != nil {
		problems = append(problems, conf.Problem{File: f.Name, What: err.Error(), Hint: "write the file without anchors and tags"})
		return nil, nil, problems
	}
	return stock, bots, problems
}

// twice is where a mapping has a key for the second time, of which only the
// first would be read.
func twice(n place.Node, key string) place.Node {
	seen := false
	for child := range n.Children() {
		if child.Path != n.Path+"."+key {
			continue
		}
		if seen {
			return child
		}
		seen = true
	}
	return place.Node{}
}

// remove takes the bots out of a receiver.
func remove(receiver *yaml.Node) {
	if receiver.Kind != yaml.MappingNode {
		return
	}
	var kept []*yaml.Node
	for pair := range slices.Chunk(receiver.Content, 2) {
		if !slices.ContainsFunc(Kinds(), func(k chatbot.Kind) bool { return k.Name+suffix == pair[0].Value }) {
			kept = append(kept, pair...)
		}
	}
	receiver.Content = kept
}

// encode writes a document, and makes sure that it is what can be read again.
func encode(doc *yaml.Node) ([]byte, error) {
	bare(doc)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	if err := enc.Encode(doc); err != nil {
		return nil, errors.New("the chat bots cannot be told from the rest of the file")
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	var again yaml.Node
	if err := yaml.Unmarshal(out.Bytes(), &again); err != nil || !same(doc, &again) {
		return nil, errors.New("the chat bots cannot be told from the rest of the file")
	}
	return out.Bytes(), nil
}

// bare takes the comments off a tree, and writes blocks of text in quotes: the
// encoder gets some of their indentations wrong.
func bare(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		n.Style = n.Style&yaml.TaggedStyle | yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		bare(child)
	}
}

// same tells whether two trees say the same.
func same(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && a.ShortTag() == b.ShortTag() && a.Anchor == b.Anchor &&
		slices.EqualFunc(a.Content, b.Content, same)
}

// follow is what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// value is what a mapping has at a key, or nil.
func value(n *yaml.Node, key string) *yaml.Node {
	if n = follow(n); n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for pair := range slices.Chunk(n.Content, 2) {
		if pair[0].Value == key {
			return pair[1]
		}
	}
	return nil
}

// merged tells whether a merge key of a mapping brings another key.
func merged(n *yaml.Node, key string) bool {
	from := follow(value(n, "<<"))
	if from == nil {
		return false
	}
	if from.Kind == yaml.SequenceNode {
		return slices.ContainsFunc(from.Content, func(n *yaml.Node) bool { return value(n, key) != nil })
	}
	return value(from, key) != nil
}
