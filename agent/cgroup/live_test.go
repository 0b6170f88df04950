package cgroup

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asLoad in the environment makes the test binary the load of a live group.
const asLoad = "PLIMSOLL_TEST_LOAD"

func TestMain(m *testing.M) {
	if os.Getenv(asLoad) != "" {
		work(os.Stdin, os.Stdout)
		return
	}
	m.Run()
}

// work says that it is there, and for a line uses memory and CPU time. Then it
// says so again and stays until there are no more lines.
func work(in io.Reader, out io.Writer) {
	lines := bufio.NewReader(in)
	fmt.Fprintln(out, "ready")
	if _, err := lines.ReadString('\n'); err != nil {
		return
	}
	memory := make([]byte, 8<<20)
	for enough := cpuTime() + 50*time.Millisecond; cpuTime() < enough; {
		for i := 0; i < len(memory); i += 512 {
			memory[i]++
		}
	}
	fmt.Fprintln(out, "done")
	_, _ = lines.ReadString('\n')
	fmt.Fprintln(out, memory[0])
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// live is a group of this test's own on the machine's own tree.
type live struct {
	fs   *FS
	path string
	dirs []string // in each hierarchy
}

// newLive needs to be root on a machine with control groups. Without, the test
// is skipped, but in CI it fails: there it is known that they are there.
func newLive(t testing.TB) *live {
	t.Helper()
	without := t.Skipf
	if os.Getenv("CI") == "true" {
		without = t.Fatalf
	}
	if os.Getuid() != 0 {
		without("only root may make control groups")
	}
	f, err := New(Options{})
	if err != nil {
		without("no control groups here: %v", err)
	}
	t.Cleanup(f.Close)
	l := &live{fs: f, path: fmt.Sprintf("/plimsoll.test.%d.%d", os.Getpid(), time.Now().UnixNano())}
	const root = "/sys/fs/cgroup"
	if f.mode == V2 {
		if err := os.WriteFile(root+"/cgroup.subtree_control", []byte("+cpu +memory +io +pids"), 0); err != nil {
			without("controllers cannot be enabled: %v", err)
		}
	}
	for _, h := range f.hierarchies {
		dir := filepath.Join(root, h.name, l.path)
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) { // two controllers may share a folder
			without("cannot make control groups: %v", err)
		}
		l.dirs = append(l.dirs, dir)
	}
	t.Cleanup(l.remove)
	return l
}

func (l *live) remove() {
	for _, dir := range l.dirs {
		os.Remove(dir) // rmdir; gone already in some tests
	}
}

// set writes a file of the group where it has one of that name.
func (l *live) set(t testing.TB, name, value string) {
	t.Helper()
	for _, dir := range l.dirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// load runs a process in the group that has used memory and CPU time when load
// returns, and sleeps from then on.
func (l *live) load(t testing.TB) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asLoad+"=1", "GOMAXPROCS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	said := bufio.NewReader(out)
	hear := func(word string) {
		if line, err := said.ReadString('\n'); err != nil || strings.TrimSpace(line) != word {
			t.Fatalf("the load said %q, want %q: %v", line, word, err)
		}
	}
	hear("ready") // and sleeps while it is moved, so that all hierarchies see the same
	l.set(t, "cgroup.procs", strconv.Itoa(cmd.Process.Pid))
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	hear("done")
}
