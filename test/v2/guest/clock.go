package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const stored = "http://127.0.0.1:9902"

// ahead is how far a clock that is set back may be behind the samples.
const ahead = 20 * time.Second

// clocks sets the clock forward by an hour, as somebody does who notices late
// that it is wrong, and a little back, as time servers do, while an agent
// streams. No sample may be missing, and no counter seem to shrink.
func clocks(ctx context.Context, g *group) error {
	collector := background(ctx, "/plimsoll", "collector", "--data.path", "/tmp/store",
		"--web.listen-address", "127.0.0.1:9902", "--grpc.listen-address", "127.0.0.1:9903", "--no-rules.bundled", "--log.level", "warn")
	agent := background(ctx, "/plimsoll", "agent", "--node.name", "clock", "--interval", "500ms", "--docker.host", "",
		"--no-gpu", "--no-disk", "--data.path", "/tmp/spool", "--collector.address", "127.0.0.1:9903", "--log.level", "warn")
	for _, cmd := range []*exec.Cmd{collector, agent} {
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	want := 20.0
	for _, by := range []time.Duration{0, time.Hour, -ahead} {
		if err := set(by); err != nil {
			return err
		}
		if err := ticks(ctx, want); err != nil {
			return fmt.Errorf("clock set by %v: %w", by, err)
		}
		want += 20
	}
	err := judge(ctx, g)
	for _, cmd := range []*exec.Cmd{agent, collector} {
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait() // the machine ends after that
	}
	return err
}

func background(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// set changes the machine's clock.
func set(by time.Duration) error {
	if by == 0 {
		return nil
	}
	to := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	return unix.Settimeofday(&to)
}

// ticks waits until the agent has done so many that are stored.
func ticks(ctx context.Context, want float64) error {
	var got []point
	var err error
	for range 120 {
		if got, err = query(ctx, `plimsoll_agent_ticks_total[2h]`); err == nil && got[len(got)-1].value >= want {
			return nil
		}
		<-time.After(500 * time.Millisecond)
	}
	return fmt.Errorf("no %v ticks within a minute: %d samples: %w", want, len(got), err)
}

// judge compares the samples of a counter with how often the agent has read it.
func judge(ctx context.Context, g *group) error {
	counted, err := query(ctx, `plimsoll_agent_ticks_total[2h]`)
	if err != nil {
		return err
	}
	read, err := query(ctx, fmt.Sprintf(`container_cpu_usage_seconds_total{id=%q}[2h]`, g.path))
	if err != nil {
		return err
	}
	for len(counted) > 1 && counted[0].at < read[0].at { // the group had not been discovered yet
		counted = counted[1:]
	}
	first, last := counted[0], counted[len(counted)-1]
	between := 0
	for _, p := range read {
		if p.at > first.at && p.at <= last.at {
			between++
		}
	}
	if want := int(last.value - first.value); between != want {
		return fmt.Errorf("%d samples in %d ticks", between, want)
	}
	longest := 0.0
	for i := 1; i < len(read); i++ {
		if read[i].at <= read[i-1].at || read[i].value < read[i-1].value {
			return fmt.Errorf("%+v after %+v", read[i], read[i-1])
		}
		longest = max(longest, read[i].at-read[i-1].at)
	}
	if longest < 3590 {
		return fmt.Errorf("the longest time between two samples is %.1f s, so that the clock was not set", longest)
	}
	for what, promql := range map[string]string{
		"counters that shrank":        shrank("node_cpu_seconds_total", "node_context_switches_total", "container_cpu_usage_seconds_total", "container_cpu_user_seconds_total", "container_pressure_cpu_waiting_seconds_total"),
		"samples that were refused":   `sum(plimsoll_collector_ingest_refused_samples_total) or vector(0)`,
		"times that the node was off": `count(count_over_time((up{job="plimsoll-agent"} == 0)[2h:1s])) or vector(0)`,
	} {
		v, err := query(ctx, promql)
		if err != nil {
			return err
		}
		if v[0].value != 0 {
			return fmt.Errorf("%s: %v", what, v[0].value)
		}
	}
	jumps, err := query(ctx, `plimsoll_agent_clock_jumps_total`)
	if err != nil {
		return err
	}
	if jumps[0].value != 2 {
		return fmt.Errorf("the clock was set twice, the agent noticed %+v", jumps)
	}
	fmt.Printf("clock: %d samples in as many ticks, %.0f s between two of them, no counter shrank\n", between, longest)
	return nil
}

// shrank counts the series of these metrics that ever did.
func shrank(metrics ...string) string {
	terms := make([]string, len(metrics))
	for i, m := range metrics {
		terms[i] = fmt.Sprintf("(count(resets(%s[2h]) > 0) or vector(0))", m)
	}
	return strings.Join(terms, " + ")
}

type point struct{ at, value float64 }

// query asks for the one series that an expression gives, its samples or its
// value.
func query(ctx context.Context, promql string) ([]point, error) {
	at := strconv.FormatInt(time.Now().Add(2*ahead).Unix(), 10)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, stored+"/api/v1/query?time="+at+"&query="+url.QueryEscape(promql), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Value  *[2]any
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != "" || len(answer.Data.Result) != 1 {
		return nil, fmt.Errorf("%s: %d series, want 1; %s", promql, len(answer.Data.Result), answer.Error)
	}
	values := answer.Data.Result[0].Values
	if v := answer.Data.Result[0].Value; v != nil {
		values = append(values, *v)
	}
	var list []point
	for _, v := range values {
		list = append(list, point{v[0].(float64), number(v[1].(string))})
	}
	return list, nil
}
