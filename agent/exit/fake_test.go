package exit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// fakeTree is a tree of version 2 where a test writes what the kernel would.
type fakeTree struct {
	t    *testing.T
	root string
}

func newFakeTree(t *testing.T) fakeTree {
	c := fakeTree{t, t.TempDir()}
	c.write("/cgroup.controllers", "cpu memory")
	c.write("/cgroup.procs", "")
	return c
}

func (c fakeTree) write(path, content string) {
	c.t.Helper()
	if err := os.MkdirAll(filepath.Dir(c.root+path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(c.root+path, []byte(content), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c fakeTree) used(group string, usec int) {
	c.write(group+"/cpu.stat", fmt.Sprintf("usage_usec %d\nuser_usec %d\nsystem_usec 0\n", usec, usec))
}

// The agent may be in a pid namespace of its own.
func TestAContainerWithoutVisibleProcessesEndsWhenItsGroupSaysSo(t *testing.T) {
	c := newFakeTree(t)
	c.write("/x/cgroup.procs", "0\n0\n")
	c.write("/x/cgroup.events", "populated 1\nfrozen 0\n")
	c.used("/x", 1000)
	l := newLive(t, c.root, Options{})
	l.Appeared(discover.Container{Cgroup: "/x"})
	eventually(t, "it is followed without being heard", func() bool { return l.Stats().Unheard == 1 })
	c.used("/x", 5000)
	c.write("/x/cgroup.procs", "")
	c.write("/x/cgroup.events", "populated 0\nfrozen 0\n")
	if r := l.next(1)[0]; !r.Complete || r.CPU.Usage.V != 5e6 {
		t.Errorf("record %+v", r)
	}
}

func TestAnEndThatWasMissedHasWhatWasReadLast(t *testing.T) {
	c := newFakeTree(t)
	sleeper := exec.Command("/bin/sleep", "1000")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
	}()
	c.write("/x/cgroup.procs", strconv.Itoa(sleeper.Process.Pid))
	c.used("/x", 7000)
	l := newLive(t, c.root, Options{})
	l.Appeared(discover.Container{Cgroup: "/x", ID: "x"})
	eventually(t, "it was read", func() bool { return l.Stats().Followed == 1 && l.Stats().CPU > 0 })
	if err := os.RemoveAll(c.root + "/x"); err != nil {
		t.Fatal(err)
	}
	r := l.next(1)[0]
	if r.Complete || r.CPU.Usage.V != 7e6 || r.UsedBefore != 7e6 || r.OOMKills.OK {
		t.Errorf("record %+v", r)
	}
	if s := l.Stats(); s.Incomplete != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestNoMoreContainersAreFollowedThanThereIsRoomFor(t *testing.T) {
	c := newFakeTree(t)
	l := newLive(t, c.root, Options{})
	for i := range maxFollowed + 3 {
		group := fmt.Sprint("/", i)
		c.write(group+"/cgroup.procs", "")
		l.Appeared(discover.Container{Cgroup: group})
	}
	eventually(t, "all that there is room for are followed", func() bool {
		s := l.Stats()
		return s.Followed == maxFollowed && s.Unfollowed+s.Dropped >= 3
	})
}
