package discover

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

var web = about{Runtime: "docker", Name: "web", Image: "shop/web:7", Labels: map[string]string{"team": "red"}}

// alone is the only container of r.
func alone(t *testing.T, r *registry) Container {
	t.Helper()
	_, list := r.containers()
	if len(list) != 1 {
		t.Fatalf("containers %+v, want one", list)
	}
	return list[0]
}

func TestAContainerIsKnownInWhicheverOrderItIsToldOf(t *testing.T) {
	group := found("/docker/"+idA, "docker", idA)
	for name, tell := range map[string]func(*registry){
		"kernel first": func(r *registry) { r.appeared(group); r.learned(idA, web) },
		"engine first": func(r *registry) { r.learned(idA, web); r.appeared(group) },
		"restarted, kernel first": func(r *registry) {
			r.appeared(group)
			r.learned(idA, web)
			r.vanished(group.Cgroup)
			r.ended(idA)
			r.appeared(group)
			r.learned(idA, web)
		},
		"restarted, engine first": func(r *registry) {
			r.learned(idA, web)
			r.appeared(group)
			r.ended(idA)
			r.learned(idA, web)
			r.vanished(group.Cgroup)
			r.appeared(group)
		},
		"renamed": func(r *registry) {
			r.appeared(group)
			r.learned(idA, about{Runtime: "docker", Name: "old", Image: web.Image, Labels: web.Labels})
			r.update(idA, func(a *about) { a.Name = "web" })
		},
		"its image renamed": func(r *registry) {
			r.appeared(group)
			r.learned(idA, web)
			r.learned(idA, about{Runtime: "docker", Name: "web", Image: "sha256:0123"})
		},
		"the engine gone": func(r *registry) {
			r.appeared(group)
			r.learned(idA, web)
			r.ended(idB)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry()
			tell(r)
			c := alone(t, r)
			if !c.Known || c.Name != "web" || c.Image != "shop/web:7" || c.Labels["team"] != "red" {
				t.Errorf("container %+v", c)
			}
		})
	}
}

func TestWhatTheKernelDoesNotHaveIsNotThere(t *testing.T) {
	r := newRegistry()
	r.learned(idA, web)
	if _, list := r.containers(); len(list) != 0 {
		t.Errorf("containers %+v by the engine's word alone", list)
	}
}

func TestWhatIsGoneIsForgotten(t *testing.T) {
	r := newRegistry()
	for i := range 100 {
		id := strconv.Itoa(i)
		group := found("/docker/"+id, "docker", id)
		r.learned(id, web)
		r.appeared(group)
		switch i % 3 {
		case 0:
			r.ended(id)
			r.vanished(group.Cgroup)
		case 1:
			r.vanished(group.Cgroup)
			r.ended(id)
		case 2:
			r.vanished(group.Cgroup) // its end was missed, and made up for by the list below
		}
	}
	r.onlyRunning(nil)
	r.settle()
	if len(r.known)+len(r.groups)+len(r.ids) != 0 {
		t.Errorf("%d known, %d groups, %d ids are kept", len(r.known), len(r.groups), len(r.ids))
	}
}

// A list may come between an end and the word of it.
func TestWhatIsNoLongerListedIsKnownForAMoment(t *testing.T) {
	r := newRegistry()
	for _, id := range []string{idA, idB} {
		r.learned(id, web)
		r.appeared(found("/docker/"+id, "docker", id))
	}
	r.onlyRunning(nil)
	for _, id := range []string{idA, idB} {
		r.vanished("/docker/" + id)
		if _, ok := r.of(id); !ok {
			t.Error("it is forgotten before the engine has told how it ended")
		}
	}
	r.learned(idB, web) // started again
	r.settle()
	if _, ok := r.of(idA); ok {
		t.Error("it is never forgotten")
	}
	if _, ok := r.of(idB); !ok {
		t.Error("one that runs is forgotten")
	}
}

func TestNothingNewIsNoNewVersion(t *testing.T) {
	r := newRegistry()
	r.appeared(found("/docker/"+idA, "docker", idA))
	r.learned(idA, web)
	before, _ := r.containers()
	r.learned(idA, web) // as every list does
	r.appeared(found("/docker/"+idA, "docker", idA))
	r.learned(idB, web) // not here
	if after, _ := r.containers(); after != before {
		t.Errorf("version %d, want %d still", after, before)
	}
}

func TestAnIdIsBelievedOfOneCgroupOnly(t *testing.T) {
	forged := "/user.slice/user-1000.slice/user@1000.service/docker-" + idA + ".scope"
	for _, real := range []string{
		"/docker/" + idA,
		"/system.slice/docker-" + idA + ".scope",
		"/zone/a/b/c/d/e/f/" + idA,
	} {
		r := newRegistry()
		r.learned(idA, web)
		r.appeared(found(forged, "docker", idA))
		r.appeared(found(real, "", idA))
		_, list := r.containers()
		for _, c := range list {
			if c.Known != (c.Cgroup == real) {
				t.Errorf("%s: known %v, name %q", c.Cgroup, c.Known, c.Name)
			}
		}
	}
}

func TestTheEngineTellsTheRuntimeWhereThePathDoesNot(t *testing.T) {
	r := newRegistry()
	r.appeared(found("/teams/red/"+idA, "", idA))
	if c := alone(t, r); c.Runtime != "" {
		t.Errorf("runtime %q by the path", c.Runtime)
	}
	r.learned(idA, web)
	if c := alone(t, r); c.Runtime != "docker" {
		t.Errorf("runtime %q, want docker", c.Runtime)
	}
}

func TestEventsWaitInBoundsAndAreTakenOnce(t *testing.T) {
	r := newRegistry()
	takeOOMs, another := r.oomFeed(), r.oomFeed()
	r.appeared(found("/docker/"+idA, "docker", idA))
	for range maxEvents + 10 {
		r.happened(idA, sample.Event{Kind: sample.ContainerOOM, Time: time.Unix(1, 0)})
	}
	events, ooms := r.takeEvents(), takeOOMs()
	if len(events) != maxEvents || len(ooms) != maxEvents || ooms[0] != idA {
		t.Errorf("%d events and %d OOMs, want %d of each", len(events), len(ooms), maxEvents)
	}
	if n := len(another()); n != maxEvents {
		t.Errorf("%d OOMs for another, want %d", n, maxEvents)
	}
	if events[0].Container != "/docker/"+idA {
		t.Errorf("a nameless container is called %q, want its cgroup", events[0].Container)
	}
	if n, _ := r.stats(); n != 30 {
		t.Errorf("%d dropped, want 30", n)
	}
	if len(r.takeEvents())+len(takeOOMs()) != 0 {
		t.Error("they are there a second time")
	}
}

const (
	podUID = "01b4b887-7635-4346-9c20-58a294bbb034"
	podDir = "/kubepods/burstable/pod" + podUID
)

func podRow(dir string) Container { return Container{Cgroup: dir, Kind: Pod, PodUID: podUID} }

func inWebPod(id string) Container {
	return Container{Cgroup: podDir + "/" + id, ID: id, PodUID: podUID}
}

var nginx = about{Runtime: "containerd", Name: idA, Image: "shop/web:7", kube: kube{uid: podUID, namespace: "shop", pod: "web-1", container: "nginx"}}

// rows are the names that Kubernetes gives to each cgroup's row.
func rows(r *registry) map[string]string {
	_, list := r.containers()
	all := map[string]string{}
	for _, c := range list {
		all[c.Cgroup] = strings.Join([]string{[]string{"workload", "pod", "sandbox"}[c.Kind], c.Namespace, c.PodName, c.ContainerName}, " ")
	}
	return all
}

func TestPodsAndTheirContainersNameEachOther(t *testing.T) {
	pause := about{Runtime: "containerd", kube: kube{uid: podUID, namespace: "shop", pod: "web-1", sandbox: true}}
	odd := "/system.slice/containerd.service/kubepods-pod" + strings.ReplaceAll(podUID, "-", "_") + ".slice:cri-containerd:" + idA
	forged := "/user.slice/user-1000.slice/user@1000.service/kubepods/pod" + podUID
	tests := map[string]struct {
		tell func(*registry)
		want map[string]string
	}{
		"nobody tells": {
			func(r *registry) { r.appeared(podRow(podDir)); r.appeared(inWebPod(idA)) },
			map[string]string{podDir: "pod   ", podDir + "/" + idA: "workload   "},
		},
		"files of one container tell": {
			func(r *registry) {
				r.appeared(podRow(podDir))
				r.appeared(inWebPod(idA))
				r.appeared(inWebPod(idB))
				r.read(idA, nginx)
			},
			map[string]string{podDir: "pod shop web-1 ", podDir + "/" + idA: "workload shop web-1 nginx", podDir + "/" + idB: "workload shop web-1 "},
		},
		"files of a sandbox tell": {
			func(r *registry) {
				r.appeared(inWebPod(idB))
				r.appeared(podRow(podDir))
				r.read(idB, pause)
			},
			map[string]string{podDir: "pod shop web-1 ", podDir + "/" + idB: "sandbox shop web-1 "},
		},
		"kubelet tells": {
			func(r *registry) {
				r.appeared(podRow(podDir))
				r.appeared(inWebPod(idA))
				r.appeared(inWebPod(idB))
				r.listed(map[string]about{podUID: {kube: kube{namespace: "shop", pod: "web-1"}}}, map[string]about{idA: nginx})
			},
			map[string]string{podDir: "pod shop web-1 ", podDir + "/" + idA: "workload shop web-1 nginx", podDir + "/" + idB: "workload shop web-1 "},
		},
		"kubelet, who told before it was there": {
			func(r *registry) {
				r.listed(map[string]about{podUID: {kube: kube{namespace: "shop", pod: "web-1"}}}, map[string]about{idA: nginx})
				r.appeared(podRow(podDir))
				r.appeared(inWebPod(idA))
			},
			map[string]string{podDir: "pod shop web-1 ", podDir + "/" + idA: "workload shop web-1 nginx"},
		},
		"a Docker shim tells by labels": {
			func(r *registry) {
				r.appeared(podRow(podDir))
				r.appeared(inWebPod(idA))
				r.learned(idA, described("k8s_nginx", "shop/web:7", map[string]string{
					"io.kubernetes.pod.uid": podUID, "io.kubernetes.pod.name": "web-1", "io.kubernetes.pod.namespace": "shop",
					"io.kubernetes.container.name": "POD", "io.kubernetes.docker.type": "podsandbox",
				}))
			},
			map[string]string{podDir: "pod shop web-1 ", podDir + "/" + idA: "sandbox shop web-1 "},
		},
		"a container whose group is elsewhere tells": {
			func(r *registry) {
				r.appeared(podRow(podDir))
				r.appeared(Container{Cgroup: odd, ID: idA, PodUID: podUID})
				r.read(idA, nginx)
			},
			map[string]string{podDir: "pod shop web-1 ", odd: "workload shop web-1 nginx"},
		},
		"an image's labels outside of a pod": {
			func(r *registry) {
				r.appeared(found("/docker/"+idA, "docker", idA))
				r.learned(idA, described("x", "y", map[string]string{"io.kubernetes.pod.name": "web-1", "io.kubernetes.docker.type": "podsandbox"}))
			},
			map[string]string{"/docker/" + idA: "workload   "},
		},
		"an image's labels that name another pod": {
			func(r *registry) {
				r.appeared(podRow(podDir))
				r.appeared(inWebPod(idA))
				r.learned(idA, described("x", "y", map[string]string{"io.kubernetes.pod.name": "bank", "io.kubernetes.pod.uid": "of another"}))
			},
			map[string]string{podDir: "pod   ", podDir + "/" + idA: "workload   "},
		},
		"a user's groups with the names of another's": {
			func(r *registry) {
				r.appeared(podRow(forged))
				r.appeared(Container{Cgroup: forged + "/" + idA, ID: idA, PodUID: podUID})
				r.appeared(Container{Cgroup: forged + "/" + idB, ID: idB, PodUID: podUID})
				r.appeared(podRow(podDir))
				r.appeared(inWebPod(idA))
				r.read(idA, nginx)
			},
			map[string]string{
				podDir: "pod shop web-1 ", podDir + "/" + idA: "workload shop web-1 nginx",
				forged: "pod   ", forged + "/" + idA: "workload   ", forged + "/" + idB: "workload   ",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRegistry()
			tt.tell(r)
			if got := rows(r); !maps.Equal(got, tt.want) {
				t.Errorf("rows %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestWhoIsBelieved(t *testing.T) {
	group, now := found("/docker/"+idA, "docker", idA), time.Now()
	old := about{Runtime: "docker", Name: "old", Image: "shop/web:6", Labels: map[string]string{"team": "blue"}, Created: now.Add(-time.Hour), Started: now.Add(-time.Minute)}
	for name, tell := range map[string]func(*registry){
		"the engine, who tells later than files":   func(r *registry) { r.appeared(group); r.read(idA, old); r.learned(idA, web) },
		"the engine, who tells earlier than files": func(r *registry) { r.appeared(group); r.learned(idA, web); r.read(idA, old) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry()
			tell(r)
			c := alone(t, r)
			if c.Name != "web" || c.Image != "shop/web:7" || c.Labels["team"] != "red" {
				t.Errorf("container %+v, want what the engine says", c)
			}
			if !c.Created.Equal(old.Created) || !c.Started.Equal(old.Started) {
				t.Errorf("created %v, started %v; want what only the files say", c.Created, c.Started)
			}
		})
	}
	t.Run("files, of the name of an image that has lost it", func(t *testing.T) {
		r := newRegistry()
		r.appeared(group)
		r.learned(idA, about{Runtime: "docker", Name: "web", Image: "sha256:0123"})
		if c := alone(t, r); c.Image != "sha256:0123" {
			t.Errorf("image %q", c.Image)
		}
		r.read(idA, old)
		if c := alone(t, r); c.Image != "shop/web:6" {
			t.Errorf("image %q", c.Image)
		}
	})
	t.Run("files, of what the engine knew before a restart", func(t *testing.T) {
		r := newRegistry()
		r.appeared(group)
		before := web
		before.Created, before.Started = now.Add(-time.Hour), now.Add(-time.Hour)
		r.learned(idA, before)
		r.read(idA, before)
		r.vanished(group.Cgroup)
		r.appeared(group)
		if c := alone(t, r); !c.Started.IsZero() || c.Name != "web" {
			t.Errorf("started %v, name %q; want no start, as nobody told", c.Started, c.Name)
		}
		if _, ok := r.unread()[idA]; !ok {
			t.Error("its files are not asked")
		}
		r.read(idA, old)
		if c := alone(t, r); !c.Started.Equal(old.Started) || c.Name != "web" {
			t.Errorf("started %v, name %q", c.Started, c.Name)
		}
	})
}

func TestTheEngineIsNotAskedForOthersContainers(t *testing.T) {
	r := newRegistry()
	r.appeared(inWebPod(idA))
	if !r.unknown() {
		t.Error("a container that may be the engine's is none of it")
	}
	r.read(idA, nginx)
	if r.unknown() {
		t.Error("containerd's container is asked of Docker")
	}
}

func TestFilesAreForgottenWithTheContainer(t *testing.T) {
	r := newRegistry()
	group := found("/docker/"+idA, "docker", idA)
	r.appeared(group)
	r.read(idA, web)
	if len(r.unread()) != 0 {
		t.Error("what was read is to be read again")
	}
	r.vanished(group.Cgroup)
	r.read(idA, web) // late
	if len(r.known) != 0 {
		t.Errorf("%d known of a container that is gone", len(r.known))
	}
	r.appeared(group)
	if c := alone(t, r); c.Known || len(r.unread()) != 1 {
		t.Errorf("container %+v, want one to be read anew", c)
	}
}

func TestSickTextsCostOnlyTheirContainer(t *testing.T) {
	r := newRegistry()
	r.appeared(found("/docker/"+idA, "docker", idA))
	r.appeared(found("/docker/"+idB, "docker", idB))
	labels := map[string]string{"exitCode": "0"}
	for i := range 10_000 {
		labels[strconv.Itoa(i)] = "x"
	}
	r.learned(idA, described("sick", "x", labels))
	r.learned(idB, web)
	_, list := r.containers()
	if len(list[0].Labels) != maxLabels || len(list[1].Labels) != 1 {
		t.Errorf("%d and %d labels", len(list[0].Labels), len(list[1].Labels))
	}
	if _, cut := r.stats(); cut != 10_001-maxLabels {
		t.Errorf("%d labels cut", cut)
	}
	if a, _ := r.of(idA); !a.exitLabel {
		t.Error("it is forgotten that a label poses as the exit code, as the label is left out")
	}
	r.learned(idA, described("sick", "x", labels))
	if _, cut := r.stats(); cut != 10_001-maxLabels {
		t.Error("what each list repeats is counted again")
	}
}

func TestKubeletThatSaysTheSameIsNoNewVersion(t *testing.T) {
	r := newRegistry()
	r.appeared(podRow(podDir))
	pods := func() map[string]about {
		return map[string]about{podUID: {Labels: map[string]string{"app": "web"}, kube: kube{pod: "web-1"}}}
	}
	r.listed(pods(), nil)
	before := r.state()
	r.listed(pods(), map[string]about{})
	if r.state() != before {
		t.Error("a new version")
	}
	if c := alone(t, r); c.Labels["app"] != "web" || !c.Known {
		t.Errorf("pod %+v", c)
	}
	r.listed(nil, nil)
	if c := alone(t, r); r.state() == before || c.Known {
		t.Errorf("pod %+v though kubelet forgot it", c)
	}
}
