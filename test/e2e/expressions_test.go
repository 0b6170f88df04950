//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// expression is a line of testdata/expressions.txt.
type expression struct {
	promql  string
	except  string // why there is no data here,
	perhaps bool   // or why there may be none
}

func expressions(t *testing.T) (all []expression) {
	t.Helper()
	data, err := os.ReadFile("testdata/expressions.txt")
	if err != nil {
		t.Fatal(err)
	}
	except, perhaps := "", false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if why, ok := strings.CutPrefix(line, "! "); ok {
			except = why
			continue
		}
		if why, ok := strings.CutPrefix(line, "? "); ok {
			except, perhaps = why, true
			continue
		}
		if line != "" && line[0] != '#' {
			all = append(all, expression{line, except, perhaps})
			except, perhaps = "", false
		}
	}
	return all
}

func TestWhatCommunityDashboardsAskHasAnswers(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "web", "--memory", "64m", "--cpus", "0.2", "--health-cmd", "true", "--health-interval", "1s",
		"--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web", engine.Image, "sh", "-c", burn)
	e.Docker("run", "-d", "--name", "shop_db.1", "--label", "com.docker.swarm.service.name=shop_db", engine.Image, "sleep", "600")
	pod(t, "shop", "api-7d9f", "api")
	p := up(t, "--docker.host="+e.Host(), "--interval=500ms", "--textfile.directory="+t.TempDir())

	waiting := expressions(t)
	if len(waiting) < 100 {
		t.Fatalf("only %d expressions", len(waiting))
	}
	excepted := 0
	var without []string
	if wait(2*time.Minute, func() bool {
		without = nil
		waiting = slices.DeleteFunc(waiting, func(x expression) bool {
			v, err := p.ask(x.promql)
			switch {
			case err != nil:
				t.Fatalf("%s\n%v", x.promql, err)
			case len(v) > 0 && x.except != "" && !x.perhaps:
				t.Errorf("%s\nhas data after all, though %s", x.promql, x.except)
			case len(v) == 0 && x.except == "":
				without = append(without, x.promql)
				return false
			case x.except != "":
				excepted++
			}
			return true
		})
		return len(waiting) == 0
	}) < 0 {
		t.Errorf("without data:\n%s", strings.Join(without, "\n"))
	}
	t.Logf("%d expressions have nothing to show on this machine", excepted)
	// One network per pod, and rows that are told apart as kubelet does.
	p.eventually(patience, `count(container_network_receive_bytes_total{namespace="shop", pod="api-7d9f", interface="eth0"}) == 1`, some)
	p.eventually(patience, `count(container_memory_working_set_bytes{namespace="shop", pod="api-7d9f", container="api", image!=""}) == 1`, some)
	p.eventually(patience, `count(container_memory_working_set_bytes{namespace="shop", pod="api-7d9f", container="", image=""}) == 1`, some)
	p.eventually(patience, `count(container_memory_working_set_bytes{namespace="shop", pod="api-7d9f", container="", image!=""}) == 1`, some)
}

// pod makes what kubelet and containerd make of a pod with one container: its
// groups, a network of its own, and the bundles that say what it is called.
func pod(t *testing.T, namespace, name, container string) {
	t.Helper()
	const uid = "5d0f4f6b-1f2d-4a51-9b5c-0b5c2a4e69aa"
	above := "kubepods/burstable/pod" + uid
	var dirs []string // of the hierarchies
	entries, err := os.ReadDir("/sys/fs/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if dir := filepath.Join("/sys/fs/cgroup", entry.Name()); entry.IsDir() && fileExists(dir+"/cgroup.procs") && entry.Name() != "cpuset" {
			dirs = append(dirs, dir)
		}
	}
	group := func(id string) func(pid int) {
		for _, dir := range dirs {
			if err := os.MkdirAll(filepath.Join(dir, above, id), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return func(pid int) {
			for _, dir := range dirs {
				if err := os.WriteFile(filepath.Join(dir, above, id, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Cleanup(func() { // the processes have ended by now
		for _, dir := range dirs {
			for _, pattern := range []string{above + "/*/", above, "kubepods/burstable", "kubepods"} {
				found, _ := filepath.Glob(filepath.Join(dir, pattern))
				for _, at := range found {
					_ = os.Remove(at) // not the ones that others are in
				}
			}
		}
	})

	sandbox, work := strings.Repeat("5a", 32), strings.Repeat("c0", 32)
	bundle(t, sandbox, map[string]string{
		"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.podsandbox.image-name": "pause:3.9",
		"io.kubernetes.cri.sandbox-id": sandbox, "io.kubernetes.cri.sandbox-name": name, "io.kubernetes.cri.sandbox-namespace": namespace, "io.kubernetes.cri.sandbox-uid": uid,
	})
	bundle(t, work, map[string]string{
		"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": container, "io.kubernetes.cri.image-name": "shop/api:1.4",
		"io.kubernetes.cri.sandbox-id": sandbox, "io.kubernetes.cri.sandbox-name": name, "io.kubernetes.cri.sandbox-namespace": namespace, "io.kubernetes.cri.sandbox-uid": uid,
	})
	pause := run(t, "unshare", "--net", "sh", "-c", "ip link add eth0 type veth peer name other && ip link set eth0 up && ip link set other up && exec sleep 600")
	// Until it has a network of its own, it has the machine's.
	if wait(patience, func() bool { return hasInterface(pause, "other") }) < 0 {
		t.Fatal("no network for the pod")
	}
	group(sandbox)(pause)
	enter := group(work)
	for _, dir := range dirs {
		if file := filepath.Join(dir, above, work, "cpu.cfs_quota_us"); fileExists(file) {
			if err := os.WriteFile(file, []byte("20000"), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	enter(run(t, "nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", pause), "sh", "-c", burn))
}

// bundle writes what containerd writes beside a container's task.
func bundle(t *testing.T, id string, annotations map[string]string) {
	t.Helper()
	dir := filepath.Join("/run/containerd/io.containerd.runtime.v2.task/k8s.io", id)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data, err := json.Marshal(map[string]any{"ociVersion": "1.1.0", "annotations": annotations})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run starts a process that ends with the test, and returns its number.
func run(t *testing.T, name string, args ...string) int {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// hasInterface tells whether there is one of that name in the network of a process.
func hasInterface(pid int, name string) bool {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	return strings.Contains(string(data), " "+name+":")
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
