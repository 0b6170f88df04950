package alerting

import (
	_ "embed"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/matcher/compat"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/alerting/rules"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// defaultConfig is in force when no file is given.
//
//go:embed default.yml
var defaultConfig []byte

const defaultConfigName = "built-in alertmanager.yml"

// settings are all that files say, checked and built, so that putting them in
// force cannot fail half-way.
type settings struct {
	rules     rules.Set
	conf      *config.Config
	tmpl      *template.Template
	routes    *dispatch.Route
	receivers map[string][]notify.Integration // that a route leads to
	intervals *timeinterval.Intervener
}

// load reads every file and returns all that is wrong in any of them.
func load(opts Options) (settings, error) {
	s, problems := loadConfig(opts.ConfigFile, opts.ExternalURL, opts.Log)
	set, more := rules.Read(opts.RuleFiles, opts.BundledRules)
	s.rules = set
	return s, append(problems, more...).Err()
}

// CheckConfig returns all that is wrong with a stock alertmanager.yml, with the
// templates it names and the templates inside it. Nothing is sent.
func CheckConfig(file string) conf.Problems {
	_, problems := loadConfig(file, &url.URL{Scheme: "http", Host: "localhost:9900"}, slog.New(slog.DiscardHandler))
	return problems
}

// CheckRules returns all that is wrong with the rule files that match patterns.
func CheckRules(patterns []string) conf.Problems { return rules.Check(patterns) }

func loadConfig(file string, external *url.URL, log *slog.Logger) (settings, conf.Problems) {
	useDefaultMatchers()
	name, data, read := file, defaultConfig, func() (*config.Config, error) { return config.Load(string(defaultConfig)) }
	if file == "" {
		name = defaultConfigName
	} else {
		var err error
		if data, err = os.ReadFile(file); err != nil {
			return settings{}, conf.Problems{{File: file, What: reason(err), Hint: "name a readable alertmanager.yml, or none for the built-in one"}}
		}
		// LoadFile, unlike Load, finds templates and secrets beside the file.
		read = func() (*config.Config, error) { return config.LoadFile(file) }
	}

	f, problems := place.Parse(name, data)
	if len(problems) > 0 {
		return settings{}, problems
	}
	problems = checkNames(f)
	c, err := read()
	if err != nil {
		problems = merge(problems, f.Refused(err))
	}
	if len(problems) > 0 {
		return settings{}, place.Sorted(problems)
	}
	return build(f, c, external, log)
}

// build makes of a configuration what can be put in force.
func build(f place.File, c *config.Config, external *url.URL, log *slog.Logger) (settings, conf.Problems) {
	tmpl, err := template.FromGlobs(c.Templates)
	if err != nil {
		return settings{}, conf.Problems{f.Problem(f.At("templates"), err.Error(), "")}
	}
	tmpl.ExternalURL = external
	if problems := checkTemplates(f, tmpl); len(problems) > 0 {
		return settings{}, problems
	}

	s := settings{conf: c, tmpl: tmpl, routes: dispatch.NewRoute(c.Route, nil), receivers: map[string][]notify.Integration{}}
	s.routes.Walk(func(r *dispatch.Route) { s.receivers[r.RouteOpts.Receiver] = nil })
	var problems conf.Problems
	for i, rcv := range c.Receivers {
		if _, used := s.receivers[rcv.Name]; !used {
			continue
		}
		s.receivers[rcv.Name], err = receiver.BuildReceiverIntegrations(rcv, tmpl, log)
		if err != nil {
			problems = append(problems, f.Problem(f.At("receivers", i), err.Error(), ""))
		}
	}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, t := range c.MuteTimeIntervals {
		intervals[t.Name] = t.TimeIntervals
	}
	for _, t := range c.TimeIntervals {
		intervals[t.Name] = t.TimeIntervals
	}
	s.intervals = timeinterval.NewIntervener(intervals)
	return s, problems
}

// matchers guards the syntax of matchers, which Alertmanager keeps in variables
// of a package: its main sets them, and they must not change while read.
var matchers sync.Once

// useDefaultMatchers chooses what Alertmanager's main does without flags: UTF-8
// matchers, and classic ones where those fail.
func useDefaultMatchers() {
	matchers.Do(func() { compat.InitFromFlags(slog.New(slog.DiscardHandler), featurecontrol.NoopFlags{}) })
}

// reason is an error about a file without the name of the file.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return err.Error()
}
