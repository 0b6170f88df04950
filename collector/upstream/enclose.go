package upstream

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// An answer does not say how old its samples are: rates go on for minutes over
// samples that no longer come, and a querier that has lost its stores answers
// with nothing, and without a warning. So each query asks for the time of the
// newest sample as well, in the same evaluation: asked for before or after, it
// may be about other stores.

// witness is the label of the element that tells of the newest sample.
const witness = "plimsoll_newest"

// enclose adds the witness to a query.
func (u *Upstream) enclose(expr string) (string, error) {
	// What our parser does not know, the upstream may.
	if parsed, err := u.parser.ParseExpr(expr); err == nil {
		switch kind := parsed.Type(); kind {
		case parser.ValueTypeVector:
		case parser.ValueTypeScalar:
			expr = "vector(" + expr + "\n)"
		default:
			return "", fmt.Errorf("gives a %s; an instant vector or a scalar is needed", parser.DocumentedType(kind))
		}
	}
	// A comment may end the expression, hence the new line.
	return fmt.Sprintf("(%s\n) or label_replace(%s, %q, \"1\", \"\", \"\")", expr, u.opts.Newest, witness), nil
}

// disclose takes the witness out of an answer and hears it.
func (u *Upstream) disclose(vector model.Vector, at time.Time) (model.Vector, error) {
	var (
		rest model.Vector
		seen *model.Sample
	)
	for _, s := range vector {
		if _, ok := s.Metric[witness]; ok {
			seen = s
		} else {
			rest = append(rest, s)
		}
	}
	if seen == nil || seen.Histogram != nil {
		return nil, fmt.Errorf("%w: it has no samples of agents of the last minutes (%s gives nothing)", ErrStale, u.opts.Newest)
	}
	v := float64(seen.Value)
	if math.IsNaN(v) || math.Abs(v) > 1e12 {
		return nil, fmt.Errorf("%w: its newest sample is of %v, which is no time", ErrStale, v)
	}
	lag := at.Sub(time.UnixMilli(int64(v * 1000)))
	u.metrics.lag.Set(max(lag, 0).Seconds())
	if lag > u.opts.MaxLag {
		return nil, fmt.Errorf("%w: its newest sample is %v old", ErrStale, lag.Round(time.Second))
	}
	return rest, nil
}
