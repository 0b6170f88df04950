// Command guest is the first process of a virtual machine with control groups
// of version 2 only. It makes groups as container runtimes do, runs loads in
// them, lets them come to rest, and compares every series that the agent shows
// of them with what the kernel's files say. It reads those files with code of
// its own: nothing of the agent judges the agent. Then it sets the clock, which
// no test may do to the machine that it runs on.
//
// It prints a line for each group, and at the end PASS or FAIL.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const cgroups = "/sys/fs/cgroup"

func main() {
	if os.Getpid() != 1 {
		if err := work(os.Args[1]); err != nil {
			panic(err) // to be seen in the log, and in how it ended
		}
		return
	}
	ctx := context.Background()
	if err := run(ctx); err != nil {
		fmt.Println("FAIL:", err)
	} else {
		fmt.Println("PASS")
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // ends the machine: it is told not to reboot
}

func run(ctx context.Context) error {
	if err := boot(); err != nil {
		return fmt.Errorf("boot: %w", err)
	}
	groups := layouts()
	for _, g := range groups {
		if err := g.make(); err != nil {
			return fmt.Errorf("make %s: %w", g.path, err)
		}
	}
	for _, g := range groups {
		if err := g.load(ctx); err != nil {
			return fmt.Errorf("load %s: %w", g.path, err)
		}
	}
	agent := exec.CommandContext(ctx, "/plimsoll", "agent", "--node.name", "guest", "--interval", "500ms", "--docker.host", "",
		"--no-gpu", "--data.path", "/tmp/data", "--web.listen-address", "127.0.0.1:9900", "--log.level", "warn")
	agent.Stdout, agent.Stderr = os.Stdout, os.Stderr
	if err := agent.Start(); err != nil {
		return err
	}
	if err := compare(ctx, groups, agent.Process); err != nil {
		return err
	}
	return clocks(ctx, groups[1])
}

// boot mounts what Linux needs, and makes a disk in memory.
func boot() error {
	for _, m := range []struct{ device, at, kind string }{
		{"proc", "/proc", "proc"},
		{"sys", "/sys", "sysfs"},
		{"dev", "/dev", "devtmpfs"},
		{"tmp", "/tmp", "tmpfs"},
		{"cgroup2", cgroups, "cgroup2"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.device, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	module, err := os.Open("/brd.ko")
	if err != nil {
		return err
	}
	defer module.Close()
	if err := unix.FinitModule(int(module.Fd()), "rd_nr=1 rd_size=16384", 0); err != nil {
		return fmt.Errorf("load brd: %w", err)
	}
	return loopbackUp()
}

func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request)
}

// compare waits until every group's series are what its files say. They are at
// rest, but the agent reads some of them only every fifteenth tick.
func compare(ctx context.Context, groups []*group, agent *os.Process) error {
	var wrong []string
	var seen map[string]map[string]float64
	for range 60 {
		<-time.After(time.Second)
		var err error
		if seen, err = scrape(ctx, "http://127.0.0.1:9900/metrics"); err != nil {
			wrong = []string{err.Error()}
			continue
		}
		wrong = nil
		for _, g := range groups {
			wrong = append(wrong, g.differences(seen[g.path])...)
		}
		if len(wrong) == 0 {
			break
		}
	}
	for _, g := range groups {
		fmt.Printf("group %s: %d series\n", g.path, len(seen[g.path]))
	}
	for _, w := range wrong {
		fmt.Println("differs:", w)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d series differ", len(wrong))
	}
	if _, ok := seen["/"]["container_cpu_usage_seconds_total{cpu=total}"]; !ok {
		return fmt.Errorf("no row of the root: %v", seen["/"])
	}
	if err := remove(groups[0]); err != nil {
		return err
	}
	return gone(ctx, groups[0].path, agent)
}

// gone waits until no series of a group that was removed is left but its last.
func gone(ctx context.Context, path string, agent *os.Process) error {
	var left map[string]float64
	for range 30 {
		<-time.After(time.Second)
		seen, err := scrape(ctx, "http://127.0.0.1:9900/metrics")
		if err != nil {
			return err
		}
		left = seen[path]
		if _, ok := left["container_cpu_usage_seconds_total{cpu=total}"]; !ok {
			if _, ok := left["container_last_seen{}"]; !ok {
				return fmt.Errorf("%s left no container_last_seen", path)
			}
			return agent.Signal(unix.SIGTERM)
		}
	}
	return fmt.Errorf("%s was removed and still has %d series", path, len(left))
}

func remove(g *group) error {
	for _, p := range g.loads {
		if err := p.Kill(); err != nil {
			return err
		}
		if _, err := p.Wait(); err != nil {
			return err
		}
	}
	return os.Remove(filepath.Join(cgroups, g.path))
}
