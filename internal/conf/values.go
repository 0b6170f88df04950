package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Setter reads itself from the text of a scalar, as flag.Value does, so the
// same type serves a flag and a key of a file. An error of type Mistake keeps
// its hint when it becomes a Problem.
type Setter interface {
	Set(text string) error
}

// Mistake is what is wrong with a value and how to put it right, before anyone
// knows where the value stands.
type Mistake struct {
	What string
	Hint string // empty if there is nothing to add
}

func (m Mistake) Error() string {
	if m.Hint == "" {
		return m.What
	}
	return m.What + ", " + m.Hint
}

// Percent is a share of one: 0.7 for 70%. In a file it is always written with
// the sign, because a bare 70 could mean either 70% or 7000%.
type Percent float64

// Set reads "70%" or "12.5%".
func (p *Percent) Set(text string) error {
	digits, ok := strings.CutSuffix(text, "%")
	n, err := ParseNumber(strings.TrimSpace(digits))
	switch {
	case err != nil:
		return Mistake{fmt.Sprintf("%s is not a percentage", Quote(text)), "write it like 70%"}
	case !ok:
		return Mistake{fmt.Sprintf("%s is not a percentage", Quote(text)), fmt.Sprintf("write %s%%", digits)}
	}
	*p = Percent(n / 100)
	return nil
}

// String writes p as a file would: "70%".
func (p Percent) String() string {
	return formatNumber(float64(p)*100) + "%"
}

// Size is a number of bytes.
type Size int64

// The units of a Size, longest first so that "MiB" is not taken for "B".
var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
}

// Set reads "64MiB", "1.5GB" or "512B". A bare number is refused: nobody
// remembers which unit it would be in.
func (s *Size) Set(text string) error {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := ParseNumber(strings.TrimSpace(digits))
		bytes := n * unit.bytes
		if err != nil || bytes < 0 || bytes >= math.MaxInt64 {
			break
		}
		*s = Size(bytes)
		return nil
	}
	what := fmt.Sprintf("%s is not a size", Quote(text))
	if _, err := ParseNumber(text); err == nil {
		return Mistake{what, fmt.Sprintf("add a unit: %sMiB, or %sB for bytes", text, text)}
	}
	return Mistake{what, "write it like 64MiB or 1.5GB"}
}

// String writes s in the largest binary unit that keeps it whole: "64MiB".
func (s Size) String() string {
	unit := ""
	n := int64(s)
	for _, next := range []string{"Ki", "Mi", "Gi", "Ti"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, next
	}
	return strconv.FormatInt(n, 10) + unit + "B"
}

// ParseDuration reads what time.ParseDuration does, and days: "15d", "1d12h".
// A day is always 24 hours. A bare number is refused, "0" excepted.
func ParseDuration(text string) (time.Duration, error) {
	rest, days := text, time.Duration(0)
	if head, tail, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 64)
		if err != nil || n > uint64(math.MaxInt64/(24*time.Hour)) {
			return 0, badDuration(text)
		}
		days, rest = time.Duration(n)*24*time.Hour, tail
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || (days > 0 && (d < 0 || d > math.MaxInt64-days)) {
		return 0, badDuration(text)
	}
	return days + d, nil
}

func badDuration(text string) error {
	what := fmt.Sprintf("%s is not a duration", Quote(text))
	if _, err := ParseNumber(text); err == nil {
		return Mistake{what, fmt.Sprintf("add a unit: %ss", text)}
	}
	return Mistake{what, "write it like 500ms, 5s, 1h30m or 15d"}
}

// ParseNumber reads a finite decimal number. Hexadecimal, underscores, NaN and
// infinities, which strconv would take, are no numbers a person means.
func ParseNumber(text string) (float64, error) {
	if strings.Trim(text, "+-.0123456789eE") != "" {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(n, 0) {
		return 0, strconv.ErrSyntax
	}
	return n, nil
}

// formatNumber writes n with at most twelve digits, which hides that 0.07·100
// is not quite 7.
func formatNumber(n float64) string {
	return strconv.FormatFloat(n, 'g', 12, 64)
}

// Quote shows text that came from a file: quoted, control characters escaped,
// and cut to 64 bytes.
func Quote(text string) string {
	const limit = 64
	if len(text) > limit {
		return strconv.Quote(strings.ToValidUTF8(text[:limit], "")) + "…"
	}
	return strconv.Quote(text)
}
