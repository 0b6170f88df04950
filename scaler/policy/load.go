package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Options is what a policy file is checked against.
type Options struct {
	// Ceiling no policy may exceed; 0 stands for DefaultCeiling.
	Ceiling int
	// Drivers that targets may name; nil stands for swarm alone.
	Drivers []string
	// CheckQuery reads a query; nil takes any. An error that is a *QueryError
	// knows its place. It is handed in because PromQL's parser belongs to the
	// collector.
	CheckQuery func(query string) (Facts, error)
	// Retention is how long the collector keeps samples; 0 if that is not known.
	Retention time.Duration
}

// Facts are what a query tells before anybody asks it.
type Facts struct {
	// Back is how far it looks back at most: its ranges. An offset is none of it: it
	// looks at another time, not at more of it.
	Back time.Duration
	// Many tells that it may return more than one series.
	Many bool
	// Bare are counters that it takes as they are, without their rate.
	Bare []string
}

// QueryError is a query that does not parse.
type QueryError struct {
	At   int // offset in it, in bytes
	What string
}

func (e *QueryError) Error() string { return e.What }

// Parse is Load for the bytes of a file. The error is of type conf.Problems.
func Parse(file string, data []byte, opts Options) (*File, error) {
	doc, err := conf.Parse(file, data)
	if err != nil {
		return nil, err
	}
	f, problems := Load(doc, opts)
	return f, problems.Err()
}

// Load reads a policy file, fills in its defaults and checks it. It returns
// all mistakes at once; with any of them, the file is nil.
func Load(doc *conf.Doc, opts Options) (*File, conf.Problems) {
	if opts.Ceiling == 0 {
		opts.Ceiling = DefaultCeiling
	}
	if opts.Drivers == nil {
		opts.Drivers = []string{"swarm"}
	}
	var f File
	problems := doc.Inherit("defaults", "apps")
	problems = append(problems, doc.Decode(&f)...)
	for i := range f.Apps {
		f.Apps[i].Ceiling = opts.Ceiling
		f.Apps[i].Target.complete()
		for j := range f.Apps[i].Signals {
			path := fmt.Sprintf("apps[%d].signals[%d].", i, j)
			f.Apps[i].Signals[j].complete(func(key string) bool { return doc.Has(path + key) })
		}
	}
	c := checker{opts: opts, has: doc.Has}
	c.file(&f)
	unread, told := slices.Clip(problems), map[string]bool{}
	for _, m := range c.found {
		if !told[m.path] && !spoiled(unread, doc.Origin(m.path)) {
			told[m.path] = true // one thing is wrong with a value at a time
			problems = append(problems, m.in(doc))
		}
	}
	problems.Sort()
	if len(problems) > 0 {
		return nil, problems.Once()
	}
	c.lint(&f)
	for _, m := range c.warnings {
		f.Warnings = append(f.Warnings, m.in(doc))
	}
	f.Warnings.Sort()
	f.Warnings = f.Warnings.Once()
	return &f, nil
}

// in is the finding in its place.
func (f finding) in(doc *conf.Doc) conf.Problem {
	if f.at >= 0 {
		return doc.Inside(f.path, f.at, f.Mistake)
	}
	return doc.At(f.path, f.Mistake)
}

// spoiled tells whether the value at path, or what it is part of, could not
// even be read: then what it means has not been said, and a second complaint
// would only confuse.
func spoiled(problems conf.Problems, path string) bool {
	for _, p := range problems {
		rest, below := strings.CutPrefix(path, p.Path)
		if below && p.Key == "" && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}
