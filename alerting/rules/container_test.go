package rules_test

import (
	"strings"
	"testing"
	"time"
)

// app is a series of a container of a pod, whose name is its id.
func app(id, name, values string) string {
	return name + `{id="/kubepods/pod12ab/` + id + `", name="` + id + `", image="shop", container="app", pod="web-0", namespace="shop", node="n1", job="cadvisor"} ` + values
}

// web is a series of a container as the agent labels it.
func web(name, values string) string {
	return name + `{id="/docker/aa", name="web", image="nginx", node="n1", job="cadvisor"} ` + values
}

func TestContainerRules(t *testing.T) {
	const (
		near      = "ContainerMemoryNearLimit warning: Container web on n1 uses 95% of its memory limit"
		full      = "ContainerMemoryNearLimit critical: Container web on n1 uses 98% of its memory limit"
		podFull   = "ContainerMemoryNearLimit critical: Container app of pod web-0 on n1 uses 98% of its memory limit"
		throttled = "ContainerCPUThrottled warning: Container web on n1 is held back by its CPU limit in 60% of all periods"
		killed    = "ContainerOOMKilled critical: Container web on n1 ran out of memory, and the kernel killed in it 1 time(s) within 5 minutes"
	)
	oom := func(values string) string { return web("container_oom_events_total", values) }
	watched := `up{job="plimsoll-agent", node="n1"} 1x400`

	tell(t, map[string]story{
		"memory near the limit warns after a minute and calms down five minutes after it is over": {
			[]string{web("container_memory_working_set_bytes", "50x5 95x15 50x80"), web("container_spec_memory_limit_bytes", "100x120")},
			[]moment{{85 * time.Second, ""}, {90 * time.Second, near}, {405 * time.Second, near}, {410 * time.Second, ""}},
		},
		"memory at the limit is critical after 15 s": {
			[]string{web("container_memory_working_set_bytes", "50x5 98x20"), web("container_spec_memory_limit_bytes", "100x60")},
			[]moment{{40 * time.Second, ""}, {45 * time.Second, full}},
		},
		"a container of a pod that restarts near its limit keeps its alert, though its id is another": {
			[]string{
				app("aa", "container_memory_working_set_bytes", "98x10 stale _x60"), app("aa", "container_spec_memory_limit_bytes", "100x10 stale _x60"),
				app("bb", "container_memory_working_set_bytes", "_x12 98x60"), app("bb", "container_spec_memory_limit_bytes", "_x12 100x60"),
			},
			[]moment{{50 * time.Second, podFull}, {55 * time.Second, podFull}, {60 * time.Second, podFull}, {65 * time.Second, podFull}},
		},
		"a pod as a whole, and what holds its network, are no containers": {
			[]string{
				`container_memory_working_set_bytes{id="/kubepods/pod12ab", pod="web-0", namespace="shop", node="n1"} 95x60`,
				`container_spec_memory_limit_bytes{id="/kubepods/pod12ab", pod="web-0", namespace="shop", node="n1"} 100x60`,
				`container_memory_working_set_bytes{id="/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_ab.slice", node="n1"} 95x60`,
				`container_spec_memory_limit_bytes{id="/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_ab.slice", node="n1"} 100x60`,
			},
			[]moment{{2 * time.Minute, ""}},
		},
		"a peak of memory of 10 s is nobody's business": {
			[]string{web("container_memory_working_set_bytes", "50x5 99x1 50x40"), web("container_spec_memory_limit_bytes", "100x60")},
			[]moment{{35 * time.Second, ""}, {60 * time.Second, ""}, {120 * time.Second, ""}},
		},
		"a container without a limit is never near it": {
			[]string{web("container_memory_working_set_bytes", "95x60"), web("container_spec_memory_limit_bytes", "0x60")},
			[]moment{{60 * time.Second, ""}, {300 * time.Second, ""}},
		},
		"the node as a whole is no container": {
			[]string{`container_memory_working_set_bytes{id="/", node="n1"} 95x60`, `container_spec_memory_limit_bytes{id="/", node="n1"} 100x60`},
			[]moment{{60 * time.Second, ""}},
		},
		"a container that restarts near its limit keeps its alert": {
			[]string{
				web("container_memory_working_set_bytes", "95x20 stale _x60"), web("container_spec_memory_limit_bytes", "100x20 stale _x60"),
				`container_memory_working_set_bytes{id="/docker/bb", name="web", image="nginx:2", node="n1", job="cadvisor"} _x22 95x60`,
				`container_spec_memory_limit_bytes{id="/docker/bb", name="web", image="nginx:2", node="n1", job="cadvisor"} _x22 100x60`,
			},
			[]moment{{100 * time.Second, near}, {105 * time.Second, near}, {110 * time.Second, near}, {130 * time.Second, near}},
		},
		"throttling at high usage hurts": {
			// 50 of 100 ms: 50 periods in 5 s, 30 of them throttled, 0.45 cores.
			// The rate of a new counter takes half a minute to be believed.
			[]string{
				web("container_cpu_cfs_periods_total", "0+50x60"), web("container_cpu_cfs_throttled_periods_total", "0+30x60"),
				`container_cpu_usage_seconds_total{id="/docker/aa", name="web", image="nginx", node="n1", job="cadvisor", cpu="total"} 0+2.25x60`,
				web("container_spec_cpu_quota", "50000x60"), web("container_spec_cpu_period", "100000x60"),
			},
			[]moment{{150 * time.Second, ""}, {155 * time.Second, throttled}, {4 * time.Minute, throttled}},
		},
		"throttling at low usage is only noise": {
			[]string{
				web("container_cpu_cfs_periods_total", "0+50x60"), web("container_cpu_cfs_throttled_periods_total", "0+30x60"),
				`container_cpu_usage_seconds_total{id="/docker/aa", name="web", image="nginx", node="n1", job="cadvisor", cpu="total"} 0+1x60`,
				web("container_spec_cpu_quota", "50000x60"), web("container_spec_cpu_period", "100000x60"),
			},
			[]moment{{4 * time.Minute, ""}},
		},
		"high usage that is hardly throttled is what the quota is for": {
			[]string{
				web("container_cpu_cfs_periods_total", "0+50x60"), web("container_cpu_cfs_throttled_periods_total", "0+5x60"),
				`container_cpu_usage_seconds_total{id="/docker/aa", name="web", image="nginx", node="n1", job="cadvisor", cpu="total"} 0+2.25x60`,
				web("container_spec_cpu_quota", "50000x60"), web("container_spec_cpu_period", "100000x60"),
			},
			[]moment{{4 * time.Minute, ""}},
		},
		"a kill is seen at once and for five minutes": {
			[]string{watched, oom("0x130 1x200")},
			[]moment{{650 * time.Second, ""}, {655 * time.Second, killed}, {950 * time.Second, killed}, {960 * time.Second, ""}},
		},
		"the first kill ever is seen though its counter is born at 1": {
			[]string{watched, web("container_start_time_seconds", "-864000x400"), oom("_x131 1x200")},
			[]moment{{650 * time.Second, ""}, {655 * time.Second, killed}, {950 * time.Second, killed}, {960 * time.Second, ""}},
		},
		"the first kill ever is seen in the first minute of an agent": {
			[]string{watched, web("container_start_time_seconds", "_x4 20x200"), oom("_x5 1x200")},
			[]moment{{20 * time.Second, ""}, {30 * time.Second, killed}, {320 * time.Second, killed}, {340 * time.Second, ""}},
		},
		"a container that is gone after its kill still counts": {
			[]string{watched, oom("0x130 1 stale")},
			[]moment{{655 * time.Second, killed}, {670 * time.Second, killed}, {940 * time.Second, killed}, {970 * time.Second, ""}},
		},
		"a container that was killed as soon as it was there still counts": {
			[]string{watched, oom("_x131 1 stale")},
			[]moment{{655 * time.Second, killed}, {670 * time.Second, killed}, {940 * time.Second, killed}, {970 * time.Second, ""}},
		},
		"a kill after a restart is seen though the counter is no higher than before": {
			[]string{watched, oom("1x120 0x9 1x200")},
			[]moment{{650 * time.Second, ""}, {655 * time.Second, killed}, {940 * time.Second, killed}, {970 * time.Second, ""}},
		},
		"a restart that sets the counter back does not hide the kill": {
			[]string{watched, oom("0x130 1 0x200")},
			[]moment{{655 * time.Second, killed}, {670 * time.Second, killed}, {940 * time.Second, killed}, {970 * time.Second, ""}},
		},
		"kills from before the agent came are no news": {
			// The container started ten days before the store did.
			[]string{watched, web("container_start_time_seconds", "-864000x400"), oom("_x2 7x400")},
			[]moment{{10 * time.Second, ""}, {5 * time.Minute, ""}, {7 * time.Minute, ""}, {20 * time.Minute, ""}},
		},
		"an agent that restarts does not bring old kills up again": {
			[]string{
				`up{job="plimsoll-agent", node="n1"} 1x200 0x5 1x200`, web("container_start_time_seconds", "-864000x400"),
				oom("7x200 stale _x7 7x200"),
			},
			[]moment{{1000 * time.Second, ""}, {1045 * time.Second, ""}, {1310 * time.Second, ""}, {1345 * time.Second, ""}, {1400 * time.Second, ""}},
		},
		"an agent that was away for half an hour does not bring old kills up again": {
			[]string{
				`up{job="plimsoll-agent", node="n1"} 1x100 stale _x360 1x200`, web("container_start_time_seconds", "-864000x700"),
				oom("7x100 stale _x362 7x200"),
			},
			[]moment{{500 * time.Second, ""}, {2320 * time.Second, ""}, {2610 * time.Second, ""}, {2630 * time.Second, ""}, {2700 * time.Second, ""}, {3000 * time.Second, ""}},
		},
	})
}

func TestContainerLimitsAndHealth(t *testing.T) {
	const (
		threads   = "ContainerPIDsNearLimit warning: Container web on n1 has 95% of the processes and threads it may have"
		missing   = "ServiceReplicasMissing critical: Of service shop_web, 2 replica(s) that swarm was asked for do not run"
		unhealthy = "ContainerUnhealthy critical: Container web on n1 runs, but its health check has not passed for a minute or longer"
	)
	swarm := func(name, values string) string {
		return name + `{platform="swarm", service="shop_web", job="plimsoll-collector", instance="c1"} ` + values
	}
	tell(t, map[string]story{
		"threads near their limit warn after a minute": {
			[]string{web("container_threads", "10x5 95x30"), web("container_threads_max", "100x40")},
			[]moment{{85 * time.Second, ""}, {90 * time.Second, threads}},
		},
		"threads without a limit are never near it": {
			[]string{web("container_threads", "95x30"), web("container_threads_max", "0x30")},
			[]moment{{2 * time.Minute, ""}},
		},
		"replicas that a platform lacks for a minute are told": {
			[]string{swarm("plimsoll_service_replicas_desired", "3x60"), swarm("plimsoll_service_replicas_ready", "3x5 1x20 3x30")},
			[]moment{{85 * time.Second, ""}, {90 * time.Second, missing}, {130 * time.Second, missing}, {135 * time.Second, ""}},
		},
		"replicas too many, as while one is replaced, are not": {
			[]string{swarm("plimsoll_service_replicas_desired", "3x60"), swarm("plimsoll_service_replicas_ready", "4x60")},
			[]moment{{2 * time.Minute, ""}},
		},
		"a platform that does not say lacks nothing": {
			[]string{swarm("plimsoll_service_replicas_desired", "3x60")},
			[]moment{{2 * time.Minute, ""}},
		},
		"a health check that passed and does so no more is told after a minute": {
			[]string{web("container_health_state", "1x10 0x30 1x10"), web("container_start_time_seconds", "0x60")},
			[]moment{{110 * time.Second, ""}, {115 * time.Second, unhealthy}, {205 * time.Second, unhealthy}, {210 * time.Second, ""}},
		},
		"a health check that has not passed yet is given ten minutes": {
			[]string{web("container_health_state", "0x150"), web("container_start_time_seconds", "10x150")},
			[]moment{{670 * time.Second, ""}, {675 * time.Second, unhealthy}},
		},
		"a container without a health check is not unhealthy": {
			[]string{web("container_health_state", "-1x150"), web("container_start_time_seconds", "0x150")},
			[]moment{{12 * time.Minute, ""}},
		},
	})
}

func TestContainerEnds(t *testing.T) {
	const (
		restarting    = "ContainerRestarting warning: Container web on n1 was restarted 3 times within 15 minutes"
		podRestarting = "ContainerRestarting warning: Container app of pod web-0 on n1 was restarted 3 times within 15 minutes"
		gone          = "ContainerGone critical: Container web on n1 failed with exit code 1 and has not been started again"
		down          = "AgentDown critical: Nothing has been heard of node n1 for 15 seconds or longer"
		killed        = "ContainerGone critical: Container web on n1 failed with exit code 137 and has not been started again"
	)
	watched := `up{job="plimsoll-agent", node="n1"} 1x1000`
	runs := func(values string) string { return web("container_memory_usage_bytes", values) }
	exit := func(code, kills, at, values string) []string {
		return []string{
			watched,
			web("plimsoll_container_exit_code", strings.ReplaceAll(values, "V", code)),
			web("plimsoll_container_exit_oom_kills", strings.ReplaceAll(values, "V", kills)),
			web("plimsoll_container_exit_time_seconds", strings.ReplaceAll(values, "V", at)),
		}
	}
	const minutes = "_x10 Vx60 stale" // 55 s to 6 min
	tell(t, map[string]story{
		"the third restart within 15 minutes is told": {
			[]string{web("container_start_time_seconds", "0x20 105x20 210x20 315x200")},
			[]moment{{310 * time.Second, ""}, {320 * time.Second, restarting}, {18 * time.Minute, restarting}},
		},
		"two restarts are not": {
			[]string{web("container_start_time_seconds", "0x20 105x20 210x200")},
			[]moment{{10 * time.Minute, ""}},
		},
		"in a pod each restart is another container": {
			[]string{
				app("a", "container_start_time_seconds", "0x10 stale"), app("b", "container_start_time_seconds", "_x20 100x10 stale"),
				app("c", "container_start_time_seconds", "_x40 200x10 stale"), app("d", "container_start_time_seconds", "_x60 300x90"),
			},
			[]moment{{295 * time.Second, ""}, {300 * time.Second, podRestarting}},
		},
		"a container that failed and does not come back is told after 30 s, and still when its last series has ended": {
			append(exit("1", "0", "53", minutes), runs("9x10 stale")),
			[]moment{{80 * time.Second, ""}, {90 * time.Second, gone}, {30 * time.Minute, gone}},
		},
		"until one of its name runs": {
			append(exit("1", "0", "53", minutes), runs("9x10 stale"), `container_memory_usage_bytes{id="/docker/bb", name="web", node="n1"} _x40 9x100`),
			[]moment{{195 * time.Second, gone}, {200 * time.Second, ""}, {10 * time.Minute, ""}},
		},
		"a container that is restarted at once is not gone": {
			append(exit("1", "0", "53", minutes), runs("9x10 _ _ 9x300")),
			[]moment{{3 * time.Minute, ""}, {20 * time.Minute, ""}},
		},
		"one that has done its work is not": {
			append(exit("0", "0", "53", minutes), runs("9x10 stale")),
			[]moment{{5 * time.Minute, ""}},
		},
		"one that somebody stopped is not": {
			append(exit("143", "0", "53", minutes), runs("9x10 stale")),
			[]moment{{5 * time.Minute, ""}},
		},
		"one that the kernel killed for want of memory is": {
			append(exit("137", "1", "53", minutes), runs("9x10 stale")),
			[]moment{{5 * time.Minute, killed}},
		},
		"one that failed, came back and was stopped later is not": {
			append(exit("1", "0", "53", minutes), runs("9x10 stale"),
				`plimsoll_container_exit_code{id="/docker/bb", name="web", node="n1"} _x80 143x60`,
				`plimsoll_container_exit_time_seconds{id="/docker/bb", name="web", node="n1"} _x80 400x60`),
			[]moment{{380 * time.Second, gone}, {405 * time.Second, ""}, {10 * time.Minute, ""}},
		},
		"of a node that is not heard of nothing is known": {
			append(exit("1", "0", "53", minutes)[1:], runs("9x10 _ 9x100 stale"), `up{job="plimsoll-agent", node="n1"} 1x110 0x100`),
			[]moment{{9 * time.Minute, ""}, {10 * time.Minute, down}, {15 * time.Minute, down}},
		},
		"a task of a Swarm is replaced under another name": {
			[]string{
				watched,
				`plimsoll_container_exit_code{id="/docker/aa", name="web.1.x", node="n1", container_label_com_docker_swarm_service_name="web"} _x10 1x60`,
				`plimsoll_container_exit_time_seconds{id="/docker/aa", name="web.1.x", node="n1", container_label_com_docker_swarm_service_name="web"} _x10 53x60`,
			},
			[]moment{{5 * time.Minute, ""}},
		},
	})
}

func TestContainerPressureAndNetwork(t *testing.T) {
	const (
		cpu     = "ContainerCPUPressure warning: Container web on n1 waits for a CPU 50% of the time"
		memory  = "ContainerMemoryPressure warning: Container web on n1 waits for memory 20% of the time"
		stalled = "ContainerMemoryPressure critical: Container web on n1 waits for memory 20% of the time"
		disk    = "ContainerIOPressure warning: In container web on n1 everything waits for a disk 40% of the time"
		network = "ContainerNetworkErrors warning: At eth0 of container web on n1, 5% of the packets fail"
		pod     = "ContainerNetworkErrors warning: At eth0 of pod web-0 on n1, 5% of the packets fail"
	)
	packets := func(labels, received, errors string) []string {
		var all []string
		for name, values := range map[string]string{"receive_packets": received, "receive_errors": errors, "transmit_packets": "0+0x100", "transmit_errors": "0+0x100"} {
			all = append(all, "container_network_"+name+`_total{`+labels+`, interface="eth0", node="n1", job="cadvisor"} `+values)
		}
		return all
	}
	const own = `id="/docker/aa", name="web", image="nginx"`
	tell(t, map[string]story{
		"a container that waits for a CPU half of the time": {
			[]string{web("container_pressure_cpu_waiting_seconds_total", "0+2.5x60")},
			[]moment{{2 * time.Minute, ""}, {4 * time.Minute, cpu}},
		},
		"and a third of the time": {
			[]string{web("container_pressure_cpu_waiting_seconds_total", "0+1.7x60")},
			[]moment{{4 * time.Minute, ""}},
		},
		"a container some of which waits for memory": {
			[]string{web("container_pressure_memory_waiting_seconds_total", "0+1x60"), web("container_pressure_memory_stalled_seconds_total", "0+0.2x60")},
			[]moment{{1 * time.Minute, ""}, {3 * time.Minute, memory}},
		},
		"a container all of which waits for memory": {
			[]string{web("container_pressure_memory_waiting_seconds_total", "0+0.4x60"), web("container_pressure_memory_stalled_seconds_total", "0+1x60")},
			[]moment{{3 * time.Minute, stalled}},
		},
		"a container that waits for a disk": {
			[]string{web("container_pressure_io_stalled_seconds_total", "0+2x60")},
			[]moment{{2 * time.Minute, ""}, {4 * time.Minute, disk}},
		},
		"a container that is fine": {
			[]string{
				web("container_pressure_cpu_waiting_seconds_total", "0+0.5x60"), web("container_pressure_memory_waiting_seconds_total", "0+0.1x60"),
				web("container_pressure_memory_stalled_seconds_total", "0+0.1x60"), web("container_pressure_io_stalled_seconds_total", "0+1x60"),
			},
			[]moment{{4 * time.Minute, ""}},
		},
		"a node as a whole has alerts of its own": {
			[]string{`container_pressure_cpu_waiting_seconds_total{id="/", node="n1"} 0+4x60`, `container_pressure_io_stalled_seconds_total{id="/", node="n1"} 0+4x60`},
			[]moment{{4 * time.Minute, ""}},
		},
		"packets that fail": {
			packets(own, "0+95x100", "0+5x100"),
			[]moment{{2 * time.Minute, ""}, {6 * time.Minute, network}},
		},
		"in the network of a pod": {
			packets(`id="/kubepods/pod12ab/cc", name="cc", image="pause", pod="web-0", namespace="shop"`, "0+95x100", "0+5x100"),
			[]moment{{6 * time.Minute, pod}},
		},
		"one packet of few": {
			packets(own, "0+9x100", "0+1x100"),
			[]moment{{6 * time.Minute, ""}},
		},
		"one packet of many": {
			packets(own, "0+995x100", "0+5x100"),
			[]moment{{6 * time.Minute, ""}},
		},
	})
}
