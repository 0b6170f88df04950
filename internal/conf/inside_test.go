package conf_test

import (
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// In each text a scalar has the character ⟨, which is what is wrong with it; the
// test says where the file has it.
func TestAMistakeInsideATextIsShownWhereItStands(t *testing.T) {
	tests := map[string]struct {
		file      string
		line, col int
	}{
		"plain":                     {"empty: sum(⟨x)", 1, 12},
		"plain, in a list":          {"nodes:\n- name: a ⟨", 2, 11},
		"in a flow mapping":         {"nodes: [{name: ab⟨c}]", 1, 18},
		"single quotes":             {"empty: 'it''s ⟨ here'", 1, 15},
		"double quotes":             {`empty: "a{b=\"c\"} ⟨"`, 1, 20},
		"escaped characters":        {`empty: "\u00e9\x41 ⟨"`, 1, 20},
		"escaped white space":       {`empty: "a\tb\n⟨"`, 1, 15},
		"letters of other scripts":  {"empty: '测试 ⟨'", 1, 12},
		"a literal block":           {"empty: |\n  sum(\n    ⟨x\n  )\n", 3, 5},
		"a literal block, stripped": {"empty: |-\n    sum(x)\n    ⟨", 3, 5},
		"a folded block":            {"empty: >\n  sum(x)\n  + ⟨y\n", 3, 5},
		"a folded block of a list":  {"nodes:\n- name: >-\n    sum(x)\n\n    + ⟨y\n", 5, 7},
		"plain over lines":          {"empty: sum(x)\n  + ⟨y\n", 2, 5},
		"quotes over lines":         {"empty: \"sum(x)\n  + \\\n  ⟨y\"\n", 3, 3},
		"the whole of it":           {"empty: ⟨", 1, 8},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var s settings
			doc := parse(t, tt.file)
			if problems := doc.Decode(&s); len(problems) > 0 {
				t.Fatal(problems)
			}
			path, text := "empty", s.Empty
			if len(s.Nodes) > 0 {
				path, text = "nodes[0].name", s.Nodes[0].Name
			}
			p := doc.Inside(path, strings.Index(text, "⟨"), conf.Mistake{What: "is wrong"})
			if p.Line != tt.line || p.Col != tt.col {
				t.Errorf("%q is shown at %d:%d, want %d:%d\n%s", text, p.Line, p.Col, tt.line, tt.col, p.Render())
			}
		})
	}
}

func TestTheEndOfATextIsBehindItsLastCharacter(t *testing.T) {
	doc := parse(t, "empty: sum(x\n")
	if p := doc.Inside("empty", len("sum(x"), conf.Mistake{What: "is wrong"}); p.Line != 1 || p.Col != 13 {
		t.Errorf("%d:%d", p.Line, p.Col)
	}
}

func TestAPlaceThatCannotBeIsThatOfTheValue(t *testing.T) {
	doc := parse(t, "empty: abc\nlimits: {a: 1}\n")
	for path, want := range map[string]string{
		"empty":    "test.yaml:1:8: empty: is wrong",
		"limits":   "test.yaml:2:1: limits: is wrong",
		"limits.b": "test.yaml:2:1: limits.b: is wrong",
	} {
		for _, offset := range []int{-1, 99} {
			if got := doc.Inside(path, offset, conf.Mistake{What: "is wrong"}).Error(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
}

func FuzzInside(f *testing.F) {
	for _, seed := range []string{"a: |\n  x y\n", "a: >\n  x\n\n  y", `a: "\x41\n\u12"`, "a: 'it''s'", "a: &b x\nc: *b", "a: x\n  y"} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, offset int) {
		doc, err := conf.Parse("f.yml", data)
		if err != nil {
			return
		}
		for _, path := range []string{"a", "c", "a[0].b"} {
			p := doc.Inside(path, offset, conf.Mistake{What: "is wrong"})
			if p.Line < 0 || p.Col < 0 || p.Line > strings.Count(string(data), "\n")+1 {
				t.Errorf("%d:%d", p.Line, p.Col)
			}
			p.Render()
		}
	})
}
