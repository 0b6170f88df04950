package alerting

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/matcher/compat"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"

	"github.com/plimsoll-io/plimsoll/alerting/amfile"
	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
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
	sum       [sha256.Size]byte // of alertmanager.yml and its templates
	routes    *dispatch.Route
	receivers map[string][]notify.Integration // that a route leads to
	intervals *timeinterval.Intervener
}

// load reads every file and returns all that is wrong in any of them.
func load(opts Options, bots *chatbot.Hub) (settings, error) {
	s, problems := loadConfig(opts.ConfigFile, opts.ExternalURL, opts.Log, bots)
	set, more := readRules(opts)
	s.rules = set
	return s, append(problems, more...).Err()
}

// CheckConfig returns all that is wrong with an alertmanager.yml, with the
// templates it names and the templates inside it. Nothing is sent.
func CheckConfig(file string) conf.Problems {
	bots, err := chatbot.NewHub(chatbot.Options{})
	if err != nil {
		return conf.Problems{{File: file, What: err.Error()}}
	}
	defer bots.Close()
	_, problems := loadConfig(file, &url.URL{Scheme: "http", Host: "localhost:9900"}, slog.New(slog.DiscardHandler), bots)
	return problems
}

func readRules(opts Options) (rules.Set, conf.Problems) {
	switch {
	case opts.BundledRules:
		return rules.ReadOverridden(opts.RuleFiles, opts.RuleOverrides)
	case opts.RuleOverrides != "":
		return rules.Set{}, conf.Problems{{File: opts.RuleOverrides, What: "the rules that it changes are turned off", Hint: "turn the bundled rules on, or leave the file away"}}
	}
	return rules.Read(opts.RuleFiles, false)
}

// CheckOverrides returns all that is wrong with a file of overrides.
func CheckOverrides(file string) conf.Problems { return rules.CheckOverrides(file) }

// CheckRules returns all that is wrong with the rule files that match patterns.
func CheckRules(patterns []string) conf.Problems { return rules.Check(patterns) }

func loadConfig(file string, external *url.URL, log *slog.Logger, hub *chatbot.Hub) (settings, conf.Problems) {
	useDefaultMatchers()
	name, data := file, defaultConfig
	if file == "" {
		name = defaultConfigName
	} else {
		var err error
		if data, err = os.ReadFile(file); err != nil {
			return settings{}, conf.Problems{{File: file, What: reason(err), Hint: "name a readable alertmanager.yml, or none for the built-in one"}}
		}
	}

	f, problems := place.Parse(name, data)
	if len(problems) > 0 {
		return settings{}, problems
	}
	c, bots, refused := amfile.Parse(f, data, filepath.Dir(file))
	if problems = merge(checkNames(f), refused); len(problems) > 0 {
		return settings{}, place.Sorted(problems)
	}
	s, problems := build(f, c, bots, external, log, hub)
	s.sum = contents(data, c.Templates)
	return s, problems
}

// build makes of a configuration what can be put in force.
func build(f place.File, c *config.Config, bots []amfile.Bot, external *url.URL, log *slog.Logger, hub *chatbot.Hub) (settings, conf.Problems) {
	tmpl, err := chatbot.Templates(c.Templates)
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
		list, err := receiver.BuildReceiverIntegrations(rcv, tmpl, log)
		if err != nil {
			problems = append(problems, f.Problem(f.At("receivers", i), err.Error(), ""))
		}
		for _, stock := range list {
			s.receivers[rcv.Name] = append(s.receivers[rcv.Name], patient(stock, rcv.Name))
		}
	}
	for _, b := range bots {
		rcv := c.Receivers[b.Receiver].Name
		bot, err := chatbot.New(b.Kind, b.Config, fmt.Sprintf("%s/%d", rcv, b.Index), hub, tmpl, log.With("receiver", rcv))
		if err != nil {
			problems = append(problems, f.Problem(b.At(f), err.Error(), ""))
			continue
		}
		if _, used := s.receivers[rcv]; used {
			s.receivers[rcv] = append(s.receivers[rcv], notify.NewIntegration(bot, &b.Config, b.Kind.Name, b.Index, rcv))
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

// contents is a checksum of a configuration and the files it names.
func contents(data []byte, templates []string) [sha256.Size]byte {
	h := sha256.New()
	add := func(data []byte) { fmt.Fprintf(h, "%d\n%s", len(data), data) }
	add(data)
	for _, pattern := range templates {
		names, _ := filepath.Glob(pattern) // was good a moment ago
		for _, name := range names {
			text, _ := os.ReadFile(name)
			add([]byte(name))
			add(text)
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// reason is an error about a file without the name of the file.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return err.Error()
}
