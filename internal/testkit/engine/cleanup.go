package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopLimit is how long dockerd has to stop once its containers are gone.
const stopLimit = time.Minute

// cleanUp leaves nothing behind, whatever state the test left the engine in:
// no container, process, mount or file.
func (e *Engine) cleanUp() {
	if e.t.Failed() {
		e.t.Logf("dockerd said\n%s", e.log())
	}
	if e.daemon != nil {
		e.stop()
	}
	// After kill -9 containerd, shims and containers are still there.
	if !wait(func() bool { return kill(e.children()) == 0 }) {
		e.t.Errorf("processes %v of the engine are still there", e.children())
	}
	e.removeCgroups()
	e.removeSockets()
	for _, at := range mounts(e.dir) {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			e.t.Errorf("unmount %s: %v", at, err)
		}
	}
	if err := os.RemoveAll(e.dir); err != nil {
		e.t.Error(err)
	}
}

// stop removes the containers, as dockerd would wait 10 s for each that does
// not listen to SIGTERM, then ends dockerd.
func (e *Engine) stop() {
	_ = e.daemon.cmd.Process.Signal(syscall.SIGCONT)
	_, _ = e.Try("swarm", "leave", "--force") // lest removed tasks be replaced
	if ids, err := e.Try("ps", "--all", "--quiet"); err == nil && ids != "" {
		_, _ = e.Try(append([]string{"rm", "--force", "--volumes"}, strings.Fields(ids)...)...)
	}
	_ = e.daemon.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.daemon.ended:
	case <-time.After(stopLimit):
		e.t.Errorf("dockerd does not stop within %v", stopLimit)
		_ = e.daemon.cmd.Process.Kill()
		<-e.daemon.ended
	}
}

// removeCgroups removes the cgroups of containers that runc did not live to
// remove; to whoever looks for containers there they would be alive.
func (e *Engine) removeCgroups() {
	homes, err := filepath.Glob(e.path("data/containers/*"))
	if err != nil {
		return // only a bad pattern
	}
	for _, home := range homes {
		groups, err := filepath.Glob("/sys/fs/cgroup/*/docker/" + filepath.Base(home))
		if err != nil {
			return
		}
		for _, group := range groups {
			// A killed process holds its cgroup until the kernel is done with it.
			wait(func() bool { return unix.Rmdir(group) != unix.EBUSY })
		}
	}
}

// removeSockets removes those of killed shims, which are not in the engine's
// directory: each shim notes its own as "unix:///run/containerd/s/<hash>".
func (e *Engine) removeSockets() {
	notes, err := filepath.Glob(e.path("exec/containerd/daemon/*/moby/*/address"))
	if err != nil {
		return
	}
	for _, note := range notes {
		if address, err := os.ReadFile(note); err == nil {
			_ = os.Remove(strings.TrimPrefix(string(address), "unix://"))
		}
	}
}

// children are the processes that have the engine's directory on their command
// line, containerd and its shims, and the children of the shims: containers.
func (e *Engine) children() []int {
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil // only a bad pattern
	}
	var pids []int
	for _, path := range commands {
		command, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(command, []byte(e.dir+"/")) {
			continue // not ours, or gone meanwhile
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		pids = append(pids, childrenOf(pid)...)
		pids = append(pids, pid)
	}
	return pids
}

func childrenOf(pid int) []int {
	lists, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		return nil
	}
	var pids []int
	for _, path := range lists {
		list, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(list)) {
			if child, err := strconv.Atoi(word); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// running tells whether a process is there and no zombie: those have no command
// line.
func running(pid string) bool {
	command, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/cmdline")
	return err == nil && len(command) > 0
}

// wait asks until the answer is yes, for at most a minute.
func wait(done func() bool) bool {
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); {
		if done() {
			return true
		}
		<-time.After(20 * time.Millisecond)
	}
	return done()
}

// kill kills processes and returns how many there were.
func kill(pids []int) int {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return len(pids)
}

// mounts are the mount points below dir, the innermost first. A line of
// mountinfo has them in its fifth field:
//
//	60 27 0:4 net:[4026531833] /tmp/x/exec/netns/default rw - nsfs nsfs rw
func mounts(dir string) []string {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var at []string
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			at = append(at, f[4])
		}
	}
	slices.Reverse(at)
	return at
}
