package exit

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// live is a watcher of groups that the test makes itself, where the machine has
// its control groups.
type live struct {
	*Watcher
	t    *testing.T
	dirs []string // of the hierarchies

	mu      sync.Mutex
	version uint64
	list    []discover.Container
	last    uint64
}

// layouts are the control groups of this machine as each mode would find them. A
// hybrid tree has all three in it.
func layouts(t *testing.T) map[string]string {
	t.Helper()
	const root = "/sys/fs/cgroup"
	without := t.Skip
	if os.Getenv("CI") == "true" {
		without = t.Fatal
	}
	if os.Getuid() != 0 {
		without("only root may make control groups")
	}
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		return map[string]string{"v2": root}
	}
	all := map[string]string{"v1": t.TempDir()}
	for _, controller := range []string{"pids", "cpuacct", "cpu", "memory", "blkio"} {
		if err := os.Symlink(filepath.Join(root, controller), filepath.Join(all["v1"], controller)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(root + "/unified/cgroup.controllers"); err == nil {
		all["hybrid"], all["v2"] = root, root+"/unified"
	}
	return all
}

// onLayouts runs a test on each.
func onLayouts(t *testing.T, test func(t *testing.T, l *live)) {
	for name, root := range layouts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newLive(t, root, Options{}))
		})
	}
}

func newLive(t *testing.T, root string, opts Options) *live {
	t.Helper()
	l := &live{t: t}
	for _, name := range []string{"", "unified", "blkio", "cpu", "cpuacct", "memory", "pids"} {
		if _, err := os.Stat(filepath.Join(root, name, "cgroup.procs")); err == nil {
			l.dirs = append(l.dirs, filepath.Join(root, name))
		}
	}
	opts.CgroupRoot = root
	opts.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	opts.Containers = func() (uint64, []discover.Container) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.version, l.list
	}
	var err error
	if l.Watcher, err = New(opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l
}

// container is a group of a test's own.
type container struct {
	discover.Container
	l *live
}

var made atomic.Uint64

// make makes a group. Discovery is not told.
func (l *live) make() container {
	l.t.Helper()
	c := container{discover.Container{Cgroup: fmt.Sprintf("/plimsoll.test.%d.%d", os.Getpid(), made.Add(1)), Runtime: "test", ID: "x"}, l}
	c.again()
	l.t.Cleanup(c.remove)
	return c
}

func (c container) again() {
	c.l.t.Helper()
	for _, dir := range c.l.dirs {
		if err := os.Mkdir(dir+c.Cgroup, 0o755); err != nil {
			c.l.t.Fatal(err)
		}
	}
}

// remove removes the group as runtimes do: three milliseconds after the end at
// the earliest, and again until the kernel is done with the last process.
func (c container) remove() {
	<-time.After(3 * time.Millisecond)
	for _, dir := range c.l.dirs {
		eventually(c.l.t, "the group can be removed", func() bool { return unix.Rmdir(dir+c.Cgroup) != unix.EBUSY })
	}
}

func (c container) put(pid int) {
	c.l.t.Helper()
	for _, dir := range c.l.dirs {
		if err := os.WriteFile(dir+c.Cgroup+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0); err != nil {
			c.l.t.Fatal(err)
		}
	}
}

// truth is what the kernel says that the group has used, while it is there. What
// the processes say of themselves has in it what they used before they were in it.
func (c container) truth() time.Duration { return time.Duration(usedBy(c.Cgroup) * 1e9) }

// program is a shell in a group. It does as it is told, line by line.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (c container) start() *program {
	t := c.l.t
	t.Helper()
	p := &program{t: t, cmd: exec.Command("/bin/sh")}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	p.do("true")
	c.put(p.cmd.Process.Pid)
	return p
}

// do has a program do something and waits until it has.
func (p *program) do(command string) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, "%s\necho done\n", command); err != nil {
		p.t.Fatal(err)
	}
	if line, err := p.out.ReadString('\n'); err != nil || line != "done\n" {
		p.t.Fatalf("the program said %q: %v", line, err)
	}
}

// end ends a program.
func (p *program) end() {
	p.in.Close()
	_ = p.cmd.Wait()
}

const work = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"

// next waits for as many records.
func (l *live) next(n int) []Record {
	l.t.Helper()
	var list []Record
	eventually(l.t, fmt.Sprintf("%d records", n), func() bool {
		var more []Record
		more, l.last = l.Records(l.last)
		list = append(list, more...)
		return len(list) >= n
	})
	if len(list) != n {
		l.t.Fatalf("%d records, want %d: %+v", len(list), n, list)
	}
	return list
}

// about complains unless two times are within a twentieth of each other, or
// within the two milliseconds that it takes to end.
func about(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if off := (got - want).Abs(); off > want/20 && off > 2*time.Millisecond {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func used(r Record) time.Duration { return time.Duration(r.CPU.Usage.V) }

func TestWhatAContainerUsedIsReadWhenItsLastProcessEnds(t *testing.T) {
	onLayouts(t, func(t *testing.T, l *live) {
		c := l.make()
		l.Appeared(c.Container)
		p := c.start()
		p.do(work)
		p.end()
		r := l.next(1)[0]
		about(t, "CPU time", used(r), c.truth())
		c.remove()
		if !r.Complete || r.Container.Cgroup != c.Cgroup || r.Ended.Before(r.Seen) {
			t.Errorf("record %+v", r)
		}
		if final, ok := l.Final(c.Cgroup); !ok || final.Life != r.Life {
			t.Errorf("final reading %+v, %v", final, ok)
		}
	})
}

func TestAContainerEndsWithItsLastProcessAndNotItsFirst(t *testing.T) {
	onLayouts(t, func(t *testing.T, l *live) {
		c := l.make()
		l.Appeared(c.Container)
		programs := []*program{c.start(), c.start(), c.start()}
		for _, p := range programs {
			p.do(work)
			p.end()
		}
		about(t, "CPU time", used(l.next(1)[0]), c.truth())
	})
}

func TestAContainerIsToldOfEvenIfItsGroupStays(t *testing.T) {
	onLayouts(t, func(t *testing.T, l *live) {
		c := l.make()
		l.Appeared(c.Container)
		eventually(t, "it is followed", func() bool { return l.Stats().Followed == 1 })
		p := c.start()
		p.do(work) // long enough for its process to be found
		p.end()
		if r := l.next(1)[0]; !r.Complete {
			t.Errorf("record %+v", r)
		}
		if s := l.Stats(); s.Ends != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestARestartInTheSamePlaceIsAnotherLife(t *testing.T) {
	onLayouts(t, func(t *testing.T, l *live) {
		c := l.make()
		last := uint64(0)
		for n := range 5 {
			if n > 0 {
				c.again()
			}
			l.Appeared(c.Container)
			p := c.start()
			p.do(work)
			p.end()
			r := l.next(1)[0]
			about(t, fmt.Sprint("CPU time of life ", n), used(r), c.truth())
			if r.Life <= last {
				t.Errorf("life %d after %d", r.Life, last)
			}
			last = r.Life
			c.remove()
		}
	})
}

func TestAGroupThatNeverHadAProcessIsNoContainer(t *testing.T) {
	onLayouts(t, func(t *testing.T, l *live) {
		empty, full := l.make(), l.make()
		l.Appeared(empty.Container)
		l.Appeared(full.Container)
		eventually(t, "both are followed", func() bool { return l.Stats().Followed == 2 })
		empty.remove()
		p := full.start()
		p.do(work) // long enough for its process to be found
		p.end()
		if r := l.next(1)[0]; r.Container.Cgroup != full.Cgroup {
			t.Errorf("record %+v", r)
		}
		full.remove()
		eventually(t, "none is followed", func() bool { return l.Stats().Followed == 0 })
	})
}

func TestAContainerThatWasGoneTooSoonIsCounted(t *testing.T) {
	onLayouts(t, func(t *testing.T, l *live) {
		c := l.make()
		c.remove()
		l.Appeared(c.Container)
		eventually(t, "it is counted", func() bool { return l.Stats().Missed == 1 })
	})
}

// Without the word that a container has appeared, the list has it.
func TestContainersThatWereThereFirstAreFollowed(t *testing.T) {
	onLayouts(t, func(t *testing.T, l *live) {
		c := l.make()
		p := c.start()
		l.mu.Lock()
		l.version, l.list = 1, []discover.Container{c.Container}
		l.mu.Unlock()
		eventually(t, "it is followed", func() bool { return l.Stats().Followed == 1 })
		p.do(work)
		p.end()
		about(t, "CPU time", used(l.next(1)[0]), c.truth())
	})
}

// A container whose processes come and go faster than they can be picked ends
// all the same.
func TestAStormOfProcessesIsNotFollowedOneByOne(t *testing.T) {
	onLayouts(t, func(t *testing.T, l *live) {
		c := l.make()
		l.Appeared(c.Container)
		p := c.start()
		for range 300 { // each ends as the next begins
			next := c.start()
			p.end()
			p = next
		}
		p.end()
		r := l.next(1)[0]
		about(t, "CPU time", used(r), c.truth())
		if !r.Complete {
			t.Errorf("record %+v", r)
		}
	})
}

// It counts what this process has, so that no other test may run beside it.
func TestChurnLeavesNothingBehind(t *testing.T) {
	for name, root := range layouts(t) {
		t.Run(name, func(t *testing.T) {
			churn(t, newLive(t, root, Options{}))
		})
	}
}

func churn(t *testing.T, l *live) {
	told := uint64(0)
	round := func(n int) {
		for range n {
			c := l.make()
			l.Appeared(c.Container)
			c.start().end()
			c.remove()
		}
		// On a busy machine some are gone before they could be read.
		told += uint64(n)
		eventually(t, "all are told of", func() bool { s := l.Stats(); return s.Ends+s.Missed == told })
		eventually(t, "all are forgotten", func() bool { return l.Stats().Followed == 0 && watches(t) == 0 })
	}
	round(5)
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	round(100)
	if s := l.Stats(); s.Ends < told/2 {
		t.Errorf("%d of %d ends were seen: this tests little", s.Ends, told)
	}
	if got := descriptors(t); got > fds {
		t.Errorf("%d descriptors after 100 containers, %d before", got, fds)
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines after 100 containers, %d before", got, goroutines)
	}
}

// watches is the number of inotify watches that this process has.
func watches(t *testing.T) int {
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, info := range infos {
		data, _ := os.ReadFile(info)
		n += strings.Count(string(data), "inotify wd:")
	}
	return n
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
