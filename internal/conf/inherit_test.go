package conf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// fleet is a file whose nodes inherit.
type fleet struct {
	Defaults ship   `yaml:"defaults"`
	Ships    []ship `yaml:"ships"`
}

type ship struct {
	Name   string   `yaml:"name"`
	Crew   int      `yaml:"crew"`
	Engine engine   `yaml:"engine"`
	Flags  []string `yaml:"flags"`
}

type engine struct {
	Fuel  string `yaml:"fuel"`
	Power int    `yaml:"power"`
}

func launch(t *testing.T, text string) (fleet, *conf.Doc, conf.Problems) {
	t.Helper()
	doc, err := conf.Parse("f.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	problems := doc.Inherit("defaults", "ships")
	var f fleet
	return f, doc, append(problems, doc.Decode(&f)...)
}

func TestWhatAnItemDoesNotSayIsInherited(t *testing.T) {
	doc := parse(t, `
defaults: {crew: 5, engine: {fuel: coal, power: 10}, flags: [red]}
ships:
- {name: a}
- {name: b, crew: 6, engine: {power: 20}, flags: []}
`)
	if problems := doc.Inherit("defaults", "ships"); len(problems) > 0 {
		t.Fatal(problems)
	}
	var f fleet
	if problems := doc.Decode(&f); len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []ship{{"a", 5, engine{"coal", 10}, []string{"red"}}, {"b", 6, engine{"coal", 20}, []string{}}}
	if diff := cmp.Diff(want, f.Ships); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for path, origin := range map[string]string{
		"ships[0].engine.fuel":  "defaults.engine.fuel",
		"ships[1].engine.fuel":  "defaults.engine.fuel",
		"ships[1].engine.power": "ships[1].engine.power",
		"ships[1].flags":        "ships[1].flags",
		"ships[0].flags[0]":     "defaults.flags[0]",
		"ships[7].crew":         "ships[7].crew",
		"defaults.crew":         "defaults.crew",
	} {
		if got := doc.Origin(path); got != origin {
			t.Errorf("%s is from %s, want %s", path, got, origin)
		}
	}
}

func TestAMistakeThatIsInheritedIsToldOnceAndWhereItStands(t *testing.T) {
	_, doc, problems := launch(t, `
defaults: {crew: five, engin: {}, engine: {fuel: 7, colour: red}}
ships:
- {name: a, crew: six}
- {name: b}
- {name: c, engine: {power: x}}
`)
	want := `f.yml:2:18: defaults.crew: must be a whole number, got "five"
f.yml:2:24: defaults: unknown key "engin", did you mean "engine"?
f.yml:2:50: defaults.engine.fuel: must be text, got the number 7, put it in quotes: "7"
f.yml:2:53: defaults.engine: unknown key "colour", known here: fuel, power
f.yml:4:19: ships[0].crew: must be a whole number, got "six"
f.yml:6:29: ships[2].engine.power: must be a whole number, got "x"`
	if diff := cmp.Diff(want, problems.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := doc.At("ships[1].engine.fuel", conf.Mistake{What: "is dirty"}).Error(); got != "f.yml:2:50: defaults.engine.fuel: is dirty" {
		t.Error(got)
	}
}

func TestDefaultsThatAreNoneAreLeftToDecode(t *testing.T) {
	for text, want := range map[string]string{
		"defaults: 5\nships: [{}]\n":                     "f.yml:1:11: defaults: must be a mapping",
		"defaults: {crew: 1}\nships: 5\n":                "f.yml:2:8: ships: must be a list",
		"defaults: {crew: 1}\nships: [5]\n":              "f.yml:2:9: ships[0]: must be a mapping",
		"defaults: {crew: 1}\n":                          "",
		"ships: [{crew: 1}]\n":                           "",
		"defaults: {engine: 5}\nships: [{engine: {}}]\n": "f.yml:1:20: defaults.engine: must be a mapping",
	} {
		if _, _, problems := launch(t, text); !strings.HasPrefix(problems.Error(), want) || want == "" && len(problems) > 0 {
			t.Errorf("%q: %v, want %s", text, problems, want)
		}
	}
}

func TestWhatItemsInheritStaysBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("defaults:\n  flags: [" + strings.Repeat("a, ", 1000) + "a]\nships:\n")
	b.WriteString(strings.Repeat("- {}\n", 1000))
	if _, _, problems := launch(t, b.String()); len(problems) != 1 || !strings.Contains(problems[0].What, "too much") {
		t.Errorf("problems %v", problems)
	}
}
