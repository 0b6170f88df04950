package expose

import (
	"iter"
	"mime"
	"strconv"
	"strings"
)

// prefersOpenMetrics tells from the values of Accept, such as
//
//	application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1
//
// whether a client would rather have OpenMetrics 1.0 than the text format.
func prefersOpenMetrics(accept []string) bool {
	var ours, other float64
	for kind, params := range offers(accept) {
		q := weight(params)
		switch kind {
		case "application/openmetrics-text":
			if v := params["version"]; v == "" || v == "1.0.0" {
				ours = max(ours, q)
			}
		case "text/plain", "text/*", "*/*":
			other = max(other, q)
		}
	}
	return ours > 0 && ours >= other
}

// acceptsGzip tells it from the values of Accept-Encoding.
func acceptsGzip(accept []string) bool {
	for kind, params := range offers(accept) {
		if kind == "gzip" {
			return weight(params) > 0
		}
	}
	return false
}

// offers are the parts of a header that lists what a client takes, as RFC 9110
// section 12.4 has it. What is not well formed is passed over.
func offers(header []string) iter.Seq2[string, map[string]string] {
	return func(yield func(string, map[string]string) bool) {
		for _, list := range header {
			for part := range strings.SplitSeq(list, ",") {
				kind, params, err := mime.ParseMediaType(part)
				if err == nil && !yield(kind, params) {
					return
				}
			}
		}
	}
}

func weight(params map[string]string) float64 {
	q, ok := params["q"]
	if !ok {
		return 1
	}
	w, err := strconv.ParseFloat(q, 64)
	if err != nil {
		return 0
	}
	return w
}
