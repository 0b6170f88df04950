package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// networkTree is a tree of control groups and one of processes, with a network source
// on them that a test ticks by hand. Files of /proc with several links stand for
// one network.
type networkTree struct {
	t       testing.TB
	groups  string
	proc    string
	source  *networkSource
	list    []discover.Container
	version uint64
	batch   sample.Batch
	tick    uint64
	ended   map[*sample.Group]bool
}

func newNetworkTree(t testing.TB) *networkTree {
	t.Helper()
	l := &networkTree{t: t, groups: t.TempDir(), proc: t.TempDir(), ended: map[*sample.Group]bool{}}
	l.put(filepath.Join(l.groups, "cgroup.controllers"), "pids")
	l.network("node", 0, "eth0")
	l.process(1, 1, "node")
	l.open(NetworkOptions{Proc: l.proc})
	return l
}

func (l *networkTree) open(opts NetworkOptions) {
	l.t.Helper()
	opts.CgroupRoot = l.groups
	opts.Containers = func() (uint64, []discover.Container) { return l.version, l.list }
	if opts.Lanes == (Lanes{}) {
		opts.Lanes = DefaultLanes()
	}
	s, err := NetworkSource(opts)
	if err != nil {
		l.t.Fatal(err)
	}
	l.source = s.(*networkSource)
	l.t.Cleanup(func() { l.source.Close() })
}

func (l *networkTree) put(path, content string) {
	l.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// network makes a network, or changes it, whose interfaces have counts from base
// on.
func (l *networkTree) network(name string, base int, interfaces ...string) {
	l.t.Helper()
	dev := "Inter-|   Receive  |  Transmit\n face |bytes  |bytes\n    lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n"
	for i, name := range interfaces {
		dev += fmt.Sprintf("%6s:", name)
		for c := range 16 {
			dev += " " + strconv.Itoa(base+100*i+c)
		}
		dev += "\n"
	}
	dir := filepath.Join(l.proc, "networks", name)
	l.put(filepath.Join(dir, "dev"), dev)
	l.put(filepath.Join(dir, "sockstat"), fmt.Sprintf("sockets: used %d\nTCP: inuse 1\n", base+7))
}

// process makes a process in a network.
func (l *networkTree) process(pid, started int, network string) {
	l.t.Helper()
	dir := filepath.Join(l.proc, strconv.Itoa(pid))
	l.put(filepath.Join(dir, "stat"), fmt.Sprintf("%d (a) S 1 2 3 0 -1 4 5 6 0 0 0 1 0 0 20 0 1 0 %d 8\n", pid, started))
	if err := os.Mkdir(filepath.Join(dir, "net"), 0o755); err != nil {
		l.t.Fatal(err)
	}
	for _, file := range []string{"dev", "sockstat"} {
		if err := os.Link(filepath.Join(l.proc, "networks", network, file), filepath.Join(dir, "net", file)); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *networkTree) exit(pid int) {
	l.t.Helper()
	if err := os.RemoveAll(filepath.Join(l.proc, strconv.Itoa(pid))); err != nil {
		l.t.Fatal(err)
	}
}

// container is one of that name with processes.
func (l *networkTree) container(name string, pids ...int) *discover.Container {
	l.t.Helper()
	l.list = append(l.list, discover.Container{Cgroup: "/docker/" + name, Runtime: "docker", ID: name, Known: true, Name: name, Image: "shop/" + name})
	l.version++
	l.has(name, pids...)
	return &l.list[len(l.list)-1]
}

// has are the processes of a container.
func (l *networkTree) has(name string, pids ...int) {
	l.t.Helper()
	var lines strings.Builder
	for _, pid := range pids {
		fmt.Fprintln(&lines, pid)
	}
	l.put(filepath.Join(l.groups, "docker", name, "cgroup.procs"), lines.String())
}

func (l *networkTree) remove(name string) {
	l.t.Helper()
	l.list = slices.DeleteFunc(slices.Clone(l.list), func(c discover.Container) bool { return c.Name == name })
	l.version++
	if err := os.RemoveAll(filepath.Join(l.groups, "docker", name)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *networkTree) member(name string) *networkMember {
	l.t.Helper()
	for m := range l.source.members {
		if m.is.Name == name {
			return m
		}
	}
	l.t.Fatalf("no member %s", name)
	return nil
}

// pass is the next tick. It checks what has to hold for all that a source does
// with its groups.
func (l *networkTree) pass() map[string]string {
	l.t.Helper()
	got, err := l.try()
	if err != nil {
		l.t.Fatal(err)
	}
	return got
}

func (l *networkTree) try() (map[string]string, error) {
	l.t.Helper()
	l.batch.Reset(l.tick, time.Unix(1_800_000_000+int64(l.tick), 0))
	l.tick++
	err := l.source.Collect(context.Background(), &l.batch)
	consistent(l.t, &l.batch, l.ended)
	for _, c := range l.batch.Columns {
		if c.Group.Every == 0 {
			l.t.Errorf("a group without a lane: %v", c.Group.Labels)
		}
	}
	return values(&l.batch), err
}

// lane is what some ticks tell, the last of each series: five are a lane.
func (l *networkTree) lane(ticks int) map[string]string {
	l.t.Helper()
	all := make(map[string]string)
	for range ticks {
		for series, value := range l.pass() {
			all[series] = value
		}
	}
	return all
}

// networkCarriers are the containers that have traffic in got, by name.
func networkCarriers(got map[string]string) []string {
	names := make(map[string]bool)
	for series := range got {
		if strings.HasPrefix(series, "container_network_") {
			_, after, _ := strings.Cut(series, `name="`)
			name, _, _ := strings.Cut(after, `"`)
			names[name] = true
		}
	}
	var all []string
	for name := range names {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func wantNetworkCarriers(t *testing.T, got map[string]string, want ...string) {
	t.Helper()
	if have := networkCarriers(got); !slices.Equal(have, want) {
		t.Errorf("traffic of %q, want of %q", have, want)
	}
}
