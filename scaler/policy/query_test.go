package policy_test

import (
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
