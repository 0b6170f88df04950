package conf

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// A Defaulter sets its own defaults. Decode calls it on the elements of lists
// and mappings, which its caller cannot fill in beforehand.
type Defaulter interface {
	SetDefaults()
}

// A KeyHinter has more to say of a key it does not know than its nearest
// neighbour, such as that a later version will.
type KeyHinter interface {
	KeyHint(key string) string // empty if there is nothing to say
}

// Decode fills in into, a pointer to a struct, whose fields name their keys in
// a tag: `yaml:"name"`. A field without a tag, or with "-", is not of the file.
// What the file does not mention keeps the value it has, so defaults are set
// beforehand.
//
// Fields may be strings, bools, integers, floats, time.Duration, Setters,
// structs, pointers, lists of these and mappings from strings to these. Keys
// that no field has, and values of the wrong type, are problems; all of them
// are returned, in the order of the file.
func (d *Doc) Decode(into any) Problems {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("conf: Decode needs a pointer to a struct, not %T", into))
	}
	dec := decoder{doc: d}
	dec.decode(d.root, "", v.Elem())
	dec.problems.Sort()
	return d.attribute(dec.problems)
}

type decoder struct {
	doc      *Doc
	problems Problems
}

func (d *decoder) fail(at place, path string, m Mistake) {
	d.problems = append(d.problems, d.doc.problem(at, path, m))
}

// want complains of a value of the wrong type.
func (d *decoder) want(n *node, path, what, hint string) {
	d.fail(n.place, path, Mistake{fmt.Sprintf("must be %s, got %s", what, n), hint})
}

var durationType = reflect.TypeFor[time.Duration]()

func (d *decoder) decode(n *node, path string, v reflect.Value) {
	if n.kind == null {
		d.fail(n.place, path, Mistake{"has no value", "give it one, or remove the key"})
		return
	}
	if setter, ok := v.Addr().Interface().(Setter); ok {
		d.set(n, path, setter.Set)
		return
	}
	if v.Type() == durationType {
		d.set(n, path, func(text string) error {
			parsed, err := ParseDuration(text)
			v.SetInt(int64(parsed))
			return err
		})
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, path, v)
	case reflect.Slice:
		d.list(n, path, v)
	case reflect.Map:
		d.mapping(n, path, v)
	case reflect.Pointer:
		v.Set(fresh(v.Type().Elem()))
		d.decode(n, path, v.Elem())
	default:
		d.scalar(n, path, v)
	}
}

// set hands a scalar to a type that reads itself.
func (d *decoder) set(n *node, path string, set func(string) error) {
	if n.kind == list || n.kind == mapping {
		d.want(n, path, "a single value", "")
		return
	}
	if err := set(n.text); err != nil {
		d.fail(n.place, path, mistake(err))
	}
}

func (d *decoder) scalar(n *node, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		switch n.kind {
		case text, word:
			v.SetString(n.text)
		case number, boolean:
			d.want(n, path, "text", fmt.Sprintf("put it in quotes: %q", n.text))
		default:
			d.want(n, path, "text", "")
		}
	case reflect.Bool:
		if n.kind != boolean && (n.kind != word || n.text != "true" && n.text != "false") {
			d.want(n, path, "true or false", "")
			return
		}
		v.SetBool(strings.EqualFold(n.text, "true"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.text, 10, v.Type().Bits())
		if err != nil || !n.numeric() {
			d.want(n, path, "a whole number", unquoteHint(n))
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, err := strconv.ParseUint(n.text, 10, v.Type().Bits())
		if err != nil || !n.numeric() {
			d.want(n, path, "a whole number, 0 or more", unquoteHint(n))
			return
		}
		v.SetUint(i)
	case reflect.Float32, reflect.Float64:
		f, err := ParseNumber(n.text)
		if err != nil || !n.numeric() {
			d.want(n, path, "a number", unquoteHint(n))
			return
		}
		v.SetFloat(f)
	default:
		panic(fmt.Sprintf("conf: %s has type %s, which no file can hold", path, v.Type()))
	}
}

// unquoteHint is for numbers that were written as text.
func unquoteHint(n *node) string {
	if _, err := ParseNumber(n.text); err == nil && n.quoted {
		return "remove the quotes"
	}
	return ""
}

func (d *decoder) list(n *node, path string, v reflect.Value) {
	if n.kind != list {
		d.want(n, path, "a list", "start each item with a dash, or write [a, b]")
		return
	}
	items := reflect.MakeSlice(v.Type(), 0, len(n.items))
	for i, item := range n.items {
		element := fresh(v.Type().Elem()).Elem()
		d.decode(item, fmt.Sprintf("%s[%d]", path, i), element)
		items = reflect.Append(items, element)
	}
	v.Set(items)
}

func (d *decoder) mapping(n *node, path string, v reflect.Value) {
	if n.kind != mapping {
		d.want(n, path, "a mapping", `write keys and values, like "key: value"`)
		return
	}
	entries := reflect.MakeMapWithSize(v.Type(), len(n.entries))
	for _, e := range n.entries {
		element := fresh(v.Type().Elem()).Elem()
		d.decode(e.value, join(path, e.key), element)
		entries.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), element)
	}
	v.Set(entries)
}

func (d *decoder) structure(n *node, path string, v reflect.Value) {
	if n.kind != mapping {
		d.want(n, path, "a mapping", `write keys and values, like "key: value"`)
		return
	}
	names, fields := keysOf(v)
	for _, e := range n.entries {
		field, known := fields[e.key]
		if !known {
			p := d.doc.problem(e.place, path, Mistake{"unknown key " + Quote(e.key), keyHint(v, e.key, names)})
			p.Key = e.key
			d.problems = append(d.problems, p)
			continue
		}
		d.decode(e.value, join(path, e.key), field)
	}
}

// keysOf lists the keys of a struct, in the order of its fields.
func keysOf(v reflect.Value) (names []string, fields map[string]reflect.Value) {
	fields = map[string]reflect.Value{}
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		names = append(names, name)
		fields[name] = v.Field(i)
	}
	return names, fields
}

// keyHint is what to say to someone who wrote key where names are known.
func keyHint(v reflect.Value, key string, names []string) string {
	if hinter, ok := v.Addr().Interface().(KeyHinter); ok {
		if hint := hinter.KeyHint(key); hint != "" {
			return hint
		}
	}
	if near := Nearest(key, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known here: " + strings.Join(names, ", ")
}

// fresh is a pointer to a new value with its defaults.
func fresh(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := v.Interface().(Defaulter); ok {
		d.SetDefaults()
	}
	return v
}

// join adds a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
