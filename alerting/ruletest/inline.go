package ruletest

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxQuery bounds a query, in bytes. Recorded names that are made of two others
// each, many deep, would fill the memory.
const maxQuery = 100 << 10

// inliner replaces recorded names by what records them.
type inliner struct {
	parser  parser.Parser
	records map[string]recording
	stored  map[string]bool
}

type recording struct {
	expr     string
	labelled bool
	interval time.Duration
}

func newInliner(l loaded, stored []string, interval time.Duration) *inliner {
	in := &inliner{parser: l.parser, records: map[string]recording{}, stored: map[string]bool{}}
	for _, name := range stored {
		in.stored[name] = true
	}
	for _, file := range l.names {
		for _, g := range l.groups[file].Groups {
			for _, r := range g.Rules {
				if r.Record == "" {
					continue
				}
				_, twice := in.records[r.Record]
				in.records[r.Record] = recording{r.Expr, twice || len(r.Labels)+len(g.Labels) > 0, cmp.Or(time.Duration(g.Interval), interval)}
			}
		}
	}
	return in
}

// inline is a query without recorded names, as far as that is the same query.
// What cannot be replaced must be stored.
func (in *inliner) inline(text string) (parser.Expr, error) {
	expr, err := in.parser.ParseExpr(text)
	if err != nil {
		return nil, err
	}
	for range 200 { // recorded names of recorded names; a loop would never end
		next, err := in.once(expr)
		if err != nil || next == "" {
			return expr, err
		}
		if len(next) > maxQuery {
			break
		}
		if expr, err = in.parser.ParseExpr(next); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("with its recorded names replaced it has no end, or is far too long")
}

// once replaces one recorded name, or returns "" if there is none left.
func (in *inliner) once(expr parser.Expr) (string, error) {
	type piece struct {
		from, to int
		text     string
	}
	var found *piece
	var lacking error
	whole := expr.String()
	again, err := in.parser.ParseExpr(whole) // so that places are those of whole
	if err != nil {
		return "", err
	}
	parser.Inspect(again, func(node parser.Node, path []parser.Node) error {
		v, ok := node.(*parser.VectorSelector)
		if !ok || found != nil {
			return nil
		}
		r, recorded := in.records[v.Name]
		if !recorded {
			return nil
		}
		var matrix *parser.MatrixSelector
		if len(path) > 0 {
			matrix, _ = path[len(path)-1].(*parser.MatrixSelector)
		}
		plain := len(v.LabelMatchers) == 1 && v.OriginalOffset == 0 && v.Timestamp == nil && v.StartOrEnd == 0 && v.OriginalOffsetExpr == nil
		switch {
		case plain && !r.labelled && matrix == nil:
			p := v.PositionRange()
			found = &piece{int(p.Start), int(p.End), "(" + r.expr + "\n)"}
		case plain && !r.labelled && matrix.RangeExpr == nil:
			p := matrix.PositionRange()
			found = &piece{int(p.Start), int(p.End), fmt.Sprintf("(%s\n)[%s:%s]", r.expr, model.Duration(matrix.Range), model.Duration(r.interval))}
		case !in.stored[v.Name]:
			lacking = fmt.Errorf("it asks for %s in a way that only a stored series can answer, and the collector has none; give the recording rule to a collector first", v)
		}
		return nil
	})
	if lacking != nil && found == nil {
		return "", lacking
	}
	if found == nil {
		return "", nil
	}
	return whole[:found.from] + found.text + whole[found.to:], nil
}
