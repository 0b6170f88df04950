package rules_test

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// counter is n values of a counter that goes up by what rate says, each time.
func counter(n int, rate func(i int) float64) string {
	var text strings.Builder
	sum := 0.0
	for i := range n {
		text.WriteString(strconv.FormatFloat(sum, 'f', 3, 64) + " ")
		sum += rate(i)
	}
	return text.String()
}

func TestForecastRules(t *testing.T) {
	const (
		memory = "ContainerMemoryWillHitLimit warning: Container web on n1 will be at its memory limit in "
		node   = "HostMemoryWillRunOut warning: Node n1 will have no memory left in 40m 0s"
		cpu    = "ClusterCPUWillSaturate warning: All nodes together will use "
		most   = "ScalerWillHitMax warning: In 15 minutes the load of policy web will ask for 24 replicas, which is more than its max"
		mended = "GPUMemoryErrorsGrowing warning: The memory of GPU 0 on n1 needed 2 corrections within a day"
		errors = "GPUMemoryErrorsGrowing warning: The memory of GPU 0 on n1 needed 300 corrections within a day"
	)
	minute := func(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }
	limit := web("container_spec_memory_limit_bytes", "100x200")
	used := func(values string) string { return web("container_memory_working_set_bytes", values) }
	free := func(values string) []string {
		labels := `{node="n1", instance="n1:9100", job="node-exporter"} `
		return []string{"node_memory_MemAvailable_bytes" + labels + values, "node_memory_MemTotal_bytes" + labels + "100x200"}
	}
	asked := func(values string) []string {
		return []string{labelled("plimsoll_scaler_replicas_unbounded", `policy="web"`, values), labelled("plimsoll_scaler_replicas_max", `policy="web"`, "20x200")}
	}
	// cpus are two nodes of four CPUs, both of which use the same share of them.
	cpus := func(n int, share func(minute int) float64) []string {
		var series []string
		for _, node := range []string{"n1", "n2"} {
			labels := `node="` + node + `", instance="` + node + `:9100", job="cadvisor"`
			series = append(series,
				`container_cpu_usage_seconds_total{id="/", cpu="total", `+labels+`} `+counter(n, func(i int) float64 { return 4 * 60 * share(i) }),
				`container_cpu_usage_seconds_total{id="/docker/aa", cpu="total", `+labels+`} `+counter(n, func(int) float64 { return 4 * 60 }),
				`machine_cpu_cores{`+labels+`} 4x`+strconv.Itoa(n))
		}
		return series
	}

	tellEvery(t, time.Minute, map[string]story{
		"memory that grows evenly is told half an hour before it hits the limit, after five minutes": {
			// One percent a minute, from 40: half an hour to go after 30 minutes.
			[]string{limit, used("40+1x60")},
			[]moment{{minute(35), ""}, {minute(36), memory + "24m 0s"}},
		},
		"a container of a pod that was just replaced is told once, by its pod": {
			[]string{
				app("aa", "container_spec_memory_limit_bytes", "100x60"), app("aa", "container_memory_working_set_bytes", "40+1x60"),
				app("bb", "container_spec_memory_limit_bytes", "100x60"), app("bb", "container_memory_working_set_bytes", "41+1x60"),
			},
			[]moment{{minute(40), "ContainerMemoryWillHitLimit warning: Container app of pod web-0 on n1 will be at its memory limit in 19m 0s"}},
		},
		"memory that has grown for ten minutes may stop": {
			[]string{limit, used("55x100 56+1x9 65x60")},
			[]moment{{minute(105), ""}, {minute(110), ""}, {minute(115), ""}, {minute(130), ""}},
		},
		"memory that has stopped growing is not foretold any more": {
			[]string{limit, used("30+1x50 80x60")},
			[]moment{{minute(50), memory + "20m 0s"}, {minute(70), ""}},
		},
		"memory that goes up and down is not": {
			[]string{limit, used(strings.Repeat("50 55 60 65 70 75 70 65 60 55 ", 15))},
			[]moment{{minute(30), ""}, {minute(60), ""}, {minute(100), ""}, {minute(149), ""}},
		},
		"a container that is still young is not": {
			[]string{limit, used("_x30 51+2x15")},
			[]moment{{minute(40), ""}, {minute(46), ""}},
		},
		"a container with more than half of its memory left is not": {
			[]string{limit, used("1+1x45")},
			[]moment{{minute(30), ""}, {minute(45), ""}},
		},
		"a container without a limit is not": {
			[]string{web("container_spec_memory_limit_bytes", "0x100"), used("40+1x60")},
			[]moment{{minute(60), ""}},
		},
		"a node that runs out of memory within the hour is told": {
			free("100-1x95"),
			[]moment{{minute(50), ""}, {minute(60), node}},
		},
		"a node that once gave memory away is not": {
			free("60x30 45x100"),
			[]moment{{minute(45), ""}, {minute(70), ""}, {minute(100), ""}},
		},
		"CPUs that fill evenly on all nodes are told while there is room": {
			// Half a percent a minute, from 45%.
			cpus(70, func(i int) float64 { return 0.45 + 0.005*float64(i) }),
			[]moment{{minute(35), ""}, {minute(65), cpu + "91.25% of their CPUs in 30 minutes"}},
		},
		"CPUs that are busy all the time are no forecast": {
			cpus(90, func(int) float64 { return 0.8 }),
			[]moment{{minute(60), ""}, {minute(89), ""}},
		},
		"CPUs that fill and are far from busy are not": {
			cpus(70, func(i int) float64 { return 0.01 + 0.02*float64(min(i, 20)) }),
			[]moment{{minute(20), ""}, {minute(40), ""}, {minute(69), ""}},
		},
		"a load that will ask for more than max is told a quarter of an hour before": {
			asked("6x30 6+0.4x40"),
			[]moment{{minute(30), ""}, {minute(51), ""}, {minute(60), most}},
		},
		"a load that stays below max is not": {
			asked("12x30 12+0.05x60"),
			[]moment{{minute(60), ""}, {minute(90), ""}},
		},
	})

	// Four values are an hour.
	tellEvery(t, 15*time.Minute, map[string]story{
		"rows of a GPU's memory that are replaced are told for a day": {
			[]string{gpu("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "3x100 5x200")},
			[]moment{{25 * time.Hour, ""}, {26 * time.Hour, mended}, {48 * time.Hour, mended}, {50 * time.Hour, ""}},
		},
		"rows that were replaced before the GPU was watched are no news": {
			[]string{gpu("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "3x200")},
			[]moment{{time.Hour, ""}, {48 * time.Hour, ""}},
		},
		"hundreds of corrected errors a day are told": {
			[]string{gpu("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "20x100 320x100")},
			[]moment{{25 * time.Hour, ""}, {26 * time.Hour, errors}},
		},
		"a corrected error now and then is what correction is for": {
			[]string{gpu("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "0+1x200")},
			[]moment{{48 * time.Hour, ""}},
		},
	})
}

func TestTrafficIsHeldAgainstLastWeek(t *testing.T) {
	const week, step = 7 * 24 * time.Hour, 2 * time.Minute
	for name, tt := range map[string]struct {
		before, now float64 // bytes per second
		want        string
	}{
		"four times as much is told":            {2e6, 8e6, "TrafficAboveLastWeek warning: Containers receive 4.0 times as many bytes as a week ago at this time"},
		"twice as much is a good day":           {2e6, 4e6, ""},
		"of next to nothing, much more is easy": {1e5, 8e5, ""},
	} {
		t.Run(name, func(t *testing.T) {
			values := counter(int(week/step)+40, func(i int) float64 {
				if time.Duration(i)*step < week {
					return tt.before * step.Seconds()
				}
				return tt.now * step.Seconds()
			})
			p := loadEvery(t, step, web("container_network_receive_bytes_total", values))
			p.next = week - 10*time.Minute
			if got := strings.Join(p.firing(week), "; "); got != "" {
				t.Errorf("before it grows: %q", got)
			}
			if got := strings.Join(p.firing(week+30*time.Minute), "; "); got != tt.want {
				t.Errorf("%q fires, want %q", got, tt.want)
			}
		})
	}
}
