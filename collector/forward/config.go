package forward

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Config says where to send, and what every series is given on its way. The
// zero Config sends nowhere.
type Config struct {
	ExternalLabels labels.Labels // where the series has none of that name
	Endpoints      []*config.RemoteWriteConfig
}

// file is as much of a prometheus.yml as concerns remote write:
//
//	global:
//	  external_labels: {cluster: a}
//	remote_write:
//	  - url: https://example.org/api/v1/write
type file struct {
	Global struct {
		ExternalLabels labels.Labels `yaml:"external_labels"`
	} `yaml:"global"`
	RemoteWrite []*entry `yaml:"remote_write"`
}

// entry keeps its mistake for later, so that the others are read as well.
type entry struct {
	config.RemoteWriteConfig
	err error
}

// UnmarshalYAML reads an endpoint as Prometheus does.
func (e *entry) UnmarshalYAML(unmarshal func(any) error) error {
	e.err = unmarshal(&e.RemoteWriteConfig)
	return nil
}

// LoadFile reads a configuration, or tells of every mistake in it. Paths in it
// are relative to it.
func LoadFile(name string) (Config, conf.Problems) {
	data, err := os.ReadFile(name)
	if err != nil {
		return Config{}, conf.Problems{{File: name, What: "cannot be read: " + err.Error()}}
	}
	cfg, problems := parse(name, data)
	if len(problems) > 0 {
		return Config{}, problems
	}
	for _, e := range cfg.Endpoints {
		e.SetDirectory(filepath.Dir(name))
	}
	return cfg, nil
}

func parse(name string, data []byte) (Config, conf.Problems) {
	var f file
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, refused(name, 0, err)
	}
	cfg := Config{ExternalLabels: f.Global.ExternalLabels}
	lines := entryLines(data)
	var problems conf.Problems
	names := map[string]int{}
	for i, e := range f.RemoteWrite {
		line := 0
		if i < len(lines) {
			line = lines[i]
		}
		if err := e.check(); err != nil {
			problems = append(problems, refused(name, line, err)...)
			continue
		}
		label := endpointName(&e.RemoteWriteConfig)
		if first, again := names[label]; again {
			problems = append(problems, conf.Problem{
				File: name, Line: line, Col: 1,
				What: fmt.Sprintf("another endpoint, on line %d, is called %s", first, conf.Quote(label)),
				Hint: "give each a name of its own: the name is how its place in the spool is found again",
			})
		}
		names[label] = line
		cfg.Endpoints = append(cfg.Endpoints, &e.RemoteWriteConfig)
	}
	return cfg, problems
}

func (e *entry) check() error {
	if e == nil {
		return errors.New("endpoint is empty")
	}
	if e.err != nil {
		return e.err
	}
	if u := e.URL.URL; u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("url must be like https://host/api/v1/write")
	}
	return e.Validate(model.UTF8Validation)
}

// endpointName is what an endpoint is called in metrics, logs and the spool: its
// name or, of its URL, the part that holds no secrets.
func endpointName(c *config.RemoteWriteConfig) string { return cmp.Or(c.Name, shownURL(c)) }

func shownURL(c *config.RemoteWriteConfig) string {
	return (&url.URL{Scheme: c.URL.Scheme, Host: c.URL.Host, Path: c.URL.Path}).String()
}

// entryLines are the lines on which the endpoints begin.
func entryLines(data []byte) []int {
	var f struct {
		RemoteWrite []yaml.Node `yaml:"remote_write"`
	}
	if yaml.Unmarshal(data, &f) != nil {
		return nil
	}
	var lines []int
	for _, n := range f.RemoteWrite {
		lines = append(lines, n.Line)
	}
	return lines
}

// refused turns the library's error into problems, without any value of the
// file: it might be a secret.
func refused(name string, line int, err error) conf.Problems {
	var badURL *url.Error
	if errors.As(err, &badURL) {
		err = errors.New("url cannot be read; write special characters in it as %XX")
	}
	var many *yaml.TypeError
	messages := []string{err.Error()}
	if errors.As(err, &many) {
		messages = many.Errors
	}
	var all conf.Problems
	for _, m := range messages {
		all = append(all, problem(name, line, m))
	}
	slices.SortStableFunc(all, func(a, b conf.Problem) int { return cmp.Compare(a.Line, b.Line) })
	return all
}

var (
	atLine  = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknown = regexp.MustCompile(`^field (\S+) not found in type (.+)$`)
	value   = regexp.MustCompile("(!!\\w+) `[^`]*`")
)

func problem(name string, line int, message string) conf.Problem {
	if m := atLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = m[2]
	}
	p := conf.Problem{File: name, Line: line, Col: 1}
	if m := unknown.FindStringSubmatch(message); m != nil {
		p.What, p.Hint = "unknown key "+conf.Quote(m[1]), "correct its spelling or remove it"
		if strings.HasPrefix(m[2], "forward.") || strings.HasPrefix(m[2], "struct") {
			p.Hint = "of a prometheus.yml, only remote_write and global.external_labels belong here"
		}
		return p
	}
	p.What = value.ReplaceAllString(strings.TrimPrefix(message, "yaml: "), "$1")
	return p
}
