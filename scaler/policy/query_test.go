package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func TestPromQLOfASignal(t *testing.T) {
	web := policy.Target{Driver: "swarm", Service: "shop_web"}
	const containers = `{container_label_com_docker_swarm_service_name="shop_web"}`
	tests := map[string]struct {
		signal policy.Signal
		target policy.Target
		want   string
	}{
		"the query of the file is taken as it is": {
			policy.Signal{Source: policy.Query, Query: "sum(rps)"}, web, "sum(rps)",
		},
		"cores are a rate over what is there now": {
			policy.Signal{Source: policy.CPU, Of: policy.Cores, Type: policy.Track, Window: 10 * time.Second},
			web,
			`sum by (node, id) (rate(container_cpu_usage_seconds_total` + containers + `[10s]) and container_cpu_usage_seconds_total` + containers + `)`,
		},
		"a threshold averages by itself": {
			policy.Signal{Source: policy.CPU, Of: policy.Cores, Type: policy.Threshold, Window: time.Minute},
			web,
			`sum by (node, id) (rate(container_cpu_usage_seconds_total` + containers + `[5s]) and container_cpu_usage_seconds_total` + containers + `)`,
		},
		"a share of the limit where there is one": {
			policy.Signal{Source: policy.CPU, Of: policy.Limit, Type: policy.Track, Window: 1500 * time.Millisecond},
			web,
			`sum by (node, id) (rate(container_cpu_usage_seconds_total` + containers + `[1500ms]) and container_cpu_usage_seconds_total` + containers + `)` +
				` / on (node, id) ((max by (node, id) (last_over_time(container_spec_cpu_quota` + containers + `[2m])) > 0)` +
				` / (max by (node, id) (last_over_time(container_spec_cpu_period` + containers + `[2m])) > 0))`,
		},
		"bytes are the working set": {
			policy.Signal{Source: policy.Memory, Of: policy.Bytes},
			web,
			`max by (node, id) (container_memory_working_set_bytes` + containers + `)`,
		},
		"a share of the memory limit where there is one": {
			policy.Signal{Source: policy.Memory, Of: policy.Limit},
			web,
			`max by (node, id) (container_memory_working_set_bytes` + containers + `)` +
				` / on (node, id) ((max by (node, id) (last_over_time(container_spec_memory_limit_bytes` + containers + `[2m])) > 0))`,
		},
		"a name cannot break out of its quotes": {
			policy.Signal{Source: policy.Memory, Of: policy.Bytes},
			policy.Target{Service: "a\"} or vector(1e9) #\\\n"},
			`max by (node, id) (container_memory_working_set_bytes{container_label_com_docker_swarm_service_name="a\"} or vector(1e9) #\\\n"})`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.signal.PromQL(tt.target); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestAnAmountIsWrittenForPeople(t *testing.T) {
	for text, want := range map[string]string{
		"250": "250", "0.07": "0.07", "1e3": "1000", "7%": "7%", "66.6666%": "66.67%", "256MiB": "256MiB", "1GB": "953.7MiB", "512B": "0.0004883MiB",
	} {
		var a policy.Amount
		if err := a.Set(text); err != nil {
			t.Fatal(err)
		}
		if got := a.String(); got != want {
			t.Errorf("%s is written as %s, want %s", text, got, want)
		}
	}
}

func TestASignalKnowsHowFarItLooksBack(t *testing.T) {
	tests := map[string]struct {
		signal string
		want   time.Duration
	}{
		"the range of the rate of CPU":           {"{source: cpu, target: 60%, window: 30s}", 30 * time.Second},
		"that of a threshold is its own":         {"{source: cpu, type: threshold, max: 80%, min: 20%}", 5 * time.Second},
		"memory is read as it is":                {"{source: memory, target: 60%}", 0},
		"a query that asks for now":              {"{source: query, query: sum(x), target: 6}", 0},
		"a range":                                {"{source: query, query: 'sum(rate(x[5m]))', target: 6}", 5 * time.Minute},
		"a range and an offset":                  {"{source: query, query: 'sum(rate(x[1h30m] offset 1d))', target: 6}", 90 * time.Minute},
		"an offset alone is another time":        {"{source: query, query: 'sum(x offset 1w)', target: 6}", 0},
		"a range of ranges":                      {"{source: query, query: 'max_over_time(sum(rate(x[ 5m ]))[1h:1m])', target: 6}", 65 * time.Minute},
		"a matcher is no range":                  {`{source: query, query: 'sum(x{a=~"[0-9]+m"})', target: 6}`, 0},
		"no query looks back more than a year":   {"{source: query, query: 'sum(rate(x[99999999y]))', target: 6}", 365 * 24 * time.Hour},
		"nor does any number of ranges in it":    {"{source: query, query: 'sum(rate(x[1y])) + sum(rate(x[1y]))', target: 6}", 365 * 24 * time.Hour},
		"nor is one taken that is beyond digits": {"{source: query, query: 'sum(rate(x[" + strings.Repeat("9", 400) + "s]))', target: 6}", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file, problems := load(t, strings.Replace(shop, "{source: cpu, target: 60%}", tt.signal, 1), policy.Options{})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if got := file.Apps[0].Signals[0].LookBack(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestAParserKnowsBetter(t *testing.T) {
	opts := policy.Options{CheckQuery: func(string) (policy.Facts, error) { return policy.Facts{Back: 7 * time.Minute}, nil }}
	file, problems := load(t, strings.Replace(shop, "{source: cpu, target: 60%}", "{source: query, query: 'x[5m]', target: 6}", 1), opts)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := file.Apps[0].Signals[0].LookBack(); got != 7*time.Minute {
		t.Error(got)
	}
}
