package policy

import (
	"fmt"
	"strings"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Options is what a policy file is checked against.
type Options struct {
	// Ceiling no policy may exceed; 0 stands for DefaultCeiling.
	Ceiling int
	// Drivers that targets may name; nil stands for swarm alone.
	Drivers []string
	// CheckQuery complains of a query that does not parse; nil takes any. It
	// is handed in because PromQL's parser belongs to the collector.
	CheckQuery func(query string) error
}

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
	problems := doc.Decode(&f)
	for i := range f.Apps {
		f.Apps[i].Ceiling = opts.Ceiling
		for j := range f.Apps[i].Signals {
			path := fmt.Sprintf("apps[%d].signals[%d].", i, j)
			f.Apps[i].Signals[j].complete(func(key string) bool { return doc.Has(path + key) })
		}
	}
	c := checker{opts: opts, has: doc.Has}
	c.file(&f)
	for _, m := range c.found {
		if !spoiled(problems, m.path) {
			problems = append(problems, doc.At(m.path, m.Mistake))
		}
	}
	problems.Sort()
	if len(problems) > 0 {
		return nil, problems
	}
	return &f, nil
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
