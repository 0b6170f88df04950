package discover

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// once is a kernel that has looked once, to be driven by hand.
func once(t *testing.T, root string, l limits) *kernel {
	t.Helper()
	k := newKernel(root, newRegistry(), slog.New(slog.DiscardHandler))
	k.limits = l
	k.scan()
	t.Cleanup(k.close)
	return k
}

func (k *kernel) count() int {
	_, list := k.out.containers()
	return len(list)
}

func TestOnlyParentsAreWatched(t *testing.T) {
	root := hierarchyOf(t, "system.slice/ssh.service", "user.slice/session-1.scope")
	for i := range 50 {
		mkdir(t, root, fmt.Sprintf("docker/%064x/init/deep", i))
	}
	k := once(t, root, defaultLimits)
	if n := k.count(); n != 50 {
		t.Errorf("%d containers, want 50", n)
	}
	// The root, docker, system.slice, ssh.service and user.slice.
	if n := len(k.notify.watches); n != 5 {
		t.Errorf("%d watches, want 5: %v", n, k.notify.watches)
	}

	remove(t, root, "system.slice")
	k.scan()
	if n := len(k.notify.watches); n != 3 || len(k.notify.paths) != 3 {
		t.Errorf("%d watches and %d paths, want 3 after two parents went", n, len(k.notify.paths))
	}
}

func TestAScanFindsThatAPodWent(t *testing.T) {
	root := hierarchyOf(t, podDir+"/"+idA)
	k := once(t, root, defaultLimits)
	remove(t, root, podDir+"/"+idA)
	k.scan()
	if _, list := k.out.containers(); len(list) != 1 || list[0].Kind != Pod {
		t.Errorf("rows %+v, want the pod", list)
	}
	remove(t, root, podDir)
	k.scan()
	if n := k.count(); n != 0 {
		t.Errorf("%d rows, want none", n)
	}
}

func TestAnOverflowIsMadeUpFor(t *testing.T) {
	root := hierarchyOf(t, "docker/"+idA)
	k := once(t, root, defaultLimits)
	remove(t, root, "docker/"+idA)
	mkdir(t, root, "docker/"+idB)
	mkdir(t, root, "kubepods/pod1/"+idA)

	k.apply([]change{{watch: -1, mask: unix.IN_Q_OVERFLOW}})
	if _, list := k.out.containers(); len(list) != 2 || list[0].ID != idB || list[1].ID != idA {
		t.Errorf("containers %+v after an overflow", list)
	}
	if n := k.fallbacks.Load(); n != 1 {
		t.Errorf("%d fallbacks, want 1", n)
	}
}

func TestWhatCannotBeReadIsNotGone(t *testing.T) {
	root := hierarchyOf(t, "docker/"+idA)
	k := once(t, root, defaultLimits)
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	k.scan()
	if n := k.count(); n != 1 {
		t.Errorf("%d containers while the hierarchy cannot be read, want the 1 known", n)
	}
	if n := k.failures.Load(); n != 1 {
		t.Errorf("%d failures, want 1", n)
	}
	if err := os.Rename(root+".away", root); err != nil {
		t.Fatal(err)
	}
	remove(t, root, "docker/"+idA)
	k.scan()
	if n := k.count(); n != 0 {
		t.Errorf("%d containers, want none once it can be read", n)
	}
}

func TestLimits(t *testing.T) {
	root := hierarchyOf(t, "a/b/c/d/"+idA)
	for i := range 10 {
		mkdir(t, root, fmt.Sprintf("docker/%064x", i))
	}
	tests := map[string]struct {
		limits limits
		count  int
		left   int64
	}{
		"all within the limits": {defaultLimits, 11, 0},
		"too many containers":   {limits{containers: 4, parents: 99, depth: 9, entries: 99}, 4, 7},
		"too many parents":      {limits{containers: 99, parents: 3, depth: 9, entries: 99}, 10, 1},
		"too deep":              {limits{containers: 99, parents: 99, depth: 3, entries: 99}, 10, 1},
		"too many in one place": {limits{containers: 99, parents: 99, depth: 9, entries: 6}, 7, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			k := once(t, root, tt.limits)
			if n := k.count(); n != tt.count || k.leftOut.Load() != tt.left {
				t.Errorf("%d containers, %d left out; want %d and %d", n, k.leftOut.Load(), tt.count, tt.left)
			}
		})
	}
}

func TestRoomIsFilledAgain(t *testing.T) {
	root := hierarchyOf(t, "docker/"+idA, "docker/"+idB)
	k := once(t, root, limits{containers: 1, parents: 9, depth: 9, entries: 99})
	_, list := k.out.containers()
	remove(t, root, list[0].Cgroup)
	k.scan()
	if n := k.count(); n != 1 || k.leftOut.Load() != 0 {
		t.Errorf("%d containers, %d left out; want 1 and none", n, k.leftOut.Load())
	}
}

// In a user namespace of its own, a process can have fewer inotify watches than
// the node allows, and so meet the real error.
func TestWithoutWatchesScansFindContainers(t *testing.T) {
	const inside = "PLIMSOLL_TEST_WITHOUT_WATCHES"
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}

	allow := func(watches string) {
		if err := os.WriteFile("/proc/sys/user/max_inotify_watches", []byte(watches), 0); err != nil {
			t.Fatal(err)
		}
	}
	allow("1")
	root := hierarchyOf(t, "docker/"+idA)
	k := once(t, root, defaultLimits)
	k.scan()
	if k.unwatched == nil || k.fallbacks.Load() != 1 || k.pause() != scanEveryBlind {
		t.Errorf("unwatched: %v, %d fallbacks, next scan in %v", k.unwatched, k.fallbacks.Load(), k.pause())
	}
	allow("2")
	k.scan()
	if k.unwatched != nil || k.pause() != scanEvery {
		t.Errorf("unwatched: %v, next scan in %v though all can be watched", k.unwatched, k.pause())
	}

	mkdir(t, root, "kubepods")
	k.apply([]change{{k.notify.watches["/"], unix.IN_CREATE | unix.IN_ISDIR, "kubepods"}})
	if k.unwatched == nil || k.fallbacks.Load() != 2 {
		t.Errorf("unwatched: %v, %d fallbacks though a new parent cannot be watched", k.unwatched, k.fallbacks.Load())
	}

	// Both are taken, so there is none for this one.
	w := start(t, Options{CgroupRoot: root})
	eventually(t, "the container that was there", has(w, "/docker/"+idA))
	mkdir(t, root, "docker/"+idB)
	eventually(t, "the container that came", has(w, "/docker/"+idA, "/docker/"+idB))
	remove(t, root, "docker/"+idA)
	eventually(t, "the container that went", has(w, "/docker/"+idB))
	if n := w.Stats().InotifyFallbacks; n != 1 {
		t.Errorf("%d fallbacks, want the one that lasts", n)
	}
}
