package expose

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// format is a way to write series down.
type format int

const (
	text        format = iota // Prometheus' text exposition format, version 0.0.4
	openMetrics               // OpenMetrics, version 1.0
	formats
)

// contentType as the formats' specifications have it.
func (f format) contentType() string {
	if f == openMetrics {
		return "application/openmetrics-text; version=1.0.0; charset=utf-8"
	}
	return "text/plain; version=0.0.4; charset=utf-8"
}

// jobLabel is the label by which sources say which exporter has such series.
const jobLabel = "job"

// textHeader is what precedes the lines of a family in the text format:
//
//	# HELP container_threads Threads that are running.
//	# TYPE container_threads gauge
func (f *family) textHeader() string {
	name := f.metric.Name
	header := "# TYPE " + name + " " + f.kind.String() + "\n"
	if f.metric.Help == "" {
		return header
	}
	help := strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(mended(f.metric.Help))
	return "# HELP " + name + " " + help + "\n" + header
}

// openMetricsHeader is the same in OpenMetrics. There the family of a counter
// is called without the _total of its series. A counter whose name does not end
// so, or whose family would be called like another, is of no known type. A unit
// may be told only if the family's name ends with it.
func (f *family) openMetricsHeader(byName map[string]*family) string {
	name, kind := f.metric.Name, f.kind.String()
	if f.kind == sample.Counter {
		short, ok := strings.CutSuffix(name, "_total")
		if ok && short != "" && byName[short] == nil {
			name = short
		} else {
			kind = "unknown"
		}
	}
	if f.kind == sample.Untyped {
		kind = "unknown"
	}
	var b strings.Builder
	if f.metric.Help != "" {
		help := strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(mended(f.metric.Help))
		b.WriteString("# HELP " + name + " " + help + "\n")
	}
	b.WriteString("# TYPE " + name + " " + kind + "\n")
	if unit := f.metric.Unit; unit != "" && strings.HasSuffix(name, "_"+unit) {
		b.WriteString("# UNIT " + name + " " + unit + "\n")
	}
	return b.String()
}

// appendLabels appends labels as both formats have them, without braces and
// without the one to skip. An empty value is the same as none.
func appendLabels(dst []byte, labels []sample.Label, skip string) []byte {
	start := len(dst)
	for _, l := range labels {
		if l.Value == "" || l.Name == skip {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, l.Name...)
		dst = append(dst, `="`...)
		dst = appendEscaped(dst, mended(l.Value))
		dst = append(dst, '"')
	}
	return dst
}

func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '\\', '"':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// mended is s as text that parsers take: at one byte that is not UTF-8 a server
// refuses the whole answer, and at a zero byte Prometheus' lexers see its end.
func mended(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// appendLine appends one series with its value. No time goes with it: the
// server's own is as good, and with a time of ours it would keep showing a
// series for minutes after its end.
func appendLine(dst []byte, name, own, shared string, value float64) []byte {
	dst = append(dst, name...)
	if own != "" || shared != "" {
		dst = append(dst, '{')
		dst = append(dst, own...)
		if own != "" && shared != "" {
			dst = append(dst, ',')
		}
		dst = append(dst, shared...)
		dst = append(dst, '}')
	}
	dst = append(dst, ' ')
	dst = appendValue(dst, value)
	return append(dst, '\n')
}

// appendValue writes whole numbers, which most are, in a third of the time that
// the shortest decimal takes. Values go through unchanged, to the last bit but
// for the payload of a NaN.
func appendValue(dst []byte, v float64) []byte {
	const exact = 1 << 53
	if n := int64(v); -exact < v && v < exact && math.Float64bits(float64(n)) == math.Float64bits(v) {
		return strconv.AppendInt(dst, n, 10)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

// validMetric tells whether both formats can carry a metric's name.
func validMetric(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != ':' && !validByte(c, i) {
			return false
		}
	}
	return name != ""
}

// validLabels tells whether labels have names that both formats can carry, and
// no two of them or of others the same.
func validLabels(labels, others []sample.Label) bool {
	named := func(in []sample.Label, name string) bool {
		for i := range in {
			if in[i].Name == name {
				return true
			}
		}
		return false
	}
	for i, l := range labels {
		if l.Name == "" || l.Name == "__name__" || named(labels[:i], l.Name) || named(others, l.Name) {
			return false
		}
		for at := range len(l.Name) {
			if !validByte(l.Name[at], at) {
				return false
			}
		}
	}
	return true
}

func validByte(c byte, at int) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || at > 0 && c >= '0' && c <= '9'
}
