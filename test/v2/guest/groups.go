package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// group is a control group that is looked at: a container or a pod.
type group struct {
	path   string
	limits map[string]string
	kill   bool // a process in it is killed for want of memory
	pod    bool // it has containers in it and no processes

	loads []*os.Process
}

func id(digit string) string { return strings.Repeat(digit, 64) }

const uid = "0b5c2a4e-6d0f-4f6b-9a51-1f2d3c4b5a69"

// layouts are the groups of runtimes under both cgroup drivers.
func layouts() []*group {
	systemd := "kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice"
	limits := map[string]string{
		"cpu.max": "20000 100000", "cpu.weight": "50", "memory.max": "64M", "memory.low": "1M", "memory.high": "48M", "pids.max": "100",
	}
	return []*group{
		{path: "/docker/" + id("a"), limits: limits},
		{path: "/system.slice/docker-" + id("b") + ".scope"}, // no limits
		{path: "/docker/" + id("c"), limits: map[string]string{"memory.max": "16M", "memory.swap.max": "0"}, kill: true},
		{path: "/kubepods/burstable/pod" + uid, limits: map[string]string{"memory.max": "128M", "cpu.weight": "20"}, pod: true},
		{path: "/kubepods/burstable/pod" + uid + "/" + id("d"), limits: limits},
		{path: "/kubepods.slice/kubepods-burstable.slice/" + systemd, pod: true},
		{path: "/kubepods.slice/kubepods-burstable.slice/" + systemd + "/cri-containerd-" + id("e") + ".scope", limits: limits},
		{path: "/kubepods.slice/kubepods-burstable.slice/" + systemd + "/crio-" + id("f") + ".scope"},
		{path: "/machine.slice/libpod-" + id("1") + ".scope"},
	}
}

// make makes the group and those above it, with all controllers.
func (g *group) make() error {
	at := "/"
	for part := range strings.SplitSeq(strings.TrimPrefix(g.path, "/"), "/") {
		if err := os.WriteFile(filepath.Join(cgroups, at, "cgroup.subtree_control"), []byte("+cpu +memory +io +pids"), 0); err != nil {
			return err
		}
		at = path.Join(at, part)
		if err := os.Mkdir(filepath.Join(cgroups, at), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for file, value := range g.limits {
		if err := os.WriteFile(g.file(file), []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) file(name string) string { return filepath.Join(cgroups, g.path, name) }

// load runs processes in the group, which have done their work when it returns
// and wait.
func (g *group) load(ctx context.Context) error {
	if g.pod {
		return nil
	}
	if g.kill {
		victim, _, err := g.enter(ctx, "greed")
		if err != nil {
			return err
		}
		if state, err := victim.Wait(); err != nil || state.Success() {
			return errors.Join(fmt.Errorf("a process outgrew 16M: %v", state), err)
		}
	}
	p, said, err := g.enter(ctx, "all")
	if err != nil {
		return err
	}
	if line, err := said.ReadString('\n'); err != nil || line != "done\n" {
		return fmt.Errorf("the load said %q: %w", line, err)
	}
	g.loads = append(g.loads, p)
	return nil
}

// enter starts this program as a load that is in the group from its start.
func (g *group) enter(ctx context.Context, what string) (*os.Process, *bufio.Reader, error) {
	dir, err := os.Open(filepath.Join(cgroups, g.path))
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", what)
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	return cmd.Process, bufio.NewReader(out), nil
}

// work is what a load does.
func work(what string) error {
	if what == "greed" {
		for hoard := [][]byte{}; ; {
			hoard = append(hoard, touched(1<<20))
			if len(hoard) > 64 {
				return nil
			}
		}
	}
	memory := touched(8 << 20)
	for enough := cpuTime() + 300*time.Millisecond; cpuTime() < enough; {
		for i := range memory {
			memory[i] += byte(i)
		}
	}
	if err := useDisk("/dev/ram0"); err != nil {
		return err
	}
	file := "/tmp/cache" + strconv.Itoa(os.Getpid())
	if err := os.WriteFile(file, memory[:1<<20], 0o600); err != nil {
		return err
	}
	fmt.Println("done")
	_ = unix.Pause() // until it is killed
	return fmt.Errorf("woken, with %d", memory[0])
}

func touched(size int) []byte {
	b := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	return b
}

func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// useDisk writes and reads past the page cache.
func useDisk(device string) error {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	room := make([]byte, 128<<10)
	start := 4096 - int(uintptr(unsafe.Pointer(&room[0]))%4096) // O_DIRECT wants whole pages
	block := room[start : start+64<<10]
	for i := range int64(8) {
		if _, err := unix.Pwrite(fd, block, i*int64(len(block))); err != nil {
			return err
		}
	}
	for i := range int64(4) {
		if _, err := unix.Pread(fd, block, i*int64(len(block))); err != nil {
			return err
		}
	}
	return nil
}
