package alerting

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/inhibit"

	"github.com/plimsoll-io/plimsoll/alerting/amfile"
	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// LintConfig returns all that is wrong with an alertmanager.yml: mistakes, for
// which it is refused, and apart from those what is taken and yet hardly meant.
// Where there are mistakes nothing else is looked for.
func LintConfig(file string) (mistakes, warnings conf.Problems) {
	if mistakes = CheckConfig(file); len(mistakes) > 0 {
		return mistakes, nil
	}
	f, c, problems := parseConfig(file)
	if len(problems) > 0 {
		return problems, nil
	}
	l := &configLinter{File: f}
	l.route(f.At("route"), dispatch.NewRoute(c.Route, nil), nil)
	l.unused()
	for i, rule := range c.InhibitRules {
		l.inhibition(f.At("inhibit_rules", i), inhibit.NewInhibitRule(rule))
	}
	l.urls()
	return nil, place.Sorted(l.found)
}

// parseConfig reads a configuration that was found good, and its places.
func parseConfig(file string) (place.File, *config.Config, conf.Problems) {
	useDefaultMatchers()
	name, data := file, defaultConfig
	if file == "" {
		name = defaultConfigName
	} else {
		var err error
		if data, err = os.ReadFile(file); err != nil {
			return place.File{}, nil, conf.Problems{{File: file, What: reason(err)}}
		}
	}
	f, problems := place.Parse(name, data)
	if len(problems) > 0 {
		return f, nil, problems
	}
	c, _, problems := amfile.Parse(f, data, filepath.Dir(file))
	return f, c, problems
}

// configLinter looks for what is hardly meant in a file without mistakes.
type configLinter struct {
	place.File
	found conf.Problems
}

func (l *configLinter) warn(n place.Node, what, hint string) {
	l.found = append(l.found, l.Problem(n, what, hint))
}

// warnAt is warn about something of a mapping: at the first key of some that it
// has, else at its beginning.
func (l *configLinter) warnAt(n place.Node, what, hint string, keys ...string) {
	for _, key := range keys {
		if at := n.At(key); at.Exists() {
			p := l.Problem(at, what, hint)
			p.Path = n.Path
			l.found = append(l.found, p)
			return
		}
	}
	l.found = append(l.found, l.MissingFrom(n, what, hint))
}

// route looks at a route and those below it, which get alerts that satisfy all
// of above.
func (l *configLinter) route(n place.Node, r *dispatch.Route, above conditions) {
	here := slices.Concat(above, conditions(r.Matchers))
	if why := here.contradiction(); why != "" {
		l.warnAt(n, "no alert ever comes here: "+why, "correct the matchers, or remove the route", "matchers", "match", "match_re")
		return
	}
	l.timing(n, r)
	for i, child := range r.Routes {
		at := n.At("routes", i)
		theirs := slices.Concat(here, conditions(child.Matchers))
		taken := slices.IndexFunc(r.Routes[:i], func(before *dispatch.Route) bool {
			return !before.Continue && theirs.implies(before.Matchers...)
		})
		if taken >= 0 {
			before := n.At("routes", taken)
			line := l.MissingFrom(before, "", "").Line
			l.warnAt(at, fmt.Sprintf("no alert ever comes here: %s in line %d takes all that would", before.Path, line),
				"move this route in front of that one, or give that one continue: true", "matchers", "match", "match_re", "receiver")
			continue
		}
		l.route(at, child, here)
	}
}

// timing finds intervals that are not what they seem.
func (l *configLinter) timing(n place.Node, r *dispatch.Route) {
	own := n.At("repeat_interval").Exists() || n.At("group_interval").Exists()
	o := r.RouteOpts
	if own && o.RepeatInterval < o.GroupInterval {
		l.warnAt(n, fmt.Sprintf("a repeat_interval of %v is shorter than the group_interval of %v", o.RepeatInterval, o.GroupInterval),
			"messages are repeated no more often than a group is looked at; make it a multiple of that", "repeat_interval", "group_interval")
	}
	if n.At("repeat_interval").Exists() && o.RepeatInterval > retention {
		l.warnAt(n, fmt.Sprintf("a repeat_interval of %v is longer than the %v for which it is remembered what was sent", o.RepeatInterval, retention),
			fmt.Sprintf("messages are repeated after %v all the same", retention), "repeat_interval")
	}
}

// unused finds receivers and time intervals that no route names.
func (l *configLinter) unused() {
	named := map[string]bool{}
	var walk func(place.Node)
	walk = func(n place.Node) {
		named["receiver "+n.At("receiver").Text] = true
		for _, key := range []string{"mute_time_intervals", "active_time_intervals"} {
			for name := range n.At(key).Children() {
				named["interval "+name.Text] = true
			}
		}
		for child := range n.At("routes").Children() {
			walk(child)
		}
	}
	walk(l.At("route"))
	for item := range l.At("receivers").Children() {
		if name := item.At("name"); !named["receiver "+name.Text] {
			l.warn(name, fmt.Sprintf("no route leads to the receiver %q", name.Text), "name it in a route, or remove it")
		}
	}
	for _, list := range []string{"time_intervals", "mute_time_intervals"} {
		for item := range l.At(list).Children() {
			if name := item.At("name"); !named["interval "+name.Text] {
				l.warn(name, fmt.Sprintf("no route is muted or active by the time interval %q", name.Text), "name it in a route's mute_time_intervals, or remove it")
			}
		}
	}
}

// inhibition finds rules that can never mute anything.
func (l *configLinter) inhibition(n place.Node, r *inhibit.InhibitRule) {
	const hint = "correct the matchers, or remove the rule"
	source, target := conditions(r.SourceMatchers), conditions(r.TargetMatchers)
	if why := source.contradiction(); why != "" {
		l.warnAt(n, "no alert ever mutes by this rule: "+why, hint, "source_matchers", "source_match", "source_match_re")
		return
	}
	if why := target.contradiction(); why != "" {
		l.warnAt(n, "no alert is ever muted by this rule: "+why, hint, "target_matchers", "target_match", "target_match_re")
		return
	}
	for label := range r.Equal {
		both := slices.Concat(source, target).of(string(label))
		if both.contradiction() != "" {
			l.warnAt(n, fmt.Sprintf("the label %s is to be equal, and yet source and target never have the same", label),
				"take it out of equal, or correct the matchers", "equal")
			return
		}
	}
	if source.implies(target...) && target.implies(source...) {
		l.warnAt(n, "source and target match the same alerts, and an alert that is both mutes no other such", "make one of them narrower", "target_matchers", "target_match", "target_match_re")
	}
}

// urls finds addresses that were never filled in.
func (l *configLinter) urls() {
	for _, list := range []string{"global", "receivers"} {
		for n := range l.At(list).All() {
			key := n.Path[strings.LastIndexByte(n.Path, '.')+1:]
			if n.Text == "" || !strings.HasSuffix(key, "url") || strings.Contains(n.Text, "{{") {
				continue
			}
			if what, hint := implausible(n.Text); what != "" {
				l.warn(n, what, hint)
			}
		}
	}
}

var (
	variable    = regexp.MustCompile(`\$\{?[A-Za-z_]\w*\}?`)
	placeholder = regexp.MustCompile(`(?i)<[^>]+>|%3c.+%3e|x{6,}|\byour[-_]|change[-_]?me|T0{6,}/B0{6,}`)
	reserved    = regexp.MustCompile(`(?i)(^|\.)(example\.(com|net|org)|example|invalid|test)$`)
)

// implausible tells why nothing will answer at an address.
func implausible(address string) (what, hint string) {
	if v := variable.FindString(address); v != "" {
		return fmt.Sprintf("%s is not filled in: variables of the environment are not read here", v), "write the address itself, or name a file that holds it, as in url_file"
	}
	if p := placeholder.FindString(address); p != "" {
		return fmt.Sprintf("the address still has a placeholder, %s", p), "write the real one"
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "is no address of a server", "write it like https://host/path"
	}
	if reserved.MatchString(u.Hostname()) {
		return fmt.Sprintf("nobody can be reached at %s, a name reserved for examples", u.Hostname()), "write the real one"
	}
	return "", ""
}
