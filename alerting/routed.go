package alerting

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Routed says, for people, to which receivers an alert with some labels goes by
// an alertmanager.yml, or by the one built in if file is empty: the routes on
// the way, where they stand, and how each receiver is told.
func Routed(file string, of map[string]string) (string, conf.Problems) {
	if problems := CheckConfig(file); len(problems) > 0 {
		return "", problems
	}
	f, c, problems := parseConfig(file)
	if len(problems) > 0 {
		return "", problems
	}
	lset := model.LabelSet{}
	for name, value := range of {
		if value != "" {
			lset[model.LabelName(name)] = model.LabelValue(value)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: an alert with %s takes these routes:\n", f.Name, labels.FromMap(of))
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	walkRouted(table, f, f.At("route"), dispatch.NewRoute(c.Route, nil), lset, 1)
	if err := table.Flush(); err != nil {
		return "", conf.Problems{{File: file, What: err.Error()}}
	}
	return b.String(), nil
}

// walkRouted writes a route that matches and those below it, in the way of
// dispatch.Route.Match.
func walkRouted(w *tabwriter.Writer, f place.File, n place.Node, r *dispatch.Route, lset model.LabelSet, depth int) {
	line := f.MissingFrom(n, "", "").Line
	where := strings.Repeat("  ", depth) + "every alert"
	if len(r.Matchers) > 0 {
		where = strings.Repeat("  ", depth) + r.Matchers.String()
	}
	leads, stop := false, false
	var below []func()
	for i, child := range r.Routes {
		if stop {
			break
		}
		if child.Matchers.Matches(lset) {
			leads, stop = true, !child.Continue
			below = append(below, func() { walkRouted(w, f, n.At("routes", i), child, lset, depth+1) })
		}
	}
	told := ""
	if !leads {
		told = "→ " + r.RouteOpts.Receiver + "\t" + manner(r.RouteOpts)
	}
	fmt.Fprintf(w, "%s\tline %d\t%s\n", where, line, told)
	for _, show := range below {
		show()
	}
}

// manner is how a receiver is told.
func manner(o dispatch.RouteOpts) string {
	group := "all in one message"
	switch {
	case o.GroupByAll:
		group = "each alert by itself"
	case len(o.GroupBy) > 0:
		names := slices.Sorted(maps.Keys(o.GroupBy))
		group = "grouped by " + strings.Trim(fmt.Sprint(names), "[]")
	}
	text := fmt.Sprintf("%s; after %v, what is new after %v, again after %v", group,
		model.Duration(o.GroupWait), model.Duration(o.GroupInterval), model.Duration(o.RepeatInterval))
	if len(o.MuteTimeIntervals) > 0 {
		text += "; not during " + strings.Join(o.MuteTimeIntervals, ", ")
	}
	if len(o.ActiveTimeIntervals) > 0 {
		text += "; only during " + strings.Join(o.ActiveTimeIntervals, ", ")
	}
	return text
}
