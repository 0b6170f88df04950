// Command cadvisor is cAdvisor's library in the smallest program around it, the
// way kubelet embeds it: its own command cannot be fetched as a module.
//
// The library knows no Docker; containers are what its raw handler finds below
// a path. It thus spares itself the engine's API and the containers' names,
// networks and disks, so that it is cheaper here than in a release of cAdvisor.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/google/cadvisor/lib/cache/memory"
	"github.com/google/cadvisor/lib/container"
	"github.com/google/cadvisor/lib/manager"
	"github.com/google/cadvisor/lib/metrics"
	"github.com/google/cadvisor/lib/model"
	"github.com/google/cadvisor/lib/utils/sysfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"
)

// sets are the metrics that are collected, by the name of a setting.
var sets = map[string]container.MetricSet{
	// All but those that the command of cAdvisor leaves out by default.
	"default": container.AllMetrics.Difference(set(
		container.MemoryNumaMetrics, container.NetworkTcpUsageMetrics, container.NetworkUdpUsageMetrics,
		container.NetworkAdvancedTcpUsageMetrics, container.ProcessSchedulerMetrics, container.HugetlbUsageMetrics,
		container.ReferencedMemoryMetrics, container.CPUTopologyMetrics, container.ResctrlMetrics, container.CPUSetMetrics,
	)),
	// Those of pkg/kubelet/cadvisor.
	"kubelet": set(
		container.CpuUsageMetrics, container.MemoryUsageMetrics, container.CpuLoadMetrics, container.DiskIOMetrics,
		container.NetworkUsageMetrics, container.AppMetrics, container.ProcessMetrics, container.OOMMetrics, container.DiskUsageMetrics,
	),
	"tuned": set(container.CpuUsageMetrics, container.MemoryUsageMetrics, container.NetworkUsageMetrics),
}

func set(kinds ...container.MetricKind) container.MetricSet {
	s := container.MetricSet{}
	for _, k := range kinds {
		s[k] = struct{}{}
	}
	return s
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where /metrics is served")
	setting := flag.String("set", "default", "default, kubelet or tuned")
	interval := flag.Duration("interval", 10*time.Second, "how often every container is read")
	below := flag.String("below", "", "path of the cgroups that are read; all if empty")
	flag.Parse()
	if err := run(*listen, *setting, *interval, *below); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(listen, setting string, interval time.Duration, below string) error {
	included, ok := sets[setting]
	if !ok {
		return fmt.Errorf("no setting is called %q", setting)
	}
	fixed := false
	*manager.HousekeepingInterval = interval
	m, err := manager.New(memory.New(2*time.Minute, nil), sysfs.NewRealSysFs(),
		manager.HousekeepingConfig{Interval: &interval, AllowDynamic: &fixed}, included, []string{below}, nil, "", 0)
	if err != nil {
		return err
	}
	if err := m.Start(); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		metrics.NewPrometheusCollector(m, nil, included, clock.RealClock{}, model.RequestOptions{IdType: model.TypeName, Count: 1, Recursive: true}),
		metrics.NewPrometheusMachineCollector(m, included),
	)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	return http.ListenAndServe(listen, nil)
}
