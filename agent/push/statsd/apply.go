package statsd

import (
	"bytes"
	"hash/maphash"
	"strings"
	"unicode/utf8"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

// intake brings datagrams into the table. It is for one goroutine.
type intake struct {
	feed   *push.Feed
	timers []float64 // bounds of buckets, s
	values []float64 // bounds of buckets of other distributions
	seed   maphash.Seed
	alias  []byte
	labels push.Labels
}

// datagram takes one datagram of an origin.
func (in *intake) datagram(b []byte, from push.Origin) {
	b = bytes.TrimRight(b, "\n")
	if !in.feed.Allow(1 + bytes.Count(b, []byte("\n"))) {
		return
	}
	in.feed.Begin()
	defer in.feed.End()
	sender := in.feed.From(from)
	for len(b) > 0 {
		var text []byte
		text, b, _ = bytes.Cut(b, []byte("\n"))
		text = bytes.TrimRight(text, "\r")
		if len(text) == 0 {
			continue
		}
		in.feed.Drop(in.line(text, sender), 1)
	}
}

// line takes one line, and says why not if it does not.
func (in *intake) line(text []byte, sender *push.Sender) push.Reason {
	l, why := parse(text)
	if why != 0 {
		return why
	}
	p, why := in.point(&l, sender)
	if why != 0 {
		return why
	}
	taken := 0
	for more := true; more; {
		var value []byte
		value, l.values, more = bytes.Cut(l.values, []byte(":"))
		if why := in.value(&l, value, p); why != 0 {
			in.feed.Take(taken)
			return why
		}
		taken++
	}
	in.feed.Take(taken)
	return 0
}

// point finds the point of a line, by the line's own bytes if they came before.
func (in *intake) point(l *line, sender *push.Sender) (*push.Point, push.Reason) {
	in.alias = append(append(append(in.alias[:0], byte(l.kind)), l.name...), 0)
	in.alias = append(in.alias, l.tags...)
	if p := sender.Known(in.alias); p != nil {
		return p, 0
	}
	if !utf8.Valid(in.alias) {
		return nil, push.BadUTF8
	}
	m, ok := in.metric(l)
	if !ok {
		return nil, push.Malformed
	}
	in.tags(string(l.tags))
	p, why := sender.Point(&m, &in.labels)
	if why == 0 {
		sender.Remember(in.alias, p)
	}
	return p, why
}

// metric is what a line's name and type come to.
func (in *intake) metric(l *line) (push.Metric, bool) {
	m := push.Metric{Name: underscored(string(l.name), true), Held: true}
	switch l.kind {
	case counter:
		m.Kind, m.Name = push.Counter, ending(m.Name, "_total")
	case gauge:
		m.Kind = push.Gauge
	case timer:
		m.Kind, m.Name, m.Unit, m.Bounds = push.Histogram, ending(m.Name, "_seconds"), "seconds", in.timers
	case distribution:
		m.Kind, m.Bounds = push.Histogram, in.values
	case set:
		m.Kind = push.Set
	}
	return m, strings.Trim(m.Name, "_") != ""
}

func ending(name, suffix string) string {
	if strings.HasSuffix(name, suffix) {
		return name
	}
	return name + suffix
}

func (in *intake) tags(list string) {
	in.labels.Reset()
	for tag := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(tag, ":")
		if !ok {
			value = "true"
		}
		if key != "" {
			in.labels.Add(underscored(key, false), key, value)
		}
	}
}

// value adds one value to a line's point.
func (in *intake) value(l *line, value []byte, p *push.Point) push.Reason {
	if l.kind == set {
		if len(value) == 0 {
			return push.Malformed
		}
		return p.See(maphash.Bytes(in.seed, value))
	}
	v, ok := number(value)
	if !ok {
		return push.Malformed
	}
	switch l.kind {
	case counter:
		return p.Add(v / l.rate)
	case gauge:
		if value[0] == '+' || value[0] == '-' {
			return p.Add(v)
		}
		return p.Set(v)
	case timer:
		v /= 1000
	}
	return p.Observe(v, 1/l.rate)
}

// underscored makes of what is no letter or digit an underscore. Names of
// metrics may have colons, those of labels not; neither begins with a digit.
func underscored(name string, colons bool) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == ':' && colons:
			return r
		}
		return '_'
	}, name)
	if name != "" && name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	return name
}
