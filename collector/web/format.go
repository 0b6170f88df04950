package web

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// unknown stands where a value is not known.
const unknown = "–"

// longest is how many characters of a name or text are shown.
const longest = 200

var functions = template.FuncMap{
	"bytes":   bytesText,
	"cores":   coresText,
	"percent": percentText,
	"level":   level,
	"meter":   func(r reading) string { return strconv.FormatFloat(min(max(r.value, 0), 1), 'f', 4, 64) },
	"value":   func(r reading) float64 { return r.value },
	"has":     func(r reading) bool { return r.known },
	"zero":    func(r reading) bool { return r.known && r.value == 0 },
	"since":   since,
	"started": func(now time.Time, r reading) string { return startedText(now, r) },
	"clock":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") },
	"span":    span,
	"text":    visible,
	"change":  changeText,
	"labels":  labelText,
	"silence": silenceLink,
}

// bytesText shows bytes with three digits and a binary unit: "1.25 GiB".
func bytesText(r reading) string {
	if !r.known {
		return unknown
	}
	v, unit := r.value, 0
	for math.Abs(v) >= 1024 && unit < 5 {
		v /= 1024
		unit++
	}
	name := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}[unit]
	switch {
	case unit == 0 || math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f %s", v, name)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f %s", v, name)
	}
	return fmt.Sprintf("%.2f %s", v, name)
}

func coresText(r reading) string {
	if !r.known {
		return unknown
	}
	return fmt.Sprintf("%.2f", r.value)
}

// percentText shows a share; what is not nothing is not shown as "0 %".
func percentText(r reading) string {
	switch {
	case !r.known:
		return unknown
	case r.value > 0 && r.value < 0.001:
		return "< 0.1 %"
	}
	return fmt.Sprintf("%.1f %%", r.value*100)
}

// level is the class of a share: calm, high or full.
func level(r reading) string {
	switch {
	case !r.known || r.value < 0.8:
		return "calm"
	case r.value < 0.95:
		return "high"
	}
	return "full"
}

// since says how long ago something was.
func since(now, t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return span(now.Sub(t)) + " ago"
}

func startedText(now time.Time, r reading) string {
	if !r.known || r.value <= 0 {
		return unknown
	}
	return since(now, time.UnixMilli(int64(r.value*1000)))
}

// span is a duration in its largest unit and the next: "3 h 12 min".
func span(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%d d %d h", s/(24*3600), s%(24*3600)/3600)
}

// changeText shows replicas now and wanted; only one number if nothing changes.
func changeText(d Decision) string {
	from, to := cmp.Or(d.From, unknown), cmp.Or(d.To, unknown)
	if from == to {
		return from
	}
	return from + " → " + to
}

// visible shows what was named by strangers: escaped where it cannot be seen or
// would turn the direction of the text, cut where it is too long. That it is no
// HTML is the template's business.
func visible(s string) string {
	var b strings.Builder
	n := 0
	for i := 0; i < len(s); n++ {
		if n == longest {
			return b.String() + "…"
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}
