package rules

import (
	_ "embed"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// catalogueText has a line for each metric that agents and collectors export by
// themselves: its name, its type and how many seconds lie between two values, 0
// if that is not known. make generate writes it from the code.
//
//go:embed catalogue.txt
var catalogueText string

// Metric is what is known of a metric.
type Metric struct {
	Kind  string        // counter, gauge, histogram, summary; unknown if only a running process can tell
	Every time.Duration // between two values, by default; 0 if not known
}

// Catalogue is the metrics that a rule may name. The zero Catalogue is empty
// and may only be read.
type Catalogue struct {
	exact    map[string]Metric
	patterns map[string]Metric // as path.Match takes them: node_memory_*_bytes
}

// Exported is what agents and collectors export by themselves. What else a
// collector has depends on what containers expose and others send.
func Exported() Catalogue {
	c := Catalogue{exact: map[string]Metric{}, patterns: map[string]Metric{}}
	for line := range strings.Lines(catalogueText) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] == "#" {
			continue
		}
		seconds, err := strconv.Atoi(fields[2])
		if err != nil {
			continue
		}
		c.add(fields[0], Metric{Kind: fields[1], Every: time.Duration(seconds) * time.Second})
	}
	return c
}

func (c *Catalogue) add(name string, m Metric) {
	if strings.Contains(name, "*") {
		c.patterns[name] = m
	} else {
		c.exact[name] = m
	}
}

// With is c and names, each of which may be a pattern like app_*.
func (c Catalogue) With(names ...string) Catalogue {
	more := Catalogue{exact: maps.Clone(c.exact), patterns: maps.Clone(c.patterns)}
	if more.exact == nil {
		more.exact, more.patterns = map[string]Metric{}, map[string]Metric{}
	}
	for _, name := range names {
		if _, known := c.Find(name); !known {
			more.add(name, Metric{Kind: "unknown"})
		}
	}
	return more
}

// series are what the parts of one metric are stored as.
var series = map[string][]string{"_bucket": {"histogram"}, "_sum": {"histogram", "summary"}, "_count": {"histogram", "summary"}}

// Find tells what is known of the metric that a series of this name is of, or
// that nothing is.
func (c Catalogue) Find(name string) (Metric, bool) {
	if m, ok := c.exact[name]; ok {
		return m, true
	}
	for suffix, kinds := range series {
		if whole, ok := strings.CutSuffix(name, suffix); ok {
			if m, ok := c.exact[whole]; ok && (m.Kind == "unknown" || slices.Contains(kinds, m.Kind)) {
				return m, true
			}
		}
	}
	for pattern, m := range c.patterns {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return m, true
		}
	}
	return Metric{}, false
}

// Matches tells whether a known name satisfies all of some conditions.
func (c Catalogue) Matches(good func(name string) bool) bool {
	for name, m := range c.exact {
		if good(name) {
			return true
		}
		for suffix, kinds := range series {
			if (m.Kind == "unknown" || slices.Contains(kinds, m.Kind)) && good(name+suffix) {
				return true
			}
		}
	}
	return len(c.patterns) > 0 && slices.ContainsFunc(slices.Collect(maps.Keys(c.patterns)), func(p string) bool {
		return good(strings.ReplaceAll(p, "*", "Example"))
	})
}

// Nearest is the known name that name is most likely a slip of, or "".
func (c Catalogue) Nearest(name string) string {
	return conf.Nearest(name, slices.Sorted(maps.Keys(c.exact)))
}
