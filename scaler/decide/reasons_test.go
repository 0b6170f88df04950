package decide

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of reasons anew")

const page = "../../docs/reasons.md"

const head = `<!-- Written by go test ./scaler/decide -run TestThePageOfReasonsIsTrue -update from scaler/decide/reasons.go. -->
# Reasons
Each decision of the scaler tells its way: a line for every stage, and one for everything that stood in the way. Each line has a **code** out of the set on this page,
the same in the journal, the API and the console; the numbers are in the words beside it. A code keeps its meaning from version to version; new ones may come.

`

const gateHead = `## What stands in the way
Each of these is a **gate**, a coarser name that several codes share. ` + "`plimsoll explain`" + ` has them under «In the way».

| gate | code | means | says |
| --- | --- | --- | --- |
`

const stageHead = `
## What a decision is made of
| code | means | says |
| --- | --- | --- |
`

var argument = regexp.MustCompile(`\{\d\}`)

func TestThePageOfReasonsIsTrue(t *testing.T) {
	var gates, stages []string
	for _, c := range Codes() {
		says := argument.ReplaceAllString(c.Text(), "…")
		if c.Gate() == "" {
			stages = append(stages, "| `"+string(c)+"` | "+c.Meaning()+" | "+says+" |\n")
			continue
		}
		gates = append(gates, "| `"+c.Gate()+"` | `"+string(c)+"` | "+c.Meaning()+" | "+says+" |\n")
	}
	slices.Sort(gates)
	want := head + gateHead + strings.Join(gates, "") + stageHead + strings.Join(stages, "")
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != want {
		t.Errorf("%s is not what the codes say; write it anew with -update (error %v)", filepath.Base(page), err)
	}
}

func TestEveryCodeIsAWordWithAMeaningAndAText(t *testing.T) {
	word, line := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`), regexp.MustCompile(`^[A-Z].*\.$`)
	gates := allGates()
	for _, c := range Codes() {
		switch {
		case !word.MatchString(string(c)):
			t.Errorf("%q is not a word", c)
		case !line.MatchString(c.Meaning()):
			t.Errorf("%s: the meaning is no sentence: %q", c, c.Meaning())
		case c.Text() == "" || strings.ContainsAny(c.Text(), "|\n"):
			t.Errorf("%s: text %q", c, c.Text())
		case c.Gate() != "" && !slices.Contains(gates, c.Gate()):
			t.Errorf("%s: %q is not among the names of gates", c, c.Gate())
		}
		for _, a := range argument.FindAllString(c.Text(), -1) {
			if int(a[1]-'0') >= mostArgs {
				t.Errorf("%s names %s, of %d arguments", c, a, mostArgs)
			}
		}
	}
}

func TestEveryCodeIsGivenSomewhere(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	table := ""
	for _, file := range files {
		data, err := os.ReadFile(file)
		switch {
		case err != nil:
			t.Fatal(err)
		case file == "reasons.go":
			table = string(data)
		case !strings.HasSuffix(file, "_test.go"):
			source.Write(data)
		}
	}
	constants := regexp.MustCompile(`(?m)^\t(Code\w+) +Code = "(\w+)"$`).FindAllStringSubmatch(table, -1)
	if len(constants) != len(Codes()) {
		t.Errorf("%d constants for %d codes", len(constants), len(Codes()))
	}
	for _, c := range constants {
		if !regexp.MustCompile(`\b` + c[1] + `\b`).MatchString(source.String()) {
			t.Errorf("%s is no reason for anything", c[1])
		}
		if !slices.Contains(Codes(), Code(c[2])) {
			t.Errorf("%s is not among the codes", c[1])
		}
	}
}

// allGates are the names in decision.go.
func allGates() []string {
	data, err := os.ReadFile("decision.go")
	if err != nil {
		return nil
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^\tGate\w+ += "(\w+)"`).FindAllStringSubmatch(string(data), -1) {
		names = append(names, m[1])
	}
	return names
}

func TestAReasonIsToldWithItsNumbers(t *testing.T) {
	for want, r := range map[string]Reason{
		"9 asked for, the rate is 2 or 50% in 1m: 3 may change, 0 did": because(CodeRate, count(9), count(2), percent(0.5), span(60e9), count(3), count(0)),
		"could not be read: 100% {0} of it":                            because(CodeReadFailed, word("100% {0} of it")),
		"as someone said":                                              Quote("not_a_code", "as someone said"),
		"":                                                             {},
	} {
		if got := r.String(); got != want {
			t.Errorf("%s: %q, want %q", r.Code, got, want)
		}
	}
}
