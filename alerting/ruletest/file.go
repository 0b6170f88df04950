package ruletest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// file is a file of tests: promtool's format, and a few keys
// of ours beside it.
type file struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval,omitempty"`
	GroupEvalOrder     []string       `yaml:"group_eval_order"`
	Tests              []group        `yaml:"tests"`
	FuzzyCompare       bool           `yaml:"fuzzy_compare,omitempty"`
	// AlertmanagerConfig is beside the file; without one, the configuration
	// that is built in is meant.
	AlertmanagerConfig string `yaml:"alertmanager_config,omitempty"`
	// RulesOverrides is beside the file, too, and changes the pack that is
	// tested as "bundled" in rule_files.
	RulesOverrides string `yaml:"rules_overrides,omitempty"`

	at place.File
}

// group is some series and what is expected of them.
type group struct {
	Name           string             `yaml:"name,omitempty"`
	Interval       model.Duration     `yaml:"interval"`
	InputSeries    []series           `yaml:"input_series"`
	Alerts         []alertTest        `yaml:"alert_rule_test,omitempty"`
	Exprs          []exprTest         `yaml:"promql_expr_test,omitempty"`
	Notifications  []notificationTest `yaml:"notification_test,omitempty"`
	InputAlerts    []inputAlert       `yaml:"input_alerts,omitempty"`
	ExternalLabels labels.Labels      `yaml:"external_labels,omitempty"`
	ExternalURL    string             `yaml:"external_url,omitempty"`
	Start          moment             `yaml:"start_timestamp,omitempty"`
}

type series struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type alertTest struct {
	EvalTime  model.Duration `yaml:"eval_time"`
	Alertname string         `yaml:"alertname"`
	Expected  []struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations map[string]string `yaml:"exp_annotations"`
	} `yaml:"exp_alerts"`
}

type exprTest struct {
	Expr     string           `yaml:"expr"`
	EvalTime model.Duration   `yaml:"eval_time"`
	Expected []expectedSample `yaml:"exp_samples"`
}

type expectedSample struct {
	Labels    string  `yaml:"labels"`
	Value     float64 `yaml:"value"`
	Histogram string  `yaml:"histogram"` // if given, Value is ignored
}

// inputAlert fires from a time on until another, whatever rules say.
type inputAlert struct {
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
	From        model.Duration    `yaml:"from,omitempty"`
	Until       model.Duration    `yaml:"until,omitempty"` // 0: for ever
}

// notificationTest is what people have been told since the test before it.
type notificationTest struct {
	EvalTime model.Duration    `yaml:"eval_time"`
	Expected []expectedMessage `yaml:"exp_notifications"`
}

// expectedMessage says of a message what matters; what it leaves out may be
// anything.
type expectedMessage struct {
	Receiver    string              `yaml:"receiver"`
	Integration string              `yaml:"integration,omitempty"`
	Status      string              `yaml:"status,omitempty"`
	GroupLabels map[string]string   `yaml:"group_labels,omitempty"`
	Alerts      []map[string]string `yaml:"alerts,omitempty"` // labels of each
	Text        map[string]string   `yaml:"text,omitempty"`   // by key of the receiver: "title"
}

// moment is a time as RFC 3339 or in seconds since 1970.
type moment struct{ time.Time }

// UnmarshalYAML implements the interface of the YAML libraries.
func (m *moment) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		m.Time = time.UnixMilli(int64(seconds * 1000)).UTC()
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("cannot parse %q to a valid timestamp", text)
	}
	m.Time = at
	return nil
}

// load reads a file of tests.
func load(name string) (file, conf.Problems) {
	data, err := os.ReadFile(name)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return file{}, conf.Problems{{File: name, What: err.Error(), Hint: "name a readable file of tests"}}
	}
	return parse(name, data)
}

func parse(name string, data []byte) (file, conf.Problems) {
	at, problems := place.Parse(name, data)
	if len(problems) > 0 {
		return file{}, problems
	}
	f := file{at: at}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return file{}, at.Refused(err)
	}
	if f.EvaluationInterval == 0 {
		f.EvaluationInterval = model.Duration(time.Minute)
	}
	seen := map[string]bool{}
	for i, g := range f.GroupEvalOrder {
		if seen[g] {
			problems = append(problems, at.Problem(at.At("group_eval_order", i), fmt.Sprintf("the group %q is there twice", g), "remove one"))
		}
		seen[g] = true
	}
	if f.EvaluationInterval < 0 {
		problems = append(problems, at.Problem(at.At("evaluation_interval"), "is negative", "write it like 15s"))
	}
	for i := range f.Tests {
		g := &f.Tests[i]
		if g.Interval == 0 {
			g.Interval = f.EvaluationInterval
		}
		for j, a := range g.Alerts {
			if a.Alertname == "" {
				problems = append(problems, at.Problem(at.At("tests", i, "alert_rule_test", j), "lacks the name of an alert", "add alertname"))
			}
		}
	}
	return f, problems
}

// beside is a path as the file means it.
func (f *file) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.at.Name), path)
}

// last is the latest time that a test of the group asks about.
func (g *group) last() time.Duration {
	var last model.Duration
	for _, a := range g.Alerts {
		last = max(last, a.EvalTime)
	}
	for _, e := range g.Exprs {
		last = max(last, e.EvalTime)
	}
	for _, n := range g.Notifications {
		last = max(last, n.EvalTime)
	}
	return time.Duration(last)
}

// begin is the time that eval_time counts from.
func (g *group) begin() time.Time {
	if g.Start.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return g.Start.Time
}
