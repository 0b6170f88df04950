package rules_test

import (
	"testing"
	"time"
)

// n1 is a series of a node as the agent labels it.
func n1(name, labels, values string) string {
	if labels != "" {
		labels = ", " + labels
	}
	return name + `{node="n1", instance="n1:9100", job="node-exporter"` + labels + `} ` + values
}

func TestHostLimits(t *testing.T) {
	const (
		low      = "HostMemoryLow warning: Node n1 has 8% of its memory left"
		lowest   = "HostMemoryLow critical: Node n1 has 3% of its memory left"
		full     = "HostDiskFull critical: On node n1, 4% of /data are free"
		files    = "HostInodesLow warning: On node n1, 2% of the files that /data can have are left"
		firewall = "HostConntrackNearLimit warning: The firewall of node n1 follows 90% of the connections that it can"
		open     = "HostFDsNearLimit warning: On node n1, 85% of the files that can be open are"
	)
	memory := func(available string) []string {
		return []string{n1("node_memory_MemAvailable_bytes", "", available), n1("node_memory_MemTotal_bytes", "", "100x100")}
	}
	disk := func(readonly, avail, free, files string) []string {
		const data = `device="/dev/sdb1", fstype="ext4", mountpoint="/data"`
		return []string{
			n1("node_filesystem_avail_bytes", data, avail), n1("node_filesystem_size_bytes", data, "100x100"), n1("node_filesystem_readonly", data, readonly),
			n1("node_filesystem_files_free", data, free), n1("node_filesystem_files", data, files),
		}
	}
	tell(t, map[string]story{
		"memory that gets low warns after two minutes":      {memory("50x5 8x60"), []moment{{145 * time.Second, ""}, {150 * time.Second, low}}},
		"memory that is nearly gone is critical after 30 s": {memory("50x5 3x60"), []moment{{55 * time.Second, ""}, {60 * time.Second, lowest}}},
		"half of the memory is enough":                      {memory("50x60"), []moment{{4 * time.Minute, ""}}},
		"a disk that is full is told after a minute":        {disk("0x60", "50x5 4x60", "9x60", "10x60"), []moment{{85 * time.Second, ""}, {90 * time.Second, full}}},
		"a disk that cannot be written is meant to be full": {disk("1x60", "0x60", "0x60", "10x60"), []moment{{3 * time.Minute, ""}}},
		"a file system without files left":                  {disk("0x60", "50x60", "2x60", "100x60"), []moment{{55 * time.Second, ""}, {60 * time.Second, files}}},
		"a file system without a limit of files":            {disk("0x60", "50x60", "0x60", "0x60"), []moment{{3 * time.Minute, ""}}},
		"connections near the limit": {
			[]string{n1("node_nf_conntrack_entries", "", "10x5 90x30"), n1("node_nf_conntrack_entries_limit", "", "100x60")},
			[]moment{{85 * time.Second, ""}, {90 * time.Second, firewall}},
		},
		"half of the connections": {
			[]string{n1("node_nf_conntrack_entries", "", "50x30"), n1("node_nf_conntrack_entries_limit", "", "100x60")},
			[]moment{{2 * time.Minute, ""}},
		},
		"open files near the limit": {
			[]string{n1("node_filefd_allocated", "", "85x30"), n1("node_filefd_maximum", "", "100x60")},
			[]moment{{55 * time.Second, ""}, {60 * time.Second, open}},
		},
		"open files of a kernel whose limit is all that a number can be": {
			[]string{n1("node_filefd_allocated", "", "85000x30"), n1("node_filefd_maximum", "", "9223372036854775807x60")},
			[]moment{{2 * time.Minute, ""}},
		},
	})
}

func TestHostLoad(t *testing.T) {
	const (
		saturated = "HostCPUSaturated warning: The CPUs of node n1 are busy 98% of the time, and threads queue for them"
		steal     = "HostCPUSteal warning: The machine below node n1 withholds 20% of its CPU time"
		cpu       = "HostCPUPressure warning: On node n1, something waits for a CPU 70% of the time"
		memory    = "HostMemoryPressure warning: Node n1 waits for memory 20% of the time"
		stalled   = "HostMemoryPressure critical: Node n1 waits for memory 20% of the time"
		io        = "HostIOPressure warning: On node n1, everything waits for disks 40% of the time"
		slow      = "HostDiskSlow warning: Disk sda of node n1 takes 200ms for a request"
		network   = "HostNetworkErrors warning: At eth0 of node n1, 4.762% of the packets fail"
	)
	cpus := func(idle, load string) []string {
		return []string{
			n1("node_cpu_seconds_total", `cpu="0", mode="idle"`, idle), n1("node_cpu_seconds_total", `cpu="1", mode="idle"`, idle),
			n1("node_load5", "", load),
		}
	}
	sda := func(requests, seconds string) []string {
		const sda = `device="sda"`
		return []string{
			n1("node_disk_reads_completed_total", sda, requests), n1("node_disk_read_time_seconds_total", sda, seconds),
			n1("node_disk_writes_completed_total", sda, requests), n1("node_disk_write_time_seconds_total", sda, seconds),
		}
	}
	eth0 := func(packets, errors string) []string {
		const eth0 = `device="eth0"`
		return []string{
			n1("node_network_receive_packets_total", eth0, packets), n1("node_network_receive_errs_total", eth0, errors),
			n1("node_network_transmit_packets_total", eth0, packets), n1("node_network_transmit_errs_total", eth0, "0+0x200"),
		}
	}
	tell(t, map[string]story{
		"CPUs that are busy and queued for":     {cpus("0+0.1x200", "6x200"), []moment{{5 * time.Minute, ""}, {8 * time.Minute, saturated}}},
		"CPUs that are just well used":          {cpus("0+0.1x200", "2x200"), []moment{{8 * time.Minute, ""}}},
		"CPUs that are idle in spite of a load": {cpus("0+2.5x200", "6x200"), []moment{{8 * time.Minute, ""}}},
		"a machine that withholds its CPUs":     {[]string{n1("node_cpu_seconds_total", `cpu="0", mode="steal"`, "0+1x200")}, []moment{{5 * time.Minute, ""}, {8 * time.Minute, steal}}},
		"a machine that hardly does":            {[]string{n1("node_cpu_seconds_total", `cpu="0", mode="steal"`, "0+0.1x200")}, []moment{{8 * time.Minute, ""}}},
		"a node that waits for CPUs":            {[]string{n1("node_pressure_cpu_waiting_seconds_total", "", "0+3.5x200")}, []moment{{5 * time.Minute, ""}, {8 * time.Minute, cpu}}},
		"a node that waits for memory":          {[]string{n1("node_pressure_memory_waiting_seconds_total", "", "0+1x200")}, []moment{{4 * time.Minute, memory}}},
		"a node that does nothing else":         {[]string{n1("node_pressure_memory_stalled_seconds_total", "", "0+1x200")}, []moment{{4 * time.Minute, stalled}}},
		"a node that waits for disks":           {[]string{n1("node_pressure_io_stalled_seconds_total", "", "0+2x200")}, []moment{{6 * time.Minute, io}}},
		"a node that waits a little": {
			[]string{
				n1("node_pressure_cpu_waiting_seconds_total", "", "0+2x200"), n1("node_pressure_memory_waiting_seconds_total", "", "0+0.2x200"),
				n1("node_pressure_memory_stalled_seconds_total", "", "0+0.2x200"), n1("node_pressure_io_stalled_seconds_total", "", "0+1x200"),
			},
			[]moment{{8 * time.Minute, ""}},
		},
		"a disk that takes 200 ms for a request": {sda("0+50x200", "0+10x200"), []moment{{5 * time.Minute, ""}, {8 * time.Minute, slow}}},
		"a disk that takes 2 ms":                 {sda("0+50x200", "0+0.1x200"), []moment{{8 * time.Minute, ""}}},
		"a slow disk that nobody uses":           {sda("0+1x200", "0+1x200"), []moment{{8 * time.Minute, ""}}},
		"packets that fail":                      {eth0("0+50x200", "0+5x200"), []moment{{2 * time.Minute, ""}, {6 * time.Minute, network}}},
		"packets that hardly fail":               {eth0("0+5000x200", "0+5x200"), []moment{{6 * time.Minute, ""}}},
		"a packet of few":                        {eth0("0+5x200", "0+1x200"), []moment{{6 * time.Minute, ""}}},
	})
}

func TestHostEvents(t *testing.T) {
	const (
		oom  = "HostOOMKill critical: Node n1 ran out of memory, and the kernel killed 1 process(es) outside of containers within 5 minutes"
		skew = "HostClockSkew warning: The clock of node n1 differs by 10m 0s from the collector's"
	)
	container := `plimsoll_service_oom_kills_total{service="web", node="n1", job="cadvisor"} `
	tell(t, map[string]story{
		"a kill outside of containers":         {[]string{n1("node_vmstat_oom_kill", "", "7x60 8x200"), container + "0x260"}, []moment{{300 * time.Second, ""}, {310 * time.Second, oom}, {11 * time.Minute, ""}}},
		"a kill in a container":                {[]string{n1("node_vmstat_oom_kill", "", "7x60 8x200"), container + "0x60 1x200"}, []moment{{310 * time.Second, ""}, {11 * time.Minute, ""}}},
		"kills from before the agent came":     {[]string{n1("node_vmstat_oom_kill", "", "_x60 7x200")}, []moment{{310 * time.Second, ""}, {11 * time.Minute, ""}}},
		"a clock that is ten minutes ahead":    {[]string{`plimsoll_agent_clock_skew_seconds{node="n1", job="plimsoll-collector", instance="c1"} 0x5 600x60`}, []moment{{85 * time.Second, ""}, {90 * time.Second, skew}}},
		"a clock that is ten minutes behind":   {[]string{`plimsoll_agent_clock_skew_seconds{node="n1", job="plimsoll-collector", instance="c1"} -600x60`}, []moment{{60 * time.Second, skew}}},
		"a clock that is half a second behind": {[]string{`plimsoll_agent_clock_skew_seconds{node="n1", job="plimsoll-collector", instance="c1"} -0.5x60`}, []moment{{2 * time.Minute, ""}}},
	})
}

// Each step is five minutes: a day of a disk takes a moment.
func TestHostOutlook(t *testing.T) {
	const (
		day      = "HostDiskWillFill warning: On node n1, /data will soon be full; 17.5% of it are free"
		hours    = "HostDiskWillFill critical: On node n1, /data will soon be full; 17% of it are free; HostDiskWillFill warning: On node n1, /data will soon be full; 17% of it are free"
		readonly = "HostFilesystemReadOnly critical: On node n1, /data can be read only, since less than an hour ago"
	)
	const data = `device="/dev/sdb1", fstype="ext4", mountpoint="/data"`
	disk := func(ro, avail string) []string {
		return []string{n1("node_filesystem_avail_bytes", data, avail), n1("node_filesystem_size_bytes", data, "1000x200"), n1("node_filesystem_readonly", data, ro)}
	}
	tellEvery(t, 5*time.Minute, map[string]story{
		"a disk that is full within a day":   {disk("0x200", "295-1x200"), []moment{{10 * time.Hour, day}}},
		"a disk that is full within hours":   {disk("0x200", "1000-10x200"), []moment{{6*time.Hour + 55*time.Minute, hours}}},
		"a disk that fills slowly":           {disk("0x200", "395-0.2x200"), []moment{{10 * time.Hour, ""}}},
		"a disk with room, whatever it does": {disk("0x200", "1000-5x110"), []moment{{9 * time.Hour, ""}}},
		"a disk that turns read-only":        {disk("0x10 1x60", "500x200"), []moment{{50 * time.Minute, ""}, {55 * time.Minute, readonly}, {105 * time.Minute, readonly}, {110 * time.Minute, ""}}},
		"a disk that always was":             {disk("1x60", "500x200"), []moment{{2 * time.Hour, ""}}},
	})
}
