package policy

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// aliyunPrefix is that of the labels by which Alibaba Cloud's container service
// scaled containers: doc-detail 43472, "Container auto scaling", 2016.
const aliyunPrefix = "aliyun.auto_scaling."

// aliyunKeys are the labels that it knew.
var aliyunKeys = []string{"max_cpu", "min_cpu", "max_memory", "min_memory", "step", "min_instances", "max_instances"}

// aliyun reads those labels as what they meant there: the mean of a minute, of
// which three in a row must lie above a maximum for a step out, or below a minimum
// for a step in; out for any of CPU and memory, in for all of them. The bounds
// hold, and a step in that would call for a step out is not done. Labels of ours
// may say the rest, such as the mode.
func (r *labelReader) aliyun(labels map[string]string) {
	has := map[string]string{}
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		key, theirs := strings.CutPrefix(label, aliyunPrefix)
		switch {
		case !theirs:
		case slices.Contains(aliyunKeys, key):
			has[key] = strings.TrimSpace(labels[label])
		default:
			hint := "known here: " + strings.Join(aliyunKeys, ", ")
			if near := conf.Nearest(key, aliyunKeys); near != "" {
				hint = "did you mean " + aliyunPrefix + near + "?"
			}
			r.fail(label, "unknown label", hint)
		}
	}
	if len(has) == 0 {
		return
	}
	take := func(key string, value func(string) string, steps ...any) {
		if path := pathOf(steps); r.paths[path] == "" {
			r.paths[path] = aliyunPrefix + key
		}
		if text, ok := has[key]; ok {
			r.add(aliyunPrefix+key, value(text), false, steps...)
		}
	}
	same := func(text string) string { return text }
	take("max_instances", same, "max")
	take("min_instances", same, "min")
	i := r.ownSignals()
	for _, source := range []string{"cpu", "memory"} {
		_, high := has["max_"+source]
		_, low := has["min_"+source]
		if !high && !low {
			continue
		}
		for _, steps := range [][]any{{"signals", i}, {"signals", i, "name"}} { // for what is wrong with it as a whole
			r.paths[pathOf(steps)] = aliyunPrefix + "max_" + source
		}
		take("max_"+source, percent, "signals", i, "max")
		take("min_"+source, percent, "signals", i, "min")
		for _, key := range []string{"step_out", "step_in"} {
			take("step", same, "signals", i, key)
		}
		for _, is := range [][2]string{{"type", string(Threshold)}, {"source", source}, {"of", string(Limit)}, {"window", "60s"}, {"samples", "3"}} {
			r.pairs = append(r.pairs, conf.Pair{Name: "signals." + source + "." + is[0], Steps: []any{"apps", 0, "signals", i, is[0]}, Value: is[1]})
		}
		i++
	}
	// The three minutes are all the patience that there was, and the step the only
	// rate.
	r.preset("in.window", Short(max(5*time.Second, 2*r.interval())))
	r.preset("in.rate", "[]")
	r.preset("out.rate", "[]")
}

// ownSignals is how many labels of ours give: theirs come behind them.
func (r *labelReader) ownSignals() int {
	var items []any
	for _, p := range r.pairs {
		if steps := p.Steps[2:]; len(steps) > 1 && steps[0] == "signals" && !slices.Contains(items, steps[1]) {
			items = append(items, steps[1])
		}
	}
	return len(items)
}

// interval is that of the policy, as far as labels say it in a way that can be read.
func (r *labelReader) interval() time.Duration {
	for _, p := range r.pairs {
		if pathOf(p.Steps[2:]) == "interval" {
			if d, err := conf.ParseDuration(p.Value); err == nil {
				return min(d, time.Hour)
			}
		}
	}
	return 0
}

// percent is a number of percent as a file has it.
func percent(text string) string {
	if _, err := conf.ParseNumber(text); err == nil {
		return text + "%"
	}
	return text
}
