package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// LabelPrefix is what the labels of a policy begin with. The rest of a label is
// the way to a key of the file, with dots: plimsoll.scale.in.window=10m. An item
// of a list is named by its position, from 0, or by its name if it has one:
// plimsoll.scale.signals.cpu.target=60%. A list or mapping as a whole is written
// as in the file: plimsoll.scale.in.rate=[{replicas: 1, per: 60s}].
const LabelPrefix = "plimsoll.scale."

// maxLabels is how many labels a policy may have.
const maxLabels = 500

// Labelled is what the labels of a workload say.
type Labelled struct {
	App App // not to be used with Problems
	// Problems are mistakes, Warnings what is hardly meant. The path of each is the
	// label.
	Problems, Warnings conf.Problems
}

// FromLabels reads the policy in the labels of a workload: what a file with the
// same keys would give. Its name is the workload's unless a label says otherwise.
// Without any label of a policy it returns nil.
func FromLabels(t Target, labels map[string]string, opts Options) *Labelled {
	r := labelReader{file: "labels of " + t.String(), paths: map[string]string{}}
	r.own(labels)
	r.aliyun(labels)
	switch {
	case len(r.problems) > 0:
		return &Labelled{Problems: r.problems}
	case len(r.pairs) == 0:
		return nil
	}
	r.preset("name", nameOf(t))
	r.preset("target.driver", t.Driver)
	for _, key := range targetKeys {
		if value := *t.value(key); value != "" {
			r.preset("target."+key, value)
		}
	}
	r.pairs = append(r.pairs, conf.Pair{Name: "version", Steps: []any{"version"}, Value: Version})
	doc, problems := conf.FromPairs(r.file, r.pairs)
	if len(problems) > 0 {
		return &Labelled{Problems: r.labelled(problems)}
	}
	f, problems := Load(doc, opts)
	if f == nil {
		return &Labelled{Problems: r.labelled(problems)}
	}
	return &Labelled{App: f.Apps[0], Warnings: r.labelled(f.Warnings)}
}

// labelled puts problems under the labels that they are about.
func (r *labelReader) labelled(problems conf.Problems) conf.Problems {
	for i, p := range problems {
		problems[i] = r.label(p)
	}
	return problems
}

// nameOf is how a policy without a name is called.
func nameOf(t Target) string {
	_, name, _ := strings.Cut(t.String(), "/")
	return strings.ReplaceAll(name, "/", "-")
}

// labelReader turns labels into the pairs of a file.
type labelReader struct {
	file     string
	pairs    []conf.Pair
	paths    map[string]string // the path of a pair, and those above it → label
	problems conf.Problems
}

func (r *labelReader) fail(label, what, hint string) {
	r.problems = append(r.problems, conf.Problem{File: r.file, Path: label, What: what, Hint: hint})
}

// add notes that a label says what is at the steps.
func (r *labelReader) add(label, value string, flow bool, steps ...any) {
	r.pairs = append(r.pairs, conf.Pair{Name: label, Steps: append([]any{"apps", 0}, steps...), Value: strings.TrimSpace(value), Flow: flow})
	r.paths[pathOf(steps)] = label
}

// preset adds a value where no label gives one, nor a part of it.
func (r *labelReader) preset(path, value string) {
	for _, p := range r.pairs {
		if given := pathOf(p.Steps[2:]); given == path || strings.HasPrefix(given, path+".") || strings.HasPrefix(given, path+"[") || p.Flow && within(p.Value, given, path) {
			return
		}
	}
	var steps []any
	for _, key := range strings.Split(path, ".") {
		steps = append(steps, key)
	}
	r.pairs = append(r.pairs, conf.Pair{Name: path, Steps: append([]any{"apps", 0}, steps...), Value: value, Flow: strings.HasPrefix(value, "[")})
}

// within tells whether a mapping as a whole, which is what is at given, has a value
// for path.
func within(mapping, given, path string) bool {
	rest, below := strings.CutPrefix(path, given+".")
	if !below {
		return false
	}
	doc, err := conf.Parse("", []byte("v: "+mapping))
	return err == nil && doc.Has("v."+rest)
}

// pathOf writes steps as conf does: "signals[0].target".
func pathOf(steps []any) string {
	var b strings.Builder
	for _, step := range steps {
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		case string:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(step)
		}
	}
	return b.String()
}

// label puts a problem under the label that it is about.
func (r *labelReader) label(p conf.Problem) conf.Problem {
	path := strings.TrimPrefix(strings.TrimPrefix(p.Path, "apps[0]"), ".")
	if p.Key != "" {
		path = strings.TrimPrefix(path+"."+p.Key, ".")
	}
	if line := p.Line - 1; line >= 0 && line < len(r.pairs) && p.Key == "" {
		if within := p.Col - utf8.RuneCountInString(r.pairs[line].Name+"=") - 1; within > 0 {
			p.What += fmt.Sprintf(" (at character %d)", within+1)
		}
	}
	p.Line, p.Col, p.Key = 0, 0, ""
	p = p.In("", 0)
	if strings.HasPrefix(path, LabelPrefix) || strings.HasPrefix(path, aliyunPrefix) {
		return p // of a label by itself
	}
	for above, rest := path, ""; ; {
		if label, ok := r.paths[above]; ok {
			p.Path = label + rest
			return p
		}
		cut := strings.LastIndexAny(above, ".[")
		if cut < 0 {
			break
		}
		above, rest = above[:cut], strings.NewReplacer("[", ".", "]", "").Replace(above[cut:])+rest
	}
	if path != "" {
		p.Path = LabelPrefix + strings.NewReplacer("[", ".", "]", "").Replace(path)
	}
	return p
}

// own reads the labels of ours.
func (r *labelReader) own(labels map[string]string) {
	w := labelWalk{items: map[string][]string{}}
	var names []string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		if strings.HasPrefix(label, LabelPrefix) {
			names = append(names, label)
		}
	}
	if n := len(names); n > maxLabels {
		r.fail("", fmt.Sprintf("has %d labels of a policy, more than %d", n, maxLabels), "write a file")
		return
	}
	for _, label := range names { // to know all items before any is counted
		_, _, _ = w.steps(strings.Split(strings.TrimPrefix(label, LabelPrefix), "."))
	}
	w.counted = true
	for _, label := range names {
		segments := strings.Split(strings.TrimPrefix(label, LabelPrefix), ".")
		if segments[0] == "target" {
			r.fail(label, "is the workload that has the label", "remove it")
			continue
		}
		steps, flow, m := w.steps(segments)
		if m.What != "" {
			r.fail(label, m.What, m.Hint)
			continue
		}
		for i := range steps {
			r.paths[pathOf(steps[:i+1])] = LabelPrefix + strings.Join(segments[:i+1], ".")
		}
		r.add(label, labels[label], flow, steps...)
	}
	for _, list := range slices.Sorted(maps.Keys(w.items)) {
		steps, _, _ := w.steps(strings.Split(list, "."))
		for i, name := range w.items[list] {
			if w.named(w.items[list]) {
				r.pairs = append(r.pairs, conf.Pair{Name: list + "." + name, Steps: slices.Concat([]any{"apps", 0}, steps, []any{i, "name"}), Value: name})
			}
		}
	}
}

// labelWalk follows labels through the types of a policy.
type labelWalk struct {
	items   map[string][]string // a list, as labels have it → its items, sorted
	counted bool                // whether those are all
}

// isNumber tells whether a word is a position.
func isNumber(word string) bool { return word != "" && strings.Trim(word, "0123456789") == "" }

// named tells whether all items go by their names.
func (w *labelWalk) named(items []string) bool { return !slices.ContainsFunc(items, isNumber) }

// steps is where the words of a label lead, and whether to a list or mapping as a
// whole. A word that is no key is left to those who know how to complain of it.
func (w *labelWalk) steps(words []string) (steps []any, whole bool, m conf.Mistake) {
	t := reflect.TypeFor[App]()
	for i, word := range words {
		if t != nil && t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case t == nil || single(t):
			steps, t = append(steps, word), nil
		case t.Kind() == reflect.Struct:
			steps, t = append(steps, word), fieldOf(t, word)
		case t.Kind() == reflect.Slice:
			list := strings.Join(words[:i], ".")
			if !w.counted {
				if at, known := slices.BinarySearch(w.items[list], word); !known {
					w.items[list] = slices.Insert(w.items[list], at, word)
				}
			}
			t = t.Elem()
			index, err := strconv.Atoi(word)
			switch {
			case w.named(w.items[list]) && fieldOf(t, "name") != nil:
				index, _ = slices.BinarySearch(w.items[list], word)
			case !isNumber(word) && fieldOf(t, "name") != nil && w.counted:
				return nil, false, conf.Mistake{What: "names an item by " + conf.Quote(word) + ", and other labels do by position", Hint: "use one of the two for all"}
			case (!isNumber(word) || err != nil) && w.counted:
				return nil, false, conf.Mistake{What: conf.Quote(word) + " is not the position of an item", Hint: "count them from 0: " + list + ".0"}
			}
			steps = append(steps, index)
		}
	}
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return steps, t != nil && !single(t), conf.Mistake{}
}

// fieldOf is the type of a key of a struct; nil if it has none.
func fieldOf(t reflect.Type, key string) reflect.Type {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag == key && tag != "-" && tag != "" {
			return t.Field(i).Type
		}
	}
	return nil
}

// single tells whether a type is written as one value.
func single(t reflect.Type) bool {
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Slice || reflect.PointerTo(t).Implements(reflect.TypeFor[conf.Setter]())
}
