package rollup

import "strings"

// kind is what the samples of a series mean, as far as it is known.
type kind uint8

const (
	unknown kind = iota
	counter
	gauge
)

// kindOf tells it from the name and the type that the metric's source declares,
// as Prometheus spells it. The name is asked first because it is known even
// when, after a restart, no source has spoken yet.
func kindOf(name, declared string) kind {
	switch {
	case strings.HasSuffix(name, "_total"), strings.HasSuffix(name, "_bucket"):
		return counter
	case declared == "counter":
		return counter
	case declared == "histogram", declared == "summary":
		if strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum") {
			return counter
		}
		return gauge // a quantile
	case declared == "gauge", declared == "info", declared == "stateset", declared == "gaugehistogram":
		return gauge
	}
	return unknown
}
