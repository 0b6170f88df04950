package alerting

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// nodeLabel names the machine that an alert is about.
const nodeLabel = "node"

// longestWindow is how long data must be back at the most, however far back the
// rule looks.
const longestWindow = 10 * time.Minute

// present tells whether the store has what an alert's rules read of the thing
// that it is about: a fresh sample of each metric, of after a time if that is not
// zero. An error means that the store cannot be asked.
func (h *holder) present(ctx context.Context, exprs []string, a *alert.Alert, after, now time.Time) (bool, error) {
	for _, expr := range exprs {
		query, _, err := inputs(expr, a.Labels, after)
		if err != nil {
			h.log.Error("cannot tell what a rule reads", "expr", expr, "err", err)
			return false, nil
		}
		if query == "" {
			continue
		}
		found, err := h.opts.QueryFunc(ctx, query, now)
		if err != nil || len(found) == 0 {
			return false, err
		}
	}
	return true, nil
}

// window is how far back rules look: until it has passed, what they say is also
// of the time without data.
func window(exprs []string) (longest time.Duration) {
	for _, expr := range exprs {
		_, back, _ := inputs(expr, nil, time.Time{})
		longest = max(longest, back)
	}
	return min(longest, longestWindow)
}

// inputs is a query with a result if, and only if, each metric that expr reads
// has a series that may belong to an alert with these labels, and how far back
// expr looks. A label that the series lack was given by the rule, or comes from
// another metric of expr. Series without a sample of later than after do not count,
// if that is not zero. The query is empty if expr reads nothing.
func inputs(expr string, of model.LabelSet, after time.Time) (query string, back time.Duration, err error) {
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return "", 0, err
	}
	var belong []*labels.Matcher
	for name, value := range of {
		if name == model.AlertNameLabel {
			continue
		}
		m, err := labels.NewMatcher(labels.MatchRegexp, string(name), regexp.QuoteMeta(string(value))+"|")
		if err != nil {
			return "", 0, err
		}
		belong = append(belong, m)
	}
	slices.SortFunc(belong, func(a, b *labels.Matcher) int { return strings.Compare(a.Name, b.Name) })

	var parts []string
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			series := theirs(n, belong)
			if !after.IsZero() {
				series = fmt.Sprintf("timestamp(%s) > %d.%03d", series, after.Unix(), after.UnixMilli()%1000)
			}
			if part := "count(" + series + ")"; !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		case *parser.MatrixSelector:
			back = max(back, n.Range)
		case *parser.SubqueryExpr:
			back = max(back, n.Range)
		}
		return nil
	})
	return strings.Join(parts, " and on () "), back, nil
}

// theirs is a selector of the same metric, as of now, for an alert.
func theirs(v *parser.VectorSelector, belong []*labels.Matcher) string {
	return (&parser.VectorSelector{Name: v.Name, LabelMatchers: append(slices.Clone(v.LabelMatchers), belong...)}).String()
}

// gpuMetrics are the names of what the agent's GPU helper reads.
var gpuMetrics = regexp.MustCompile(`\b(DCGM_FI_|plimsoll_gpu_|plimsoll_container_gpu_)`)

// sourceFails tells whether a node's agent says that it cannot read what expr is
// about. Only its GPU helper ends its series when it fails; what else cannot be
// read is absent from the start.
func (h *holder) sourceFails(ctx context.Context, expr, node string, now time.Time) bool {
	if !gpuMetrics.MatchString(expr) {
		return false
	}
	found, err := h.opts.QueryFunc(ctx, fmt.Sprintf("min_over_time(plimsoll_gpu_helper_up{node=%q}[%ds]) == 0", node, int(settle.Seconds())), now)
	return err != nil || len(found) > 0
}
