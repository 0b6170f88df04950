package rules_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

const listHead = `<!-- Written by go test ./alerting/rules -update from alerting/rules/bundled. -->
# Rules that come with Plimsoll

They are in force unless ` + "`--no-rules.bundled`" + ` is given; [alerting.md](alerting.md#other-thresholds) tells how to change them. A dash is for what is told at once, ends at once, or
has no number to change. Each name leads to what it means and what to do.
`

// TestTheListOfRulesIsTrue keeps docs/rules.md as the pack is.
func TestTheListOfRulesIsTrue(t *testing.T) {
	const page = "../../docs/rules.md"
	var b strings.Builder
	b.WriteString(listHead)
	group := ""
	for _, r := range listed(t, "") {
		name, _, _ := strings.Cut(r.Group, "-") // how groups are evaluated is not for the reader
		if name != group {
			group = name
			title := strings.ToUpper(name[:1]) + name[1:]
			if name == "gpu" {
				title = "GPU"
			}
			fmt.Fprintf(&b, "\n## %s\n| rule | severity | threshold | for | goes on for | then |\n| --- | --- | --- | --- | --- | --- |\n", title)
		}
		fmt.Fprintf(&b, "| [%s](runbooks/%s.md) | %s | %s | %s | %s | %s |\n", r.Name, r.Name, r.Severity, dash(r.Threshold), lasts(r.For), lasts(r.KeepFiringFor), r.Description)
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != b.String() {
		t.Error("docs/rules.md is not what the pack is: go test ./alerting/rules -run TestTheListOfRulesIsTrue -update")
	}
}

func dash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

func lasts(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return rules.Duration(d)
}
