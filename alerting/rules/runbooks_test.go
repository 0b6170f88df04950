package rules_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

// command is a line for a shell. All else that a runbook sets off is a query.
var command = regexp.MustCompile(`^(amtool|curl|df|dmesg|docker|du|journalctl|kubectl|nvidia-smi|plimsoll|promtool|ps|systemctl|timedatectl|top) `)

// Somebody copies the queries of a runbook while something is on fire.
func TestTheQueriesOfRunbooksWork(t *testing.T) {
	files, err := filepath.Glob("../../docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	known, promql, found := rules.Exported(), parser.NewParser(parser.Options{}), 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fenced := false // what is, other tests load
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "```") {
				fenced = !fenced
			}
			query, ok := strings.CutPrefix(line, "    ")
			if !ok || fenced || strings.TrimSpace(query) == "" || command.MatchString(query) {
				continue
			}
			found++
			expr, err := promql.ParseExpr(query)
			if err != nil {
				t.Errorf("%s: %s%v", filepath.Base(file), query, err)
				continue
			}
			parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
				if s, ok := n.(*parser.VectorSelector); ok && s.Name != "" {
					if _, ok := known.Find(s.Name); !ok {
						t.Errorf("%s: nobody exports %s", filepath.Base(file), s.Name)
					}
				}
				return nil
			})
		}
	}
	if found < 100 {
		t.Errorf("only %d queries found in %d runbooks", found, len(files))
	}
}
