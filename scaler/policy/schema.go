package policy

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// object is a part of a JSON Schema.
type object = map[string]any

// Schema is the JSON Schema, draft 2020-12, of a policy file: what editors check
// while it is written. It knows keys, words, ranges and which keys belong together,
// and lets pass what it takes Load to judge. Meanings are what docs say of each key,
// such as "apps[].in.window".
func Schema(meanings map[string]string) ([]byte, error) {
	s := schemer{meanings: meanings}
	app := s.structure(reflect.TypeFor[App](), "apps[]")
	app["allOf"] = appRules()
	root := object{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"$id":                  "urn:plimsoll:" + strings.ReplaceAll(Version, "/", ":"),
		"title":                "Policies of Plimsoll's scaler",
		"type":                 "object",
		"additionalProperties": false,
		"properties": object{
			"version":  object{"const": Version, "description": meanings["version"]},
			"defaults": object{"$ref": "#/$defs/app", "description": meanings["defaults"], "not": object{"required": []string{"name"}}},
			"apps": object{
				"type": "array", "description": meanings["apps"],
				"items": object{"$ref": "#/$defs/app", "required": []string{"name"}},
			},
		},
		"required": []string{"version", "apps"},
		"allOf":    fileRules(),
		"$defs": object{
			"app": app, "duration": pattern(durationPattern), "share": pattern(sharePattern), "size": pattern(sizePattern),
			"number": object{"type": "number", "exclusiveMinimum": 0},
		},
	}
	data, err := json.MarshalIndent(root, "", "  ")
	return append(data, '\n'), err
}

// row is a line of a table of keys: | `key` | default | values | meaning |
var row = regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)` \\|[^|]*\\|([^|]*)\\|([^|]*)\\|$")

// Meanings reads what a document, docs/policies.md, says of each key in its tables.
func Meanings(document string) map[string]string {
	all := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(document, -1) {
		values, meaning := strings.TrimSpace(m[2]), strings.Trim(m[3], " ,")
		text := strings.TrimSpace(strings.ToUpper(meaning[:min(1, len(meaning))]) + meaning[min(1, len(meaning)):])
		switch {
		case text == "":
			text = values
		case values != "" && values != "mapping" && values != "list":
			text += ". Values: " + values
		}
		all[m[1]] = strings.ReplaceAll(text, "`", "")
	}
	return all
}

// schemer makes schemas of types.
type schemer struct{ meanings map[string]string }

// structure is the schema of a struct whose keys begin with prefix.
func (s schemer) structure(t reflect.Type, prefix string) object {
	usual := reflect.New(t)
	if d, ok := usual.Interface().(conf.Defaulter); ok {
		d.SetDefaults()
	}
	properties := object{}
	for i := range t.NumField() {
		key := t.Field(i).Tag.Get("yaml")
		path := prefix + "." + key
		if key == "" || key == "-" || t == reflect.TypeFor[Target]() && key != "driver" && key != "service" {
			continue // or of a driver that is not there yet
		}
		p := s.value(t.Field(i).Type, path)
		if text := s.meanings[path]; text != "" {
			p["description"] = text
		}
		if d := usually(usual.Elem().Field(i)); d != nil {
			p["default"] = d
		}
		properties[key] = p
	}
	o := object{"type": "object", "properties": properties, "additionalProperties": false}
	for key, rule := range structRules()[t] {
		o[key] = rule
	}
	return o
}

// usually is a default as a file would have it; nil if there is none, or if it is
// nothing.
func usually(v reflect.Value) any {
	if v.IsZero() && v.Type() != reflect.TypeFor[Span]() || v.Kind() == reflect.Slice || v.Kind() == reflect.Pointer {
		return nil
	}
	switch d := v.Interface().(type) {
	case time.Duration:
		return Short(d)
	case conf.Percent:
		return d.String()
	case Span:
		return d.String()
	}
	if v.Kind() == reflect.Struct {
		return nil
	}
	return v.Interface()
}

// value is the schema of a value of the type, under the path of a key.
func (s schemer) value(t reflect.Type, path string) object {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return object{"anyOf": []object{ref("duration"), {"const": 0}}}
	case reflect.TypeFor[Span]():
		return object{"anyOf": []object{{"enum": []string{"auto", "off"}}, ref("duration"), {"const": 0}}}
	case reflect.TypeFor[conf.Percent]():
		return ref("share")
	case reflect.TypeFor[conf.Size]():
		return ref("size")
	case reflect.TypeFor[Amount]():
		return amounts(Plain, Share, Size)
	}
	if words := wordsOf(t); words != nil {
		return object{"enum": words}
	}
	o := object{}
	switch t.Kind() {
	case reflect.Pointer:
		return s.value(t.Elem(), path)
	case reflect.Slice:
		o["type"], o["items"] = "array", s.value(t.Elem(), path+"[]")
	case reflect.Struct:
		return s.structure(t, path)
	case reflect.Bool:
		o["type"] = "boolean"
	case reflect.String:
		o["type"] = "string"
	case reflect.Int:
		o["type"] = "integer"
	default:
		o["type"] = "number"
	}
	for key, limit := range limits()[strings.TrimPrefix(path, "apps[].")] {
		o[key] = limit
	}
	return o
}

// How values with units are written; conf reads them.
const (
	numberPattern   = `[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?`
	durationPattern = `^([0-9]+d)?([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$`
	sharePattern    = `^` + numberPattern + ` *%$`
	sizePattern     = `^` + numberPattern + ` *([KMGT]iB|[kKMGT]?B)$`
)

func pattern(p string) object {
	o := object{"type": "string", "pattern": p}
	if p == durationPattern {
		o["minLength"] = 2 // a digit and a unit
	}
	return o
}

func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

// amounts is the schema of an amount in one of the units.
func amounts(units ...Unit) object {
	names := map[Unit]string{Plain: "number", Share: "share", Size: "size"}
	var one []object
	for _, u := range units {
		one = append(one, ref(names[u]))
	}
	return object{"anyOf": one}
}
