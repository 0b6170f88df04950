package agent

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// podOf are the rows of a pod as discovery finds them at first, by their paths
// alone, and what they are called. The container is the busy one.
func podOf() (pod, sandbox, app discover.Container) {
	const dir, uid = "/kubepods/burstable/pod0f6a3b2c-1111-4222-8333-444455556666", "0f6a3b2c-1111-4222-8333-444455556666"
	pod = discover.Container{Cgroup: dir, Kind: discover.Pod, PodUID: uid}
	sandbox = discover.Container{Cgroup: dir + "/" + idleID, ID: idleID, PodUID: uid}
	app = discover.Container{Cgroup: dir + "/" + busyID, ID: busyID, PodUID: uid}
	return pod, sandbox, app
}

func named(pod, sandbox, app discover.Container) []discover.Container {
	rows := []*discover.Container{&pod, &sandbox, &app}
	for _, c := range rows {
		c.Known, c.Namespace, c.PodName = true, "shop", "web-0"
	}
	sandbox.Kind, sandbox.Image = discover.Sandbox, "pause:3.9"
	app.Name, app.ContainerName, app.Image, app.Runtime = "web", "web", "shop/web:2.1", "containerd"
	return []discover.Container{pod, sandbox, app}
}

// newPod is a harbour whose groups are those of a pod.
func newPod(t *testing.T, list ...discover.Container) *harbour {
	h := newHarbour(t, "v1", list...)
	pod, sandbox, app := podOf()
	for _, controller := range []string{"cpu,cpuacct", "memory", "pids", "blkio"} {
		dir := filepath.Join(h.root, controller)
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(pod.Cgroup)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "docker"), filepath.Join(dir, pod.Cgroup)); err != nil {
			t.Fatal(err)
		}
	}
	h.write("cpu,cpuacct"+pod.Cgroup+"/cpuacct.usage", "5000000000\n")
	h.write("memory"+pod.Cgroup+"/memory.oom_control", "oom_kill 0\n")
	h.write("pids"+pod.Cgroup+"/cgroup.procs", "")
	h.write("pids"+sandbox.Cgroup+"/cgroup.procs", "100\n")
	h.write("pids"+app.Cgroup+"/cgroup.procs", "101\n102\n")
	return h
}

func TestRowsOfAPodAreLabelledAsKubeletLabelsThem(t *testing.T) {
	rows := named(podOf())
	h := newPod(t, rows...)
	got := h.sail()
	const pod = `,job="cadvisor",namespace="shop",pod="web-0"`
	series := map[string]string{
		`container_cpu_usage_seconds_total{cpu="total",id="` + rows[0].Cgroup + `"` + pod + `}`:                                                                                             "5",
		`container_cpu_usage_seconds_total{cpu="total",id="` + rows[1].Cgroup + `",image="pause:3.9",job="cadvisor",name="` + idleID + `",namespace="shop",pod="web-0"}`:                    "0",
		`container_cpu_usage_seconds_total{container="web",cpu="total",id="` + rows[2].Cgroup + `",image="shop/web:2.1",job="cadvisor",name="` + busyID + `",namespace="shop",pod="web-0"}`: "4.075270514",
		`container_cpu_usage_seconds_total{cpu="total",id="/",job="cadvisor"}`:                                                                                                              "8.934960833",
		`container_processes{id="` + rows[0].Cgroup + `"` + pod + `}`:                                                                                                                       "3",
	}
	for name, value := range series {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if n := len(of(got, "container_cpu_usage_seconds_total")); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
	want(t, got, "2", "plimsoll_agent_containers") // a pod is none
}

func TestKillsInAPodAreThoseOfItsContainers(t *testing.T) {
	rows := named(podOf())
	h := newPod(t, rows...)
	got := h.sail()
	if kills := of(got, "container_oom_events_total"); !slices.Equal(kills, []string{"0", "1"}) {
		t.Errorf("kills %v, want those of the sandbox and the container", kills)
	}
	h.there()
	for range 20 { // nor among what remains
		want(t, h.sail(), "", "container_oom_events_total", `id="`+rows[0].Cgroup+`"`)
	}
}

func TestRowsOfAPodAreNamedLateWithoutAGap(t *testing.T) {
	const usage = "container_cpu_usage_seconds_total"
	pod, sandbox, app := podOf()
	h := newPod(t, pod, sandbox, app)
	for _, series := range []map[string]string{h.sail(), h.sail()} {
		want(t, series, "4.075270514", usage, app.Cgroup)
		for _, label := range []string{"container=", "pod=", "namespace=", "image=", "name="} {
			want(t, series, "", usage, label)
		}
	}
	h.there(named(pod, sandbox, app)...)
	got := h.sail()
	if n := len(of(got, usage, `pod="web-0"`)); n != 3 || len(of(got, usage)) != 4 {
		t.Errorf("%d of 3 rows have their names: %v", n, got)
	}
	if !slices.Contains(h.endedNames(), usage) {
		t.Errorf("ended: %v", h.endedNames())
	}
	h.skip(2)
}
