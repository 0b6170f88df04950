package rules

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/template"

	"github.com/plimsoll-io/plimsoll/alerting/place"
)

// ofLabel matches the ways to name a label in a template.
var ofLabel = regexp.MustCompile(`(?:\$labels|\.Labels)\.([a-zA-Z_][a-zA-Z0-9_]*)|index\s+(?:\$labels|\.Labels)\s+"([^"]+)"`)

// templates renders every text of an alert for a made-up element of the query's
// result.
func (l *linter) templates(n place.Node, r rulefmt.Rule, expr parser.Expr) {
	possible := resultLabels(expr)
	for _, section := range []struct {
		key   string
		texts map[string]string
	}{{"labels", r.Labels}, {"annotations", r.Annotations}} {
		for _, name := range slices.Sorted(maps.Keys(section.texts)) {
			text := section.texts[name]
			if !strings.Contains(text, "{{") {
				continue
			}
			at := n.At(section.key, name)
			own := map[string]string{}
			ranged := strings.Contains(text, "range") || strings.Contains(text, "with") // where .Labels is of something else
			for _, m := range ofLabel.FindAllStringSubmatch(text, -1) {
				label := m[1] + m[2]
				own[label] = "1" // may be a number, or it may not
				if !possible(label) && (!ranged || strings.Contains(m[0], "$labels")) {
					l.warn(at, fmt.Sprintf("there is no label %q in what the query gives, so this text has a gap", label), keep(expr, label))
				}
			}
			if err := rendered(text, r.Alert, own); err != nil {
				l.warn(at, "cannot be rendered: "+err.Error(), "")
			}
		}
	}
}

// keep says how to get a label into a result.
func keep(expr parser.Expr, label string) string {
	hint := "take it out of the text, or let the query keep it"
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if a, ok := node.(*parser.AggregateExpr); ok && !a.Without && len(a.Grouping) > 0 {
			hint = fmt.Sprintf("take it out of the text, or write %s by (%s)", a.Op, strings.Join(append(slices.Clone(a.Grouping), label), ", "))
		}
		return nil
	})
	return hint
}

// rendered tells why a text of an alert cannot be rendered.
func rendered(text, alert string, own map[string]string) error {
	example := promql.Sample{F: 1, Metric: labels.FromMap(own)}
	ask := func(_ context.Context, query string, _ time.Time) (promql.Vector, error) {
		if _, err := parser.NewParser(parser.Options{}).ParseExpr(query); err != nil {
			return nil, fmt.Errorf("query %q: %w", query, err)
		}
		return promql.Vector{example}, nil
	}
	const variables = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
	_, err := template.NewTemplateExpander(context.Background(), variables+text, alert,
		template.AlertTemplateData(own, nil, "", example), model.TimeFromUnix(0), ask, &url.URL{}, nil).Expand()
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s", beforeIt.ReplaceAllString(err.Error(), ""))
}

// beforeIt is what precedes the message of interest.
var beforeIt = regexp.MustCompile(`^error (?:parsing|executing) template \S+: template: \S+:\d+(?::\d+)?: `)
