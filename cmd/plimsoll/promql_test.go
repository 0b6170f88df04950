package main

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func TestWhatAQueryTellsBeforeItIsAsked(t *testing.T) {
	tests := map[string]policy.Facts{
		"5":                                    {},
		"sum(x)":                               {},
		"x":                                    {Many: true},
		"sum by (a) (x)":                       {Many: true},
		"sum without (a) (x)":                  {Many: true},
		"sum by (a) (sum(x))":                  {},
		"max(x) or vector(0)":                  {},
		"x and on () up":                       {Many: true},
		"sum(x) / sum(y)":                      {},
		"sum(x) / scalar(y)":                   {},
		"x * 5":                                {Many: true},
		"-sum(x)":                              {},
		"(sum(x))":                             {},
		"clamp_min(sum(x), 0)":                 {},
		"clamp_min(x, 0)":                      {Many: true},
		"topk(1, x)":                           {},
		"topk(2, x)":                           {Many: true},
		"count_values(\"v\", x)":               {Many: true},
		"absent(x)":                            {},
		"time()":                               {},
		"sum(rate(x[5m]))":                     {Back: 5 * time.Minute},
		"sum(rate(x[5m] offset 1h))":           {Back: 5 * time.Minute},
		"sum(x offset 1w)":                     {},
		"sum(rate(x[5m] @ 1700000000))":        {},
		"sum(x @ 1700000000)":                  {},
		"sum(rate(x[5m] @ end()))":             {Back: 5 * time.Minute},
		"sum(rate(x[5m:] offset 1w))":          {Back: 5 * time.Minute},
		"sum(max_over_time(x[5m:] @ 17))":      {},
		"sum(x offset -1h)":                    {},
		"max_over_time(sum(rate(x[5m]))[1h:])": {Back: 65 * time.Minute},
		"sum(max_over_time(x[2m])) + sum(rate(y[30s]))":                      {Back: 2 * time.Minute},
		"histogram_quantile(0.9, sum by (le) (rate(x_bucket[1m])))":          {Back: time.Minute},
		"histogram_quantile(0.9, sum by (le, service) (rate(x_bucket[1m])))": {Back: time.Minute, Many: true},
		"sum(x_total)": {Bare: []string{"x_total"}},
		"sum(x_total) + sum(x_total) + sum(y_total)": {Bare: []string{"x_total", "y_total"}},
		"sum(rate(x_total[1m]))":                     {Back: time.Minute},
		"count(x_total)":                             {},
		"sum(x_total - x_total offset 5m)":           {},
		"absent(x_total)":                            {},
	}
	read := queryFacts()
	for query, want := range tests {
		got, err := read(query)
		if err != nil || got.Back != want.Back || got.Many != want.Many || !slices.Equal(got.Bare, want.Bare) {
			t.Errorf("%s: %+v, error %v; want %+v", query, got, err, want)
		}
	}
}

func TestAnErrorInAQueryKnowsItsPlace(t *testing.T) {
	for query, want := range map[string]policy.QueryError{
		"sum(x)) + 1":/* behind it */ {At: 7, What: "parse error: unexpected right parenthesis ')'"},
		"sum(x) + + +": {At: 12, What: "parse error: unexpected end of input"},
		"测试 + sum(x{":  {At: 0, What: `parse error: unexpected character: '测'`},
		"rate(x)":      {At: 5, What: `parse error: expected type range vector in call to function "rate", got instant vector`},
		"":             {At: 0, What: "parse error: no expression found in input"},
	} {
		_, err := queryFacts()(query)
		var got *policy.QueryError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("%q: %#v, want %+v", query, got, want)
		}
	}
}
