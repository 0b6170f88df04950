package scrape

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// How often a target may be asked, and how long it may take.
const (
	DefaultInterval = 15 * time.Second
	MinInterval     = time.Second
	MaxInterval     = 5 * time.Minute
	MaxTimeout      = 10 * time.Second
)

// The bounds of what labels may ask for.
const (
	maxPathBytes  = 1024
	maxParams     = 16
	maxParamBytes = 256 // of a name and of a value
)

// The labels by which a container asks to be scraped. Ours go before those that
// are the habit with Prometheus.
const (
	ours   = "plimsoll.scrape."
	habit  = "prometheus.io/"
	params = ours + "params."
)

// Spec is what a container's labels say of its metrics.
type Spec struct {
	Scheme   string // "http" or "https"
	Port     uint16
	Path     string // starts with a slash
	Query    string // encoded
	Interval time.Duration
	Timeout  time.Duration // for everything; never more than Interval
}

// ParseLabels reads a container's labels. ok tells whether it is to be scraped;
// the error is of one that would be, but for all the mistakes that it names.
//
//	plimsoll.scrape.enabled   prometheus.io/scrape   true or false
//	plimsoll.scrape.port      prometheus.io/port     1 to 65535, needed
//	plimsoll.scrape.path      prometheus.io/path     /metrics if missing
//	plimsoll.scrape.scheme    prometheus.io/scheme   http, or https, whose certificate is not verified
//	plimsoll.scrape.interval                         1s to 5m, 15s if missing
//	plimsoll.scrape.timeout                          up to the interval and 10s, which it is if missing
//	plimsoll.scrape.params.X                         of the query
func ParseLabels(of map[string]string) (s Spec, ok bool, err error) {
	l := wishes{of: of}
	if on, err := strconv.ParseBool(l.get(l.either("enabled", "scrape"))); err != nil || !on {
		return Spec{}, false, nil
	}
	key := l.either("port", "port")
	port, err := strconv.ParseUint(l.get(key), 10, 16)
	if err != nil || port == 0 {
		l.mistake(key, "a number from 1 to 65535")
	}
	s.Port = uint16(port)
	key = l.either("path", "path")
	s.Path = cmp.Or(l.get(key), "/metrics")
	if s.Path[0] != '/' || len(s.Path) > maxPathBytes {
		l.mistake(key, fmt.Sprintf("a path from / of at most %d bytes", maxPathBytes))
	}
	key = l.either("scheme", "scheme")
	s.Scheme = strings.ToLower(cmp.Or(l.get(key), "http"))
	if s.Scheme != "http" && s.Scheme != "https" {
		l.mistake(key, "http or https")
	}
	s.Interval = l.duration(ours+"interval", DefaultInterval, MinInterval, MaxInterval)
	longest := min(s.Interval, MaxTimeout)
	s.Timeout = l.duration(ours+"timeout", longest, time.Millisecond, longest)
	s.Query = l.query()
	if len(l.mistakes) > 0 {
		return Spec{}, false, errors.Join(l.mistakes...)
	}
	return s, true, nil
}

// wishes are the labels of a container, and what is wrong with them.
type wishes struct {
	of       map[string]string
	mistakes []error
}

// either is our label if it is there, else the one that is usual.
func (l *wishes) either(name, usual string) string {
	if _, ok := l.of[ours+name]; ok {
		return ours + name
	}
	return habit + usual
}

func (l *wishes) get(key string) string { return strings.TrimSpace(l.of[key]) }

func (l *wishes) mistake(key, allowed string) {
	l.mistakes = append(l.mistakes, fmt.Errorf("label %.100s: %.100q: allowed is %s", key, l.of[key], allowed))
}

func (l *wishes) duration(key string, missing, least, most time.Duration) time.Duration {
	if _, ok := l.of[key]; !ok {
		return missing
	}
	d, err := time.ParseDuration(l.get(key))
	if err != nil || d < least || d > most {
		l.mistake(key, fmt.Sprintf("a duration from %s to %s", least, most))
		return missing
	}
	return d
}

func (l *wishes) query() string {
	q := make(url.Values)
	for _, key := range slices.Sorted(maps.Keys(l.of)) {
		name, ok := strings.CutPrefix(key, params)
		if !ok || name == "" {
			continue
		}
		value := l.of[key]
		if len(q) == maxParams || len(key) > len(params)+maxParamBytes || len(value) > maxParamBytes || !utf8.ValidString(key+value) {
			l.mistake(key, fmt.Sprintf("text of at most %d bytes in %d parameters", maxParamBytes, maxParams))
			break
		}
		q.Set(name, value)
	}
	return q.Encode()
}
