package alerting

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// checkNames finds every name that is used but not defined, or defined twice.
// Alertmanager stops at the first of them and does not say where it stands.
func checkNames(f place.File) conf.Problems {
	receivers, problems := names(f, "receivers")
	intervals, more := names(f, "time_intervals", "mute_time_intervals")
	problems = append(problems, more...)

	undefined := func(n place.Node, kind string, defined map[string]bool) {
		if n.Text == "" || defined[n.Text] {
			return
		}
		hint := "define it"
		if near := conf.Nearest(n.Text, slices.Sorted(maps.Keys(defined))); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		problems = append(problems, f.Problem(n, fmt.Sprintf("undefined %s %q", kind, n.Text), hint))
	}
	var route func(place.Node)
	route = func(n place.Node) {
		undefined(n.At("receiver"), "receiver", receivers)
		for _, key := range []string{"mute_time_intervals", "active_time_intervals"} {
			for name := range n.At(key).Children() {
				undefined(name, "time interval", intervals)
			}
		}
		for child := range n.At("routes").Children() {
			route(child)
		}
	}
	route(f.At("route"))
	return problems
}

// names are those that the items of some lists bear.
func names(f place.File, lists ...string) (map[string]bool, conf.Problems) {
	defined := map[string]bool{}
	var problems conf.Problems
	for _, list := range lists {
		for item := range f.At(list).Children() {
			name := item.At("name")
			if defined[name.Text] {
				problems = append(problems, f.Problem(name, fmt.Sprintf("the name %q is there twice", name.Text), "give one of them another name"))
			}
			defined[name.Text] = name.Exists()
		}
	}
	return defined, problems
}

var inQuotes = regexp.MustCompile(`"([^"]*)"`)

// merge adds what Alertmanager says unless it is about a name that is already
// complained of.
func merge(ours, theirs conf.Problems) conf.Problems {
	for _, p := range theirs {
		m := inQuotes.FindStringSubmatch(p.What)
		known := m != nil && slices.ContainsFunc(ours, func(o conf.Problem) bool {
			return strings.Contains(o.What, m[0])
		})
		if !known {
			ours = append(ours, p)
		}
	}
	return ours
}

// checkTemplates renders every text of every receiver for a made-up alert.
// Alertmanager itself finds a mistake in them only when it must send.
func checkTemplates(f place.File, tmpl *template.Template) conf.Problems {
	data := tmpl.Data("example", model.LabelSet{"alertname": "Example"}, nil, "", &alert.Alert{Alert: model.Alert{
		Labels:       model.LabelSet{"alertname": "Example", "severity": "warning", "node": "n1", "name": "web"},
		Annotations:  model.LabelSet{"summary": "An example", "description": "It only shows that templates can be rendered."},
		StartsAt:     time.Unix(0, 0),
		GeneratorURL: tmpl.ExternalURL.String(),
	}})
	var problems conf.Problems
	for n := range f.At("receivers").All() {
		// Headers, proxies and credentials are no templates.
		if !strings.Contains(n.Text, "{{") || strings.Contains(n.Path, "http_config") {
			continue
		}
		if _, err := tmpl.ExecuteTextString(n.Text, data); err != nil {
			problems = append(problems, f.Problem(n, "no valid template: "+strings.TrimPrefix(err.Error(), "template: "), ""))
		}
	}
	return problems
}
