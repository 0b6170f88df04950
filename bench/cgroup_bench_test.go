package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

// BenchmarkCgroup reads 20 live groups in turn, by lane of the agent and by the
// library that the agent does not use for it. One operation is one group:
//
//	go test -run - -bench Cgroup -benchmem ./bench
func BenchmarkCgroup(b *testing.B) {
	fs, err := cgroup.New(cgroup.Options{})
	if err != nil {
		b.Skipf("no control groups here: %v", err)
	}
	b.Cleanup(fs.Close)
	paths := make([]string, 20)
	groups := make([]*cgroup.Group, len(paths))
	for i := range paths {
		paths[i] = inhabited(b, fs.Mode(), i)
		if groups[i], err = fs.Open(paths[i]); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(groups[i].Close)
	}

	first := func(g *cgroup.Group) error {
		if _, err := g.CPU(); err != nil {
			return err
		}
		_, err := g.MemoryUsage()
		return err
	}
	second := func(g *cgroup.Group) error {
		if _, err := g.MemoryStat(); err != nil {
			return err
		}
		_, err := g.Pressure()
		return err
	}
	var io []cgroup.DeviceIO
	third := func(g *cgroup.Group) (err error) {
		if _, err := g.MemoryEvents(); err != nil {
			return err
		}
		if _, err := g.Limits(); err != nil {
			return err
		}
		if _, err := g.PIDs(); err != nil {
			return err
		}
		if _, err := g.ProcessCount(); err != nil {
			return err
		}
		if _, err := g.LocalThrottled(); err != nil {
			return err
		}
		io, err = g.IO(io[:0])
		return err
	}
	all := func(lanes ...func(*cgroup.Group) error) func(*cgroup.Group) error {
		return func(g *cgroup.Group) error {
			for _, read := range lanes {
				if err := read(g); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, lane := range []struct {
		name string
		read func(*cgroup.Group) error
	}{
		{"first lane", first},
		{"second lane", second},
		{"first and second lane", all(first, second)},
		{"third lane", third},
		{"all lanes", all(first, second, third)},
	} {
		b.Run(lane.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := lane.read(groups[i%len(groups)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	stat := containerd(b, fs.Mode(), paths)
	b.Run("containerd Stat", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := stat[i%len(stat)](); err != nil {
				b.Fatal(err)
			}
		}
	})
}

const root = "/sys/fs/cgroup"

// inhabited makes a group with a sleeping process in it.
func inhabited(b *testing.B, mode cgroup.Mode, n int) string {
	b.Helper()
	path := fmt.Sprintf("/plimsoll.bench.%d.%d", os.Getpid(), n)
	dirs := []string{root}
	if mode != cgroup.V2 {
		dirs, _ = filepath.Glob(root + "/*")
	} else if err := os.WriteFile(root+"/cgroup.subtree_control", []byte("+cpu +memory +io +pids"), 0); err != nil {
		b.Skipf("controllers cannot be enabled: %v", err)
	}
	sleeper := exec.Command("sleep", "3600")
	if err := sleeper.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { // before the groups are removed, which must be empty
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
		for _, dir := range dirs {
			os.Remove(filepath.Join(dir, path))
		}
	})
	for _, dir := range dirs {
		if name := filepath.Base(dir); mode != cgroup.V2 && !strings.Contains(" cpu cpuacct cpu,cpuacct memory pids blkio unified ", " "+name+" ") {
			continue
		}
		if err := os.Mkdir(filepath.Join(dir, path), 0o755); err != nil && !os.IsExist(err) {
			b.Skipf("cannot make control groups: %v", err)
		}
		procs := filepath.Join(dir, path, "cgroup.procs")
		if err := os.WriteFile(procs, []byte(strconv.Itoa(sleeper.Process.Pid)), 0); err != nil {
			b.Fatal(err)
		}
	}
	return path
}

// containerd loads each group once, as a long-lived user of the library would,
// with the controllers that the lanes read.
func containerd(b *testing.B, mode cgroup.Mode, paths []string) []func() error {
	b.Helper()
	stat := make([]func() error, len(paths))
	for i, path := range paths {
		if mode == cgroup.V2 {
			group, err := cgroup2.Load(path)
			if err != nil {
				b.Fatal(err)
			}
			stat[i] = func() error { _, err := group.Stat(); return err }
			continue
		}
		group, err := cgroup1.Load(cgroup1.StaticPath(path), cgroup1.WithHierarchy(func() ([]cgroup1.Subsystem, error) {
			return []cgroup1.Subsystem{
				cgroup1.NewCpu(root), cgroup1.NewCpuacct(root), cgroup1.NewMemory(root, cgroup1.OptionalSwap()),
				cgroup1.NewPids(root), cgroup1.NewBlkio(root),
			}, nil
		}))
		if err != nil {
			b.Fatal(err)
		}
		stat[i] = func() error { _, err := group.Stat(); return err }
	}
	return stat
}
