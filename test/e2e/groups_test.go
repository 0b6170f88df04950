//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

// yard makes control groups as container runtimes do, without a runtime: to have
// hundreds come and go takes an engine minutes. They are siblings in a group of
// their own, in every hierarchy of the machine. An agent can be shown these alone,
// lest what others run on the machine counts.
type yard struct {
	t    *testing.T
	name string // of the group around them, without a slash
	root string // of a tree in which there is nothing else
	tops []string
	made int
}

// life is a group with a process in it.
type life struct {
	id   string
	dirs []string
	cmd  *exec.Cmd
}

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{t: t, name: fmt.Sprintf("plimsoll-e2e-%d", time.Now().UnixNano()), root: t.TempDir()}
	t.Cleanup(func() { // an engine makes it in hierarchies that are not used here
		left, _ := filepath.Glob("/sys/fs/cgroup/*/" + y.name) // only a bad pattern is an error
		for _, dir := range left {
			_ = os.Remove(dir)
		}
	})
	for _, hierarchy := range []string{"cpu", "cpuacct", "memory", "pids", "blkio", "unified"} {
		top := filepath.Join("/sys/fs/cgroup", hierarchy)
		if resolved, err := filepath.EvalSymlinks(top); err == nil {
			y.tops = append(y.tops, filepath.Join(resolved, y.name))
		}
	}
	if len(y.tops) < 2 {
		t.Skip("this test needs control groups of version 1, with unified beside them or not")
	}
	for _, top := range y.tops {
		if err := os.Mkdir(top, 0o755); err != nil && !errors.Is(err, os.ErrExist) { // two hierarchies may be one
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(top) })
		y.show(top)
	}
	return y
}

// show makes a hierarchy of the yard part of its tree.
func (y *yard) show(top string) {
	y.t.Helper()
	at := filepath.Join(y.root, filepath.Base(filepath.Dir(top)))
	if err := os.Mkdir(at, 0o755); errors.Is(err, os.ErrExist) {
		return // it has two controllers, and is there
	} else if err != nil {
		y.t.Fatal(err)
	}
	if err := unix.Mount(top, at, "", unix.MS_BIND, ""); err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			y.t.Error(err)
		}
	})
}

// alone runs an agent that sees the yard and nothing else of the machine's groups.
func (y *yard) alone(command []string, args ...string) *process {
	y.t.Helper()
	return alone(y.t, command, append([]string{"--path.cgroup=" + y.root}, args...)...)
}

// start makes a group and has a process sleep in it.
func (y *yard) start() *life {
	y.t.Helper()
	y.made++
	l := &life{id: fmt.Sprintf("%064x", y.made), cmd: exec.Command("sleep", "3600")}
	for _, top := range y.tops {
		dir := filepath.Join(top, l.id)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			y.t.Fatal(err)
		}
		l.dirs = append(l.dirs, dir)
	}
	if err := l.cmd.Start(); err != nil {
		y.t.Fatal(err)
	}
	for _, dir := range l.dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(l.cmd.Process.Pid)), 0); err != nil {
			y.t.Fatal(err)
		}
	}
	y.t.Cleanup(l.end)
	return l
}

func (y *yard) startMany(n int) []*life {
	y.t.Helper()
	var list []*life
	for range n {
		list = append(list, y.start())
	}
	return list
}

// end ends the process and removes the group, as often as it is called.
func (l *life) end() {
	if l.cmd.ProcessState == nil {
		_ = l.cmd.Process.Kill()
		_ = l.cmd.Wait() // killed
	}
	for _, dir := range l.dirs {
		// The kernel may hold a group for a moment after its last process.
		wait(patience, func() bool { return !errors.Is(unix.Rmdir(dir), unix.EBUSY) })
	}
	l.dirs = nil
}

func endAll(list []*life) {
	for _, l := range list {
		l.end()
	}
}

// matcher selects the series of the yard's groups.
func (y *yard) matcher() string { return `id=~"/[0-9a-f]{64}"` }

// dying is how many groups below the yard the kernel could not let go of yet, or
// -1 if it does not tell.
func (y *yard) dying() float64 {
	y.t.Helper()
	file := filepath.Join("/sys/fs/cgroup/unified", y.name, "cgroup.stat")
	if _, err := os.Stat(file); err != nil {
		return -1
	}
	return keyed(y.t, file)["nr_dying_descendants"]
}

// alone runs an agent whose own metrics can be asked for, under a command if
// there is one.
func alone(t *testing.T, command []string, args ...string) *process {
	t.Helper()
	p := startUnder(t, command, append([]string{"agent", "--web.listen-address=" + port.Free(t)}, args...)...)
	p.url = strings.TrimSuffix(p.waitLine(patience, "http://"), "/metrics")
	return p
}

// own adds up a metric that an agent has of itself, and is -1 while it does not
// answer.
func (p *process) own(name string) float64 {
	p.t.Helper()
	if all := p.owns(name); all != nil {
		return all[0]
	}
	return -1
}

// owns are several of these at one moment, or nil.
func (p *process) owns(names ...string) []float64 {
	p.t.Helper()
	body, err := p.read("/metrics/process")
	if err != nil {
		return nil
	}
	totals, found := make([]float64, len(names)), make([]bool, len(names))
	for line := range strings.Lines(string(body)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		base, _, _ := strings.Cut(series, "{")
		i := slices.Index(names, base)
		if !ok || i < 0 {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		totals[i], found[i] = totals[i]+v, true
	}
	if i := slices.Index(found, false); i >= 0 {
		p.t.Fatalf("the agent has no %s", names[i])
	}
	return totals
}

// watches counts the inotify watches of a process.
func watches(t *testing.T, pid int) int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // closed meanwhile
		}
		n += strings.Count(string(data), "inotify wd:")
	}
	return n
}

// descriptors counts what a process has open, by the file's name or kind.
func descriptors(t *testing.T, pid int) map[string]int {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil {
			kind, _, _ := strings.Cut(filepath.Base(to), ":[")
			kinds[kind]++
		}
	}
	return kinds
}
