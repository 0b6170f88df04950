//go:build e2e

package differential

import (
	"fmt"
	"strings"
	"time"
)

// queries cover what PromQL has: each function, each aggregation, each
// operator, and what they are nested in.
func queries(start time.Time) []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	const (
		gauge   = "temperature_celsius"
		counter = "http_requests_total"
	)

	// Selectors.
	for _, q := range []string{
		gauge, gauge + `{job="web"}`, gauge + `{job!="web"}`, gauge + `{instance=~"(a|c).*"}`, gauge + `{instance!~"a.*"}`, gauge + `{none=""}`,
		`{__name__=~"temp.*|build.*"}`, `{job="db",__name__!="x"}`, "nosuch", "odd_number", "-odd_number", "+" + gauge, "1", `"text"`, "1 + 2 * 3 ^ 2 % 5", "vector(1)", "pi()",
	} {
		add("%s", q)
	}
	// Functions of a range.
	for _, f := range []string{"rate", "irate", "increase", "resets", "changes"} {
		for _, r := range []string{"1m", "5m", "17m"} {
			add("%s(%s[%s])", f, counter, r)
		}
	}
	for _, f := range []string{
		"delta", "idelta", "deriv", "avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time",
		"stddev_over_time", "stdvar_over_time", "last_over_time", "present_over_time", "absent_over_time", "changes", "resets",
	} {
		for _, r := range []string{"2m", "31m"} {
			add("%s(%s[%s])", f, gauge, r)
		}
	}
	add("quantile_over_time(0.9, %s[13m])", gauge)
	add("predict_linear(%s[13m], 600)", gauge)
	add("absent_over_time(nosuch{a=\"b\"}[5m])")
	add("sum_over_time(odd_number[20m])")
	add("max_over_time(odd_number[40m])")
	// Functions of an instant.
	for _, f := range []string{
		"abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn", "round", "sin", "cos", "tan", "asin", "acos", "atan",
		"sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "deg", "rad", "timestamp", "absent", "sort", "sort_desc",
	} {
		add("%s(%s)", f, gauge)
	}
	for _, f := range []string{"hour", "minute", "month", "year", "days_in_month", "day_of_month", "day_of_week", "day_of_year"} {
		add("%s(timestamp(%s))", f, gauge)
	}
	for _, q := range []string{
		"abs(odd_number)", "ceil(odd_number)", "sgn(odd_number)", "round(%s, 0.5)", "round(odd_number, -3)", "clamp(%s, 5, 25)", "clamp(%s, 25, 5)", "clamp_min(%s, 10)", "clamp_max(%s, 10)",
		`scalar(odd_number)`, "scalar(%s)", "time()", "time() - timestamp(%s)", `absent(nosuch{a="b",c=~"d"})`,
		`label_replace(%s, "host", "$1", "instance", "(.*):.*")`, `label_replace(%s, "job", "", "job", ".*")`, `label_join(%s, "both", "-", "job", "instance")`,
		"histogram_quantile(0.9, latency_seconds_bucket)", "histogram_quantile(0.5, sum by (le) (rate(latency_seconds_bucket[7m])))",
		"histogram_quantile(1.5, latency_seconds_bucket)", "histogram_quantile(-1, latency_seconds_bucket)", "histogram_quantile(0.99, rate(latency_seconds_bucket{le!=\"+Inf\"}[5m]))",
	} {
		list = append(list, strings.ReplaceAll(q, "%s", gauge))
	}
	// Aggregations.
	for _, a := range []string{"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile(0.3, ", "topk(2, ", "bottomk(2, ", `count_values("v", `} {
		for _, by := range []string{"", " by (job)", " without (instance)"} {
			name, param, _ := strings.Cut(a, "(")
			inner := gauge
			if name == "count_values" {
				inner = "round(" + gauge + ")"
			}
			add("%s%s (%s%s)", name, by, param, inner)
		}
	}
	add("sum by (code, job) (rate(%s[5m]))", counter)
	add("sum without () (%s)", gauge)
	add("avg(odd_number)")
	add("topk(0, %s)", gauge)
	add("quantile(2, %s)", gauge)
	// Operators.
	for _, op := range []string{"+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "== bool", "> bool", "and", "or", "unless"} {
		add("%s %s %s{job=\"web\"}", gauge, op, gauge)
		if !strings.Contains("and or unless", op) {
			add("%s %s 12.5", gauge, op)
		}
	}
	for _, q := range []string{
		"sum by (job) (temperature_celsius) atan2 12.5", "12.5 atan2 3",
		"rate(http_requests_total[5m]) / on (instance) group_left temperature_celsius", "temperature_celsius * on (instance) group_right build_info",
		"build_info * on (instance) group_left (version) build_info", "http_requests_total * on (instance) group_left (version) build_info",
		`sum by (instance) (http_requests_total) / ignoring (job) temperature_celsius`, `sum by (instance) (http_requests_total) / on (instance) temperature_celsius`,
		"http_requests_total / on (instance) temperature_celsius", // many to one: an error
		"temperature_celsius + on (nosuch) temperature_celsius",   // an error
		`http_requests_total{code="500"} / ignoring (code) http_requests_total{code="200"}`, `temperature_celsius > 10 < 20`, "-temperature_celsius ^ 2", "1 == bool 2", "1 > 2",
	} {
		add("%s", q)
	}
	// Subqueries, offsets and fixed times.
	fixed := fmt.Sprintf("%.3f", float64(start.Add(2*time.Hour).UnixMilli()+7300)/1000)
	for _, q := range []string{
		"max_over_time(rate(http_requests_total[5m])[30m:1m])", "avg_over_time(temperature_celsius[20m:45s])", "min_over_time(temperature_celsius[11m:])",
		"sum_over_time(sum(temperature_celsius)[10m:30s])", "deriv(temperature_celsius[20m:1m] offset 10m)", "max_over_time(max_over_time(temperature_celsius[5m])[20m:2m])",
		"rate(http_requests_total[5m] offset 20m)", "temperature_celsius offset 1h", "temperature_celsius offset -10m", "temperature_celsius - temperature_celsius offset 1h",
		"temperature_celsius @ " + fixed, "rate(http_requests_total[5m] @ " + fixed + ")", "temperature_celsius @ start()", "temperature_celsius @ end()",
		"sum(rate(http_requests_total[5m] @ end()))", "max_over_time(temperature_celsius[10m:1m] @ " + fixed + " offset 5m)", "http_requests_total - http_requests_total @ start()",
		"topk(1, sum by (instance) (rate(http_requests_total[10m] @ end()))) or sum by (job) (rate(http_requests_total[10m]))",
	} {
		add("%s", q)
	}
	// What both refuse.
	for _, q := range []string{"rate(temperature_celsius)", "sum(", "temperature_celsius{", "temperature_celsius[5m]", "{}", `{a=""}`, "sum by (", "unknown(temperature_celsius)", "1 + ", `label_replace(temperature_celsius, "a b\xff", "", "", "")`} {
		add("%s", q)
	}
	return list
}
