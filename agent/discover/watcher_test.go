package discover

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hierarchyOf makes a directory that is taken for a cgroup v2 hierarchy. To
// inotify and to a scan, directories are directories.
func hierarchyOf(t *testing.T, groups ...string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		mkdir(t, root, group)
	}
	return root
}

func mkdir(t *testing.T, root, group string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, group), 0o700); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, root, group string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(root, group)); err != nil {
		t.Fatal(err)
	}
}

// start runs a watcher until the test ends.
func start(t *testing.T, opts Options) *Watcher {
	t.Helper()
	w, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Run does not end with its context")
		}
	})
	return w
}

// eventually waits for what inotify and engines bring about. The limit is long
// for a loaded machine, and shorter than the scan that would hide a missed
// notification.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	eventuallyWithin(t, 15*time.Second, what, is)
}

func eventuallyWithin(t *testing.T, most time.Duration, what string, is func() bool) {
	t.Helper()
	limit := time.After(most)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-limit:
			t.Fatalf("in vain waited: %s", what)
		case <-again.C:
		}
	}
}

func cgroups(w *Watcher) []string {
	_, list := w.Containers()
	var all []string
	for _, c := range list {
		all = append(all, c.Cgroup)
	}
	return all
}

func has(w *Watcher, want ...string) func() bool {
	return func() bool { return slices.Equal(cgroups(w), want) }
}

func TestContainersAreFoundInOrderWhereverTheyAre(t *testing.T) {
	root := hierarchyOf(t,
		"system.slice/ssh.service",
		"system.slice/docker-"+idB+".scope",
		"kubepods/burstable/pod1/"+idA,
		"docker/"+idA+"/docker/"+idB,
		"machine.slice/libpod-conmon-"+idA+".scope",
	)
	w := start(t, Options{CgroupRoot: root})
	eventually(t, "both containers", has(w, "/docker/"+idA, "/kubepods/burstable/pod1/"+idA, "/system.slice/docker-"+idB+".scope"))
}

func TestAContainerIsThereWhenMadeAndGoneWhenRemoved(t *testing.T) {
	root := hierarchyOf(t, "docker")
	w := start(t, Options{CgroupRoot: root})

	mkdir(t, root, "docker/"+idA)
	eventually(t, "the container made", has(w, "/docker/"+idA))
	mkdir(t, root, "docker/"+idB)
	eventually(t, "the other made", has(w, "/docker/"+idA, "/docker/"+idB))
	remove(t, root, "docker/"+idA)
	eventually(t, "the first gone", has(w, "/docker/"+idB))
}

func TestAContainerMadeTogetherWithItsParentsIsSeen(t *testing.T) {
	root := hierarchyOf(t)
	w := start(t, Options{CgroupRoot: root})
	var want []string
	for _, pod := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		mkdir(t, root, "kubepods/besteffort/pod"+pod+"/"+idA)
		want = append(want, "/kubepods/besteffort/pod"+pod+"/"+idA)
	}
	eventually(t, "all pods", has(w, want...))
	remove(t, root, "kubepods")
	eventually(t, "no pod", has(w))
	mkdir(t, root, "kubepods/besteffort/poda/"+idA)
	eventually(t, "a pod below the parents made anew", has(w, want[0]))
}

func TestAPodIsARowAndHasItsContainersBelow(t *testing.T) {
	root := hierarchyOf(t, podDir)
	slice := "/kubepods.slice/kubepods-pod" + strings.ReplaceAll(podUID, "-", "_") + ".slice"
	scope := slice + "/cri-containerd-" + idB + ".scope"
	w := start(t, Options{CgroupRoot: root, RootFS: t.TempDir()})
	eventually(t, "the pod", has(w, podDir))
	mkdir(t, root, podDir+"/"+idA)
	eventually(t, "its container", has(w, podDir, podDir+"/"+idA))
	mkdir(t, root, scope)
	eventually(t, "another pod made with its container", has(w, slice, scope, podDir, podDir+"/"+idA))
	remove(t, root, podDir+"/"+idA)
	eventually(t, "the first pod without", has(w, slice, scope, podDir))
	remove(t, root, podDir)
	remove(t, root, slice)
	eventually(t, "no pod", has(w))
	mkdir(t, root, podDir+"/"+idA)
	eventually(t, "the pod made anew", has(w, podDir, podDir+"/"+idA))
	_, list := w.Containers()
	if list[0].Kind != Pod || list[0].ID != "" || list[0].PodUID != podUID || list[1].Kind != Workload || list[1].PodUID != podUID {
		t.Errorf("rows %+v", list)
	}
}

func TestWhatAContainerNestsIsNotSeen(t *testing.T) {
	root := hierarchyOf(t, "docker/"+idA)
	w := start(t, Options{CgroupRoot: root})
	eventually(t, "the container", has(w, "/docker/"+idA))

	mkdir(t, root, "docker/"+idA+"/system.slice/docker-"+idB+".scope")
	mkdir(t, root, "docker/"+idB) // after it, and so notified after it
	eventually(t, "the sibling only", has(w, "/docker/"+idA, "/docker/"+idB))
}

func TestChurnLeavesNothingBehind(t *testing.T) {
	root := hierarchyOf(t, "docker/"+idA)
	w := start(t, Options{CgroupRoot: root})
	for i := range 200 {
		id := idB[:60] + string([]byte{'a' + byte(i%6), 'a' + byte(i/6%6), 'a' + byte(i/36%6), '0'})
		mkdir(t, root, "docker/"+id)
		remove(t, root, "docker/"+id)
	}
	mkdir(t, root, "docker/"+idB)
	eventually(t, "the two that stayed", has(w, "/docker/"+idA, "/docker/"+idB))
}

func TestARestartHasANewVersionAndNoChangeHasTheSameSlice(t *testing.T) {
	root := hierarchyOf(t, "docker/"+idA)
	w := start(t, Options{CgroupRoot: root})
	eventually(t, "the container", has(w, "/docker/"+idA))

	before, list := w.Containers()
	same, again := w.Containers()
	if same != before || &list[0] != &again[0] {
		t.Errorf("version %d then %d, slices %p and %p, though nothing changed", before, same, list, again)
	}
	if n := testing.AllocsPerRun(10, func() { w.Containers() }); n != 0 {
		t.Errorf("%v allocations to look at what did not change", n)
	}

	remove(t, root, "docker/"+idA)
	mkdir(t, root, "docker/"+idA)
	eventually(t, "a new version of the same", func() bool {
		version, list := w.Containers()
		return version > before && len(list) == 1
	})
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	for name, opts := range map[string]Options{
		"a root without cgroups":       {CgroupRoot: t.TempDir()},
		"a root that is not there":     {CgroupRoot: "/no/such"},
		"a host without a protocol":    {CgroupRoot: hierarchyOf(t), DockerHost: "docker.sock"},
		"a host that is only a scheme": {CgroupRoot: hierarchyOf(t), DockerHost: "unix"},
	} {
		if _, err := New(opts); err == nil {
			t.Errorf("%s is no mistake", name)
		}
	}
}
