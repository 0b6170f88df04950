package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// seed adds the fixtures' files of some names to a corpus.
func seed(f *testing.F, names ...string) {
	f.Helper()
	for fixture := range fixtures {
		archive, err := txtar.ParseFile(filepath.Join("testdata", fixture+".txtar"))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			for _, name := range names {
				if strings.HasSuffix(file.Name, "/"+name) && strings.Contains(file.Name, busyID) {
					f.Add(file.Data)
				}
			}
		}
	}
	f.Add([]byte("\n"))
	f.Add([]byte("a 1"))
}

// lookUp finds the last value of a key the slow way.
func lookUp(data []byte, key string) string {
	value := ""
	for line := range strings.Lines(string(data)) {
		if k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); k == key {
			value = v
		}
	}
	return value
}

func agree(t *testing.T, data []byte, key string, got Opt[uint64]) {
	t.Helper()
	want, ok := parseUint([]byte(lookUp(data, key)))
	if got.OK != ok || ok && got.V != want {
		t.Errorf("%s: %v, the file says %q", key, got, lookUp(data, key))
	}
}

func FuzzCPUStat(f *testing.F) {
	seed(f, "cpu.stat", "cpuacct.stat")
	f.Fuzz(func(t *testing.T, data []byte) {
		var c, acct CPU
		if c.parseStat(data) {
			agree(t, data, "nr_periods", c.Periods)
			agree(t, data, "nr_throttled", c.ThrottledPeriods)
		}
		acct.parseCpuacct(data)
	})
}

func FuzzMemoryStat(f *testing.F) {
	seed(f, "memory.stat")
	f.Fuzz(func(t *testing.T, data []byte) {
		var v1, v2 MemoryStat
		if v1.parse1(data) {
			agree(t, data, "total_rss", v1.RSSBytes)
			agree(t, data, "total_dirty", v1.DirtyBytes)
			agree(t, data, "total_inactive_file", v1.InactiveFileBytes)
			agree(t, data, "pgmajfault", v1.LocalFaults.Major)
		}
		if v2.parse2(data) {
			agree(t, data, "anon", v2.RSSBytes)
			agree(t, data, "workingset_refault_file", v2.FileRefaults)
			agree(t, data, "inactive_file", v2.InactiveFileBytes)
		}
	})
}

func FuzzMemoryEvents(f *testing.F) {
	seed(f, "memory.events", "memory.oom_control")
	f.Fuzz(func(t *testing.T, data []byte) {
		var e MemoryEvents
		if e.parse(data) {
			agree(t, data, "oom_kill", e.OOMKills)
		}
	})
}

func FuzzIO(f *testing.F) {
	seed(f, "io.stat", "blkio.throttle.io_service_bytes")
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) []DeviceIO{
			func(data []byte) []DeviceIO { d, _ := parseIOStat(nil, data); return d },
			func(data []byte) []DeviceIO { d, _ := parseBlkio(nil, 0, data, true); return d },
			func(data []byte) []DeviceIO { d, _ := parseBlkio(nil, 0, data, false); return d },
		} {
			for _, io := range parse(data) {
				if io == (DeviceIO{Device: io.Device}) {
					t.Errorf("%v has no account", io.Device)
				}
			}
		}
	})
}

func FuzzStall(f *testing.F) {
	seed(f, "cpu.pressure")
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Stall
		if s.parse(data) && s.Full.OK && !strings.Contains(string(data), "full") {
			t.Error("a total from nowhere")
		}
	})
}

func FuzzLimits(f *testing.F) {
	seed(f, "cpu.max", "memory.limit_in_bytes", "cpu.cfs_quota_us", "pids.max")
	f.Fuzz(func(t *testing.T, data []byte) {
		var l Limits
		l.parseCPUMax(data)
		if limit, ok := parseLimit(trim(data)); ok && limit != NoLimit && limit > 1<<62 {
			t.Errorf("%q is taken for the limit %d", data, limit)
		}
	})
}

// Whatever is in its files, a group can be read to the end.
func FuzzGroup(f *testing.F) {
	seed(f, "memory.stat", "cpu.stat", "io.stat")
	root := extract(f, "v2")
	group := fixtures["v2"].busy
	names, err := os.ReadDir(filepath.Join(root, group))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, e := range names {
			write(t, root, map[string]string{filepath.Join(group, e.Name()): string(data)})
		}
		g := open(t, newFS(t, Options{Root: root}), group)
		_, _ = tryAll(g) // errors are to be expected, panics and loops are not
	})
}
