package statsd

import (
	"bytes"
	"math"
	"strconv"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

// line is one line of a datagram:
//
//	render:320:290|ms|@0.5|#page:cart,cold
//
// Its slices are parts of the datagram.
type line struct {
	name   []byte
	values []byte // "320:290"
	kind   kind
	rate   float64 // in (0, 1]
	tags   []byte  // "page:cart,cold"
}

// kind is a line's type, as a letter.
type kind byte

const (
	counter      kind = 'c'
	gauge        kind = 'g'
	timer        kind = 'm'
	distribution kind = 'h' // and d
	set          kind = 's'
)

// parse reads a line. It allocates nothing.
func parse(b []byte) (line, push.Reason) {
	l := line{rate: 1}
	if bytes.HasPrefix(b, []byte("_e{")) || bytes.HasPrefix(b, []byte("_sc|")) {
		return l, push.Unsupported
	}
	var ok bool
	if l.name, b, ok = bytes.Cut(b, []byte(":")); !ok || len(l.name) == 0 {
		return l, push.Malformed
	}
	if l.values, b, ok = bytes.Cut(b, []byte("|")); !ok || len(l.values) == 0 {
		return l, push.Malformed
	}
	word, b, more := bytes.Cut(b, []byte("|"))
	switch string(word) {
	case "c":
		l.kind = counter
	case "g":
		l.kind = gauge
	case "ms":
		l.kind = timer
	case "h", "d":
		l.kind = distribution
	case "s":
		l.kind = set
	case "":
		return l, push.Malformed
	default:
		return l, push.Unsupported
	}
	for more {
		var field []byte
		field, b, more = bytes.Cut(b, []byte("|"))
		if why := l.field(field); why != 0 {
			return l, why
		}
	}
	return l, 0
}

// field reads what may follow the type. What is unknown is a later version's,
// and does not change what the rest means.
func (l *line) field(field []byte) push.Reason {
	if len(field) == 0 {
		return push.Malformed
	}
	switch field[0] {
	case '@':
		rate, ok := number(field[1:])
		if !ok || !(rate > 0 && rate <= 1) {
			return push.Malformed
		}
		l.rate = rate
	case '#':
		l.tags = field[1:]
	case 'T':
		return push.Unsupported
	}
	return 0
}

// maxNumber is more than the longest number that says something.
const maxNumber = 32 // bytes

// number reads a decimal number, finite and without the liberties that Go takes.
func number(b []byte) (float64, bool) {
	if len(b) == 0 || len(b) > maxNumber {
		return 0, false
	}
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9', c == '.', c == '-', c == '+', c == 'e', c == 'E':
		default:
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(string(b), 64)
	return v, err == nil && !math.IsInf(v, 0)
}
