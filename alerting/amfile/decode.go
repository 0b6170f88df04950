package amfile

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// decodeList reads the bots of one kind of a receiver. at is the place of the
// list.
func decodeList(f place.File, at place.Node, kind chatbot.Kind, receiver int, list *yaml.Node) ([]Bot, conf.Problems) {
	list = follow(list)
	if list.Kind != yaml.SequenceNode {
		if list.ShortTag() == "!!null" {
			return nil, nil // an empty list, as for Alertmanager
		}
		return nil, conf.Problems{f.Problem(at, "must be a list", "put a dash (-) before each bot")}
	}
	var bots []Bot
	var problems conf.Problems
	for i, n := range list.Content {
		c := chatbot.Default()
		item := at.At(i)
		if follow(n).Kind != yaml.MappingNode {
			problems = append(problems, f.Problem(item, "must be a mapping with the settings of a bot", "set at least url_file"))
			continue
		}
		wrong := unknown(f, item, n, reflect.TypeOf(c))
		if err := n.Decode(&c); err != nil {
			wrong = append(wrong, refusedIn(f, item, err)...)
		}
		if len(wrong) == 0 {
			for _, m := range kind.Mistakes(c) {
				wrong = append(wrong, placed(f, item, m))
			}
		}
		problems = append(problems, wrong...)
		bots = append(bots, Bot{kind, receiver, i, c})
	}
	return bots, problems
}

// placed gives a mistake its place in the file.
func placed(f place.File, item place.Node, m chatbot.Mistake) conf.Problem {
	at := item
	for key := range strings.SplitSeq(m.Key, ".") {
		if next := at.At(key); next.Exists() {
			at = next
		}
	}
	return f.Problem(at, m.What, m.Hint)
}

// refusedIn places what the decoder says about an item.
func refusedIn(f place.File, item place.Node, err error) conf.Problems {
	if !strings.Contains(err.Error(), "line ") {
		return conf.Problems{f.Problem(item, strings.TrimPrefix(err.Error(), "yaml: "), "")}
	}
	return f.Refused(err)
}

// unknown finds the keys below n that a value of type t does not have, which
// the decoder passes over.
func unknown(f place.File, at place.Node, n *yaml.Node, t reflect.Type) (problems conf.Problems) {
	n = follow(n)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind != yaml.MappingNode || t.Kind() != reflect.Struct {
		return nil
	}
	keys, open := fields(t)
	if open {
		return nil
	}
	for pair := range slices.Chunk(n.Content, 2) {
		name := pair[0].Value
		if field, ok := keys[name]; ok {
			problems = append(problems, unknown(f, at.At(name), pair[1], field)...)
			continue
		}
		if name == "<<" {
			continue // what it brings is looked at where it stands
		}
		hint := "remove it"
		if near := conf.Nearest(name, slices.Sorted(maps.Keys(keys))); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		problems = append(problems, f.OfKey(at.At(name), "unknown key", hint))
	}
	return problems
}

// fields are the YAML keys of a struct and the types behind them. It is open if
// it takes any key.
func fields(t reflect.Type) (keys map[string]reflect.Type, open bool) {
	keys = map[string]reflect.Type{}
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		inline := options == "inline"
		switch {
		case inline && field.Type.Kind() == reflect.Map:
			return nil, true
		case inline:
			more, all := fields(field.Type)
			if all {
				return nil, true
			}
			maps.Copy(keys, more)
		case field.IsExported() && name != "" && name != "-":
			keys[name] = field.Type
		}
	}
	return keys, false
}
