package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Whatever is in a file, a parser neither panics nor invents another kind of
// error, and parsing into memory that was used before changes nothing.

func seed(f *testing.F, file string, more ...string) {
	f.Helper()
	for _, kernel := range []string{"kernel-6.18", "kernel-2.6.18"} {
		if data, err := os.ReadFile(filepath.Join("testdata", kernel, "proc", file)); err == nil {
			f.Add(data)
		}
	}
	for _, m := range more {
		f.Add([]byte(m))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrFormat) {
		t.Errorf("error %v does not wrap ErrFormat", err)
	}
}

func FuzzStat(f *testing.F) {
	seed(f, "stat", "cpu0 1 2 3 4 5 6 7 8\nintr 1\n", "cpu99999999999 1 2 3 4\n")
	var s Stat
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, parseStat(data, &s))
		for _, cpu := range s.CPUs {
			if cpu.Modes > NumModes {
				t.Errorf("%d modes", cpu.Modes)
			}
		}
	})
}

func FuzzMeminfo(f *testing.F) {
	seed(f, "meminfo", ": kB\n", "A:B:1\n")
	var fields []MemoryField
	f.Fuzz(func(t *testing.T, data []byte) {
		var err error
		fields, err = parseMeminfo(data, fields)
		check(t, err)
		fresh, _ := parseMeminfo(data, nil)
		if len(fresh) != len(fields) {
			t.Fatalf("%d fields, in fresh memory %d", len(fields), len(fresh))
		}
		for i := range fresh {
			if err == nil && fresh[i] != fields[i] {
				t.Errorf("field %+v, in fresh memory %+v", fields[i], fresh[i])
			}
		}
	})
}

func FuzzLoad(f *testing.F) {
	seed(f, "loadavg", "1.00 1.00 1.00\n", "18446744073709551615.99 0.00 0.00\n")
	f.Fuzz(func(t *testing.T, data []byte) {
		load, err := parseLoad(data)
		check(t, err)
		if load.One < 0 || load.Five < 0 || load.Fifteen < 0 {
			t.Errorf("negative load %+v", load)
		}
	})
}

func FuzzNetDev(f *testing.F) {
	seed(f, "net/dev", "a:b: 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7\n")
	var ifs []Interface
	f.Fuzz(func(t *testing.T, data []byte) {
		var err error
		ifs, err = parseNetDev(data, ifs)
		check(t, err)
		fresh, _ := parseNetDev(data, nil)
		for i := range fresh {
			if err == nil && fresh[i] != ifs[i] {
				t.Errorf("interface %+v, in fresh memory %+v", ifs[i], fresh[i])
			}
		}
	})
}

func FuzzDiskstats(f *testing.F) {
	seed(f, "diskstats", "8 0 sda\n", "8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12\n")
	var disks []Disk
	f.Fuzz(func(t *testing.T, data []byte) {
		var err error
		disks, err = parseDiskstats(data, disks)
		check(t, err)
		for _, d := range disks {
			if err == nil && (d.Known < DiscardsCompleted || d.Known > NumDiskCounts) {
				t.Errorf("disk %+v", d)
			}
		}
	})
}

func FuzzPressure(f *testing.F) {
	seed(f, "pressure/io", "full total=1\n", "some total= total=1\n")
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := parsePressure(data)
		check(t, err)
	})
}

func FuzzVMStat(f *testing.F) {
	seed(f, "vmstat", "oom_kill\n", "oom_kill 1 2\n")
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := parseVMStat(data)
		check(t, err)
	})
}

func FuzzStatm(f *testing.F) {
	seed(f, "self/statm", "1\n", "1 2\n")
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := parseStatm(data)
		check(t, err)
	})
}
