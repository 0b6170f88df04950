package backtest

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limit is when a run has failed: "under>1%", "replica_hours>+10%".
//
//	limit    = measure compare value
//	measure  = the name of one of Measures
//	compare  = ">" | ">=" | "<" | "<="
//	value    = number [ unit ]            itself
//	         | ("+" | "-") number "%"     beyond the other policy's, relative to it
//	unit     = "%" | "ms" | "s" | "m" | "h" | "d", as the measure has it
//
// Spaces may stand anywhere between the parts. A number of a measure of time takes a
// unit, one of a share may go without its sign.
type Limit struct {
	Text    string // as it was written
	Measure Measure
	Compare string // >, >=, < or <=
	Value   float64
	// Relative tells that Value is a share of what the other policy has, from -1 on.
	Relative bool
}

// LimitError is what is wrong with the text of a Limit, and where.
type LimitError struct {
	Text   string
	Column int // from 1, in characters
	What   string
}

// Error implements error.
func (e LimitError) Error() string {
	return fmt.Sprintf("%s\n  %s\n  %s^", e.What, e.Text, strings.Repeat(" ", e.Column-1))
}

// ParseLimit reads a Limit. The error is a LimitError.
func ParseLimit(text string) (Limit, error) {
	p := limitParser{text: text, rest: text}
	l := Limit{Text: strings.TrimSpace(text)}
	name := p.take(func(c byte) bool { return c >= 'a' && c <= 'z' || c == '_' })
	var ok bool
	if l.Measure, ok = measure(name.text); !ok {
		if name.text == "" {
			return Limit{}, p.fail(name, "begin with what is measured: %s", names())
		}
		return Limit{}, p.fail(name, "%q is not measured; what is: %s", name.text, names())
	}
	how := p.take(func(c byte) bool { return c == '>' || c == '<' || c == '=' })
	switch how.text {
	case ">", ">=", "<", "<=":
		l.Compare = how.text
	default:
		return Limit{}, p.fail(how, "compare with >, >=, < or <=")
	}
	sign := p.take(func(c byte) bool { return c == '+' || c == '-' })
	number := p.take(func(c byte) bool { return c >= '0' && c <= '9' || c == '.' })
	v, err := strconv.ParseFloat(number.text, 64)
	if err != nil || math.IsInf(v, 0) {
		return Limit{}, p.fail(number, "a number is missing")
	}
	unit := p.take(func(c byte) bool { return c == '%' || c >= 'a' && c <= 'z' })
	if end := p.take(func(byte) bool { return true }); end.text != "" {
		return Limit{}, p.fail(end, "the limit ends before this")
	}
	switch sign.text {
	case "":
		l.Value, err = l.Measure.value(v, unit.text)
	case "+", "-":
		l.Relative, l.Value = true, v/100
		if sign.text == "-" {
			l.Value = -l.Value
		}
		if unit.text != "%" || l.Value < -1 {
			err = fmt.Errorf("what follows + and - is a share of what the other policy has, like +10%%")
		}
	default:
		return Limit{}, p.fail(sign, "one sign is enough")
	}
	if err != nil {
		return Limit{}, p.fail(unit, "%v", err)
	}
	return l, nil
}

func names() string {
	var all []string
	for _, m := range Measures() {
		all = append(all, m.Name)
	}
	return strings.Join(all, ", ")
}

// value is a number with its unit in the measure's own.
func (m Measure) value(v float64, unit string) (float64, error) {
	seconds := map[string]float64{"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
	switch m.Unit {
	case "%":
		if unit == "" || unit == "%" {
			return v, nil
		}
		return 0, fmt.Errorf("%s is a share, like 1%%", m.Name)
	case "s", "min":
		if s, ok := seconds[unit]; ok {
			if m.Unit == "min" {
				s /= 60
			}
			return v * s, nil
		}
		return 0, fmt.Errorf("%s is a time, like 90s or 5m", m.Name)
	}
	if unit == "" {
		return v, nil
	}
	return 0, fmt.Errorf("%s is a number without a unit", m.Name)
}

// Verdict is what became of a limit.
type Verdict struct {
	Limit  string `json:"limit"`
	Failed bool   `json:"failed"`
	// Says has the numbers.
	Says string `json:"says"`
}

// Judge tells whether a run is beyond the limit. other is what it is compared with;
// it is nil if there is nothing. What is not known is beyond every limit.
func (l Limit) Judge(s Scores, other *Scores) Verdict {
	v := Verdict{Limit: l.Text}
	got, bound := l.Measure.Of(s), l.Value
	v.Says = l.Measure.Name + " is " + l.Measure.Text(got)
	if math.IsNaN(got) {
		v.Failed = true
		return v
	}
	if l.Relative {
		if other == nil {
			v.Failed, v.Says = true, v.Says+", and there is nothing to compare it with"
			return v
		}
		base := l.Measure.Of(*other)
		if math.IsNaN(base) {
			v.Failed, v.Says = true, v.Says+", the other's not known"
			return v
		}
		bound = base + math.Abs(base)*l.Value
		v.Says += ", the other's " + l.Measure.Text(base)
		if base != 0 {
			v.Says += fmt.Sprintf(" (%+.1f %%)", 100*(got-base)/math.Abs(base))
		}
	}
	switch way := cmp.Compare(got, bound); l.Compare {
	case ">":
		v.Failed = way > 0
	case ">=":
		v.Failed = way >= 0
	case "<":
		v.Failed = way < 0
	case "<=":
		v.Failed = way <= 0
	}
	return v
}

// limitParser cuts a text into parts.
type limitParser struct{ text, rest string }

// part is a piece of the text, and where it begins.
type part struct {
	text string
	at   int
}

// take is the longest beginning of what is left whose characters are of a kind, behind
// spaces.
func (p *limitParser) take(of func(c byte) bool) part {
	p.rest = strings.TrimLeft(p.rest, " \t")
	n := 0
	for n < len(p.rest) && of(p.rest[n]) {
		n++
	}
	t := part{p.rest[:n], len(p.text) - len(p.rest)}
	p.rest = p.rest[n:]
	return t
}

func (p *limitParser) fail(at part, format string, args ...any) error {
	return LimitError{p.text, utf8.RuneCountInString(p.text[:at.at]) + 1, fmt.Sprintf(format, args...)}
}
