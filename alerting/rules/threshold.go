package rules

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Threshold is the one number of a bundled rule that may be changed. It is the
// last of a line of the expression, before a comment:
//
//	) > 0.90 # threshold: %
//
// Prometheus knows nothing of it, so the pack is also plain rule files.
type Threshold struct {
	Value float64 // as in the expression; of a percentage, a share of 1
	Unit  string  // "%", "s" for seconds, "B" for bytes or "" for none
}

// mark is a number, its comment, and nothing else up to the end of the line.
var mark = regexp.MustCompile(`(?m)\b(\d+(?:\.\d+)?)( # threshold(?:: ([%sB]))?)$`)

// threshold finds the mark in an expression, if it has one.
func threshold(expr string) (Threshold, bool) {
	m := mark.FindStringSubmatch(expr)
	if m == nil {
		return Threshold{}, false
	}
	value, err := strconv.ParseFloat(m[1], 64)
	return Threshold{Value: value, Unit: m[3]}, err == nil
}

// withThreshold is the expression with another number in the marked place.
func withThreshold(expr string, value float64) string {
	return mark.ReplaceAllString(expr, strconv.FormatFloat(value, 'f', -1, 64)+"${2}")
}

// String writes a threshold as Parse reads it: "90%", "10m", "64MiB", "3".
func (t Threshold) String() string {
	switch t.Unit {
	case "%":
		return conf.Percent(t.Value).String()
	case "s":
		return Duration(time.Duration(t.Value * float64(time.Second)))
	case "B":
		return conf.Size(t.Value).String()
	}
	return strconv.FormatFloat(t.Value, 'f', -1, 64)
}

// Duration writes a time as rule files do: "5m", not "5m0s".
func Duration(d time.Duration) string {
	if d%time.Millisecond != 0 {
		return d.String()
	}
	return model.Duration(d).String()
}

// Parse reads another value for a threshold, in its own unit. Errors are of
// type conf.Mistake.
func (t Threshold) Parse(text string) (Threshold, error) {
	was := t
	var err error
	switch t.Unit {
	case "%":
		var p conf.Percent
		if err = p.Set(text); err == nil && (p <= 0 || p >= 1) {
			err = conf.Mistake{What: text + " is never or always exceeded", Hint: "choose a percentage between 0% and 100%"}
		}
		t.Value = float64(p)
	case "s":
		var d time.Duration
		d, err = conf.ParseDuration(text)
		t.Value = d.Seconds()
	case "B":
		var s conf.Size
		err = s.Set(text)
		t.Value = float64(s)
	default:
		if t.Value, err = conf.ParseNumber(text); err != nil {
			err = conf.Mistake{What: conf.Quote(text) + " is not a number", Hint: "write it like 3 or 0.5"}
		}
	}
	if err == nil && t.Value < 0 {
		err = conf.Mistake{What: text + " is below 0", Hint: fmt.Sprintf("write it like %s", was)}
	}
	return t, err
}
