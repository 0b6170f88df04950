package agent

import (
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// collectorsOf are node_exporter's names for what reads a file.
func collectorsOf(file string) []string {
	switch file {
	case "proc/stat":
		return []string{"cpu", "stat"}
	case "proc/pressure/cpu", "proc/pressure/memory", "proc/pressure/io", "proc/pressure/irq":
		return []string{"pressure"}
	case "proc/net/snmp", "proc/net/netstat", "proc/net/snmp6":
		return []string{"netstat"}
	case "proc/net/sockstat", "proc/net/sockstat6":
		return []string{"sockstat"}
	}
	name := map[string]string{
		"proc/loadavg": "loadavg", "proc/meminfo": "meminfo", "proc/net/dev": "netdev", "proc/diskstats": "diskstats",
		"proc/vmstat": "vmstat", "proc/net/softnet_stat": "softnet", "sys/class/net": "netclass", "proc/net/arp": "arp",
		"proc/net/udp": "udp_queues", "proc/sys/net/netfilter": "conntrack", "proc/sys/fs/file-nr": "filefd",
		"proc/sys/kernel/random": "entropy", "proc/schedstat": "schedstat", "adjtimex": "timex",
		"sys/devices/system/cpu/cpufreq": "cpufreq", "sys/class/hwmon": "hwmon", "etc/os-release": "os",
		"proc/1/mountinfo": "filesystem", "proc/PID/stat": "processes", "textfile": "textfile",
	}[file]
	if name == "" {
		return nil
	}
	return []string{name}
}

// collectors tells, as node_exporter does of its collectors, which files could
// be read and how long the last reading took.
type collectors struct {
	group *sample.Group // of each collector its success, then its duration
	files []collectorFile
}

// collectorFile is a file with the places of its collectors in the group.
type collectorFile struct {
	of    []int
	tried bool
	ok    bool
	took  time.Duration
}

func newCollectors(files []string, lane uint64, jobs Jobs) *collectors {
	success := &sample.Metric{Name: "node_scrape_collector_success", Help: "1 if the collector found something to read, 0 if not.", Type: sample.Gauge}
	duration := &sample.Metric{Name: "node_scrape_collector_duration_seconds", Help: "How long it took to read.", Type: sample.Gauge, Unit: "seconds", Divisor: 1e6}
	c := &collectors{group: &sample.Group{Labels: []sample.Label{nodeJob()}, Every: max(lane, 1)}}
	if jobs.Node != "" {
		c.group.Labels[0].Value = jobs.Node
	}
	places := make(map[string]int)
	for _, file := range files {
		var f collectorFile
		for _, name := range collectorsOf(file) {
			at, ok := places[name]
			if !ok {
				at = len(c.group.Series)
				places[name] = at
				label := []sample.Label{{Name: "collector", Value: name}}
				c.group.Series = append(c.group.Series, sample.Series{Metric: success, Labels: label}, sample.Series{Metric: duration, Labels: label})
			}
			f.of = append(f.of, at)
		}
		c.files = append(c.files, f)
	}
	return c
}

// note takes in how the reading of the file with this number went.
func (c *collectors) note(file int, err error, took time.Duration) {
	f := &c.files[file]
	f.tried, f.ok, f.took = true, err == nil, took.Truncate(time.Microsecond)
}

// add tells of those that have read something. Where a collector has several
// files, one that could be read makes a success.
func (c *collectors) add(b *sample.Batch) {
	v := b.Add(c.group)
	for i := range c.files {
		f := &c.files[i]
		if !f.tried {
			continue
		}
		for _, at := range f.of {
			if sample.IsAbsent(v[at]) {
				v[at], v[at+1] = 0, 0
			}
			if f.ok {
				v[at] = 1
			}
			v[at+1] += f.took.Seconds()
		}
	}
}
