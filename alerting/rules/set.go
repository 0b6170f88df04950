package rules

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Set is the rules of some files, free of mistakes.
type Set struct {
	files  []string
	groups map[string]*rulefmt.RuleGroups
}

// Files names the files of the set, for rules.Manager.Update.
func (s Set) Files() []string { return s.files }

// Read reads the files that match the patterns, after the bundled pack if
// wanted, and returns either a Set or all that is wrong, in the order of files
// and lines. A pattern without wildcards must match; one with may match
// nothing, as in Prometheus.
func Read(patterns []string, pack bool) (Set, conf.Problems) {
	if pack {
		return ReadOverridden(patterns, "")
	}
	return newSet().finish(patterns, &duplicates{}, nil)
}

// ReadOverridden is Read with the pack as a file of overrides changes it. An
// empty name changes nothing.
func ReadOverridden(patterns []string, overrides string) (Set, conf.Problems) {
	s, seen := newSet(), &duplicates{}
	problems := s.addPack(overrides, seen)
	return s.finish(patterns, seen, problems)
}

func newSet() Set { return Set{groups: map[string]*rulefmt.RuleGroups{}} }

// finish adds the files that match patterns.
func (s Set) finish(patterns []string, seen *duplicates, all conf.Problems) (Set, conf.Problems) {
	files, problems := expand(patterns)
	all = append(all, problems...)
	for _, name := range files {
		all = append(all, s.add(name, os.ReadFile, seen)...)
	}
	if len(all) > 0 {
		return Set{}, place.Sorted(all)
	}
	return s, nil
}

func (s *Set) add(name string, read func(string) ([]byte, error), seen *duplicates) conf.Problems {
	f, groups, problems := parse(name, read)
	if len(problems) > 0 {
		return problems
	}
	s.files, s.groups[name] = append(s.files, name), groups
	return seen.check(f, groups, nil)
}

// parse reads a file that is free of mistakes in itself.
func parse(name string, read func(string) ([]byte, error)) (place.File, *rulefmt.RuleGroups, conf.Problems) {
	data, err := read(name)
	if err != nil {
		return place.File{}, nil, conf.Problems{{File: name, What: reason(err), Hint: "make it readable or take it off the list of rule files"}}
	}
	f, problems := place.Parse(name, data)
	if len(problems) > 0 {
		return f, nil, problems
	}
	groups, problems := check(f, data)
	return f, groups, problems
}

// expand is the files that match patterns, each once.
func expand(patterns []string) ([]string, conf.Problems) {
	var files []string
	var problems conf.Problems
	for _, pattern := range patterns {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			problems = append(problems, conf.Problem{File: pattern, What: "no valid pattern for file names", Hint: "write it like rules/*.yml"})
			continue
		}
		if len(matches) == 0 && !wild(pattern) {
			matches = []string{pattern} // reading it says why it is not there
		}
		for _, name := range matches {
			if !slices.Contains(files, name) {
				files = append(files, name)
			}
		}
	}
	return files, problems
}

func wild(pattern string) bool {
	for _, c := range pattern {
		if c == '*' || c == '?' || c == '[' {
			return true
		}
	}
	return false
}

// reason is an error about a file without the name of the file.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return err.Error()
}

// A Loader gives the rule manager the Set that was checked, so that what comes
// into force is what was checked even if a file changes in between. Its methods
// may be called concurrently.
type Loader struct {
	parser parser.Parser
	set    atomic.Pointer[Set]
}

var _ promrules.GroupLoader = (*Loader)(nil)

// NewLoader returns a Loader of an empty Set.
func NewLoader() *Loader {
	l := &Loader{parser: parser.NewParser(parser.Options{})}
	l.set.Store(&Set{})
	return l
}

// Use makes s the Set that the manager's next Update finds.
func (l *Loader) Use(s Set) { l.set.Store(&s) }

// Load implements rules.GroupLoader.
func (l *Loader) Load(file string, _ bool, _ model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	groups, ok := l.set.Load().groups[file]
	if !ok {
		return nil, []error{fmt.Errorf("rule file %s was not read", file)}
	}
	return groups, nil
}

// Parse implements rules.GroupLoader.
func (l *Loader) Parse(query string) (parser.Expr, error) { return l.parser.ParseExpr(query) }

// discard is for what Prometheus logs while it reads a file; what matters of
// it is a Problem.
var discard = slog.New(slog.DiscardHandler)
