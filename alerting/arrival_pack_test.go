package alerting_test

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"

	"github.com/plimsoll-io/plimsoll/alerting/arrival"
	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

// Groups of the pack whose name ends in -instant are those that are evaluated on
// arrival: one rule in them that cannot be would make each early evaluation cost
// more, and itself wait for the tick.
func TestWhatThePackCallsInstantIsFollowed(t *testing.T) {
	set, problems := rules.Read(nil, true)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	loader := rules.NewLoader()
	loader.Use(set)
	followed, left := 0, 0
	for _, file := range set.Files() {
		groups, errs := loader.Load(file, false, 0)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		for _, g := range groups.Groups {
			for _, r := range g.Rules {
				switch err := check(t, loader, r); {
				case r.Alert == "":
				case err == nil:
					followed++
				case strings.HasSuffix(g.Name, "-instant"):
					t.Errorf("group %s, alert %s: %v; move it to another group", g.Name, r.Alert, err)
				default:
					left++
				}
			}
		}
	}
	if t.Logf("%d alerts of the pack are evaluated on arrival, %d at ticks", followed, left); followed < 20 {
		t.Errorf("only %d alerts of the pack are evaluated on arrival", followed)
	}
}

func check(t *testing.T, loader *rules.Loader, r rulefmt.Rule) error {
	t.Helper()
	expr, err := loader.Parse(r.Expr)
	if err != nil {
		t.Fatal(err)
	}
	return arrival.Check(expr)
}
