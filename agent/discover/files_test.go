package discover

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

// The containers of testdata.
const (
	dockerID  = "ca23c9d0377f057ecb1ee29a3d5c8ab045274e615410bb5c721da1ebe1b852ef"
	criID     = "8d5b96a955dbc60a5afcd93b0b41910b5347ed637bc771755d59dbd72c5344b4"
	pauseID   = "5752f9b22be765e85d300a0e5d3d36f72c2104f5af210e8e1be7f49d4fe33385"
	nerdctlID = "7be7ca56452ce0f69575654683e3b8cdc61d8898d06caf92fbf5ffffcd856bd7"
	crioID    = "438e2ba9d5970597608a7df68ae72f6085a1460f976f964ed5f369c793eaa4fe"
	infraID   = "500027715b8ab8cdb7871c0894b8a7d3eea199c7a8f458351952f44a6ad6cc14"
	podmanID  = "bb92ba8a7932dd2165b6cd94987a54c73ee3bb5a9dc88d5c71644a97a6d6c7ca"
	briefID   = "383540ac224d9c13da31b53bebc15c04ca08e1d8f83591cc95256c0ade934c5d"
)

func filesOf(root string, out *registry) *files {
	return newFiles(root, "/var/lib/docker", out, slog.New(slog.DiscardHandler))
}

func TestEachRuntimesFilesNameItsContainers(t *testing.T) {
	coreDNS := kube{uid: "5b5e07db-f1b9-4530-81ef-b7d04d66b83e", namespace: "kube-system", pod: "coredns-6d4b75cb6d-4mtdm", container: "coredns"}
	infra := coreDNS
	infra.container, infra.sandbox = "", true
	shop := kube{uid: podUID, namespace: "shop", pod: "web-6d4b75cb6d-w4b72", container: "nginx"}
	pause := shop
	pause.container, pause.sandbox = "", true
	tests := map[string]struct {
		id, runtime string
		want        about
	}{
		"Docker": {dockerID, "docker", about{
			Runtime: "docker", Name: "web", Image: "plimsoll/busybox:test", Labels: map[string]string{"team": "red", "com.docker.compose.project": "shop"},
			Created: instant("2026-11-21T09:24:57.868465893Z"), Started: instant("2026-11-21T09:24:58.164698953Z"),
		}},
		"containerd":           {criID, "containerd", about{Runtime: "containerd", Name: criID, Image: "localhost/pause:1", kube: shop}},
		"containerd's sandbox": {pauseID, "containerd", about{Runtime: "containerd", Name: pauseID, kube: pause}},
		"nerdctl":              {nerdctlID, "containerd", about{Runtime: "containerd", Name: "cache"}},
		"CRI-O": {crioID, "crio", about{
			Runtime: "crio", Name: "k8s_coredns_coredns-6d4b75cb6d-4mtdm_kube-system_5b5e07db-f1b9-4530-81ef-b7d04d66b83e_0", Image: "k8s.gcr.io/coredns/coredns:v1.8.6",
			Labels: map[string]string{
				"io.kubernetes.container.name": "coredns", "io.kubernetes.pod.name": coreDNS.pod,
				"io.kubernetes.pod.namespace": "kube-system", "io.kubernetes.pod.uid": coreDNS.uid,
			},
			Created: instant("2026-11-20T12:13:14.123456789Z"), kube: coreDNS,
		}},
		"CRI-O's sandbox": {infraID, "crio", about{
			Runtime: "crio", Name: "k8s_coredns-6d4b75cb6d-4mtdm_kube-system_5b5e07db-f1b9-4530-81ef-b7d04d66b83e_0",
			Labels:  map[string]string{"k8s-app": "kube-dns", "io.kubernetes.pod.name": coreDNS.pod},
			Created: instant("2026-11-20T12:13:12.5Z"), kube: infra,
		}},
		"Podman":                   {podmanID, "podman", about{Runtime: "podman", Name: "web", Image: "localhost/shop/web:7", Created: instant("2026-11-21T09:04:54.174167862Z")}},
		"Podman, removed with end": {briefID, "podman", about{Runtime: "podman", Name: "brief", Image: "localhost/shop/web:7", Created: instant("2026-11-21T09:04:54.280476856Z")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, runtime := range []string{tt.runtime, ""} { // the path tells it or does not
				f := filesOf("testdata/node", newRegistry())
				l := lookup{id: tt.id, runtime: runtime}
				f.look(&l)
				if tt.want.Runtime == "containerd" {
					if l.about.Started.Before(time.Unix(1e9, 0)) {
						t.Errorf("started %v", l.about.Started)
					}
					l.about.Started = time.Time{} // when the file was checked out
				}
				if !l.found || !l.about.equal(tt.want) || f.refused.Load() != 0 {
					t.Errorf("runtime %q: found %v\n%+v\nwant\n%+v", runtime, l.found, l.about, tt.want)
				}
			}
		})
	}
}

func TestARemappedDataRootIsFound(t *testing.T) {
	config, err := os.ReadFile("testdata/node/var/lib/docker/containers/" + dockerID + "/config.v2.json")
	if err != nil {
		t.Fatal(err)
	}
	f := filesOf("/", newRegistry())
	f.root = fstest.MapFS{"var/lib/docker/231072.231072/containers/" + dockerID + "/config.v2.json": {Data: config}}
	l := lookup{id: dockerID, runtime: "docker"}
	f.look(&l)
	if l.about.Name != "web" {
		t.Errorf("%+v", l)
	}
}

func TestABundleOfDockersIsNoContainerOfContainerd(t *testing.T) {
	f := filesOf("/", newRegistry())
	f.root = fstest.MapFS{"run/containerd/io.containerd.runtime.v2.task/moby/" + idA + "/config.json": {Data: []byte(criNginx)}}
	l := lookup{id: idA}
	if f.look(&l); l.found {
		t.Errorf("%+v", l)
	}
}

func TestFilesThatMakeNoSenseNameNobody(t *testing.T) {
	const at = "var/lib/docker/containers/" + dockerID + "/config.v2.json"
	tests := map[string]struct {
		make    func(name string) error
		refused uint64
	}{
		"not there":                      {func(string) error { return nil }, 0},
		"empty":                          {writes(""), 1},
		"cut short":                      {writes(`{"State":{"Running":true`), 1},
		"labels that are no texts":       {writes(`{"State":{"Running":true},"Config":{"Labels":{"a":1}}}`), 1},
		"larger than any":                {writes(`{"State":{"Running":true},"Name":"/` + strings.Repeat("x", maxConfig) + `"}`), 1},
		"nested without end":             {writes(strings.Repeat("[", 1<<20)), 1},
		"a directory":                    {func(name string) error { return os.Mkdir(name, 0o700) }, 1},
		"a pipe that nobody writes to":   {func(name string) error { return syscall.Mkfifo(name, 0o600) }, 1},
		"of a container that is stopped": {writes(`{"State":{"Running":false,"StartedAt":"2026-11-21T09:24:58Z"},"Name":"/web"}`), 0},
		"a link to itself":               {func(name string) error { return os.Symlink(name, name) }, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			mkdir(t, root, filepath.Dir(at))
			if err := tt.make(filepath.Join(root, at)); err != nil {
				t.Fatal(err)
			}
			f := filesOf(root, newRegistry())
			l := lookup{id: dockerID, runtime: "docker"}
			f.look(&l)
			if l.found || f.refused.Load() != tt.refused {
				t.Errorf("%+v, %d refused, want %d", l, f.refused.Load(), tt.refused)
			}
		})
	}
}

func writes(text string) func(string) error {
	return func(name string) error { return os.WriteFile(name, []byte(text), 0o600) }
}

// disk is a tree that counts how often each file is opened, and can hang.
type disk struct {
	mu     sync.Mutex
	files  fstest.MapFS
	opened map[string]int
	hangs  chan struct{} // not to be opened until closed; nil for no such
}

func newDisk() *disk { return &disk{files: fstest.MapFS{}, opened: map[string]int{}} }

func (d *disk) Open(name string) (fs.File, error) {
	d.mu.Lock()
	hangs := d.hangs
	d.mu.Unlock()
	if hangs != nil && strings.HasSuffix(name, ".json") {
		<-hangs
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened[name]++
	return d.files.Open(name)
}

func (d *disk) Stat(name string) (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files.Stat(name)
}

func (d *disk) put(name, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name] = &fstest.MapFile{Data: []byte(text), ModTime: time.Now()}
}

func (d *disk) opens(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened[name]
}

func configOf(id string) string { return "var/lib/docker/containers/" + id + "/config.v2.json" }

func bundleOf(id string) string {
	return "run/containerd/io.containerd.runtime.v2.task/k8s.io/" + id + "/config.json"
}

const (
	runningWeb = `{"State":{"Running":true,"StartedAt":"2026-11-21T09:24:58Z"},"Name":"/web"}`
	stoppedWeb = `{"State":{"Running":false},"Name":"/web"}`
	criNginx   = `{"annotations":{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"nginx"}}`
)

// reading runs f on a disk in virtual time, and does things meanwhile.
func reading(t *testing.T, do func(r *registry, d *disk)) {
	synctest.Test(t, func(t *testing.T) {
		r, d := newRegistry(), newDisk()
		f := filesOf("/", r)
		f.root = d
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.run(ctx) }()
		synctest.Wait()
		do(r, d)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func isNamed(r *registry, id string) bool {
	_, list := r.containers()
	for _, c := range list {
		if c.ID == id {
			return c.Known
		}
	}
	return false
}

func TestFilesAreReadOncePerContainer(t *testing.T) {
	reading(t, func(r *registry, d *disk) {
		d.put(bundleOf(idA), criNginx)
		r.appeared(found("/k8s.io/"+idA, "", idA))
		after(0)
		if !isNamed(r, idA) {
			t.Error("a bundle that is there at once is not read at once")
		}
		after(time.Hour)
		if n := d.opens(bundleOf(idA)); n != 1 {
			t.Errorf("read %d times", n)
		}
		r.vanished("/k8s.io/" + idA)
		r.appeared(found("/k8s.io/"+idA, "", idA))
		after(time.Second)
		if n := d.opens(bundleOf(idA)); n != 2 || !isNamed(r, idA) {
			t.Errorf("read %d times with a restart", n)
		}
	})
}

func TestFilesAreLookedForLessAndLess(t *testing.T) {
	reading(t, func(r *registry, d *disk) {
		d.put(configOf(idA), stoppedWeb)
		r.appeared(found("/docker/"+idA, "docker", idA))
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{99 * time.Millisecond, 0}, {time.Millisecond, 1}, {300 * time.Millisecond, 2}, {time.Second, 3}, {5 * time.Second, 4}, {30 * time.Second, 5}, {5 * time.Minute, 6}, {time.Hour, 18}} {
			after(step.wait)
			if n := d.opens(configOf(idA)); n != step.want || isNamed(r, idA) {
				t.Fatalf("after %v more: read %d times, want %d; named: %v", step.wait, n, step.want, isNamed(r, idA))
			}
		}
		d.put(configOf(idA), runningWeb)
		after(5 * time.Minute)
		if !isNamed(r, idA) {
			t.Error("it runs and has no name")
		}
	})
}

func TestFilesAreNotReadOfContainersTheEngineTellsOf(t *testing.T) {
	reading(t, func(r *registry, d *disk) {
		d.put(configOf(idA), runningWeb)
		r.appeared(found("/docker/"+idA, "docker", idA))
		told := web
		told.Created, told.Started = time.Now(), time.Now()
		r.learned(idA, told)
		after(time.Hour)
		if n := d.opens(configOf(idA)); n != 0 {
			t.Errorf("read %d times", n)
		}
	})
}

func TestListsOfContainersAreReadWhenTheyChange(t *testing.T) {
	const list = "var/lib/containers/storage/overlay-containers/containers.json"
	reading(t, func(r *registry, d *disk) {
		entries := make([]string, 0, 200)
		for i := range 200 {
			entries = append(entries, fmt.Sprintf(`{"id":"%064x","names":["c%d"]}`, i, i))
		}
		d.put(list, "["+strings.Join(entries[:100], ",")+"]")
		for i := range 200 {
			id := fmt.Sprintf("%064x", i)
			r.appeared(found("/libpod_parent/libpod-"+id, "podman", id))
		}
		after(50 * time.Millisecond)
		if n := d.opens(list); n != 1 || len(r.unread()) != 100 {
			t.Errorf("read %d times for 200 containers, %d without a name", n, len(r.unread()))
		}
		d.put(list, "["+strings.Join(entries, ",")+"]")
		after(time.Minute)
		if n := d.opens(list); n != 2 || len(r.unread()) != 0 {
			t.Errorf("read %d times with one change, %d without a name", n, len(r.unread()))
		}
	})
}

func TestAHangingDiskStopsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, d := newRegistry(), newDisk()
		f := filesOf("/", r)
		f.root = d
		d.put(configOf(idA), runningWeb)
		d.hangs = make(chan struct{})
		r.appeared(found("/docker/"+idA, "docker", idA))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.run(ctx) }()
		after(time.Minute)
		r.appeared(found("/docker/"+idB, "docker", idB)) // does not wait
		cancel()
		began := time.Now()
		<-ended
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v to end", took)
		}
		close(d.hangs)
	})
}

func FuzzParseFiles(f *testing.F) {
	for _, pattern := range []string{"testdata/node/*/*/*/*/*.json", "testdata/node/*/*/*/*/*/*.json", "testdata/node/*/*/*/*/*/*/*.json"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(`{"annotations":{"io.container.manager":"cri-o","io.kubernetes.cri-o.Labels":"[1]","io.kubernetes.cri-o.Created":"x"}}`))
	f.Add([]byte(`[{"id":"a","names":[],"metadata":"{"}]`))
	f.Add([]byte(`{"Name":null,"Config":null,"State":{"Running":true,"StartedAt":"9999-99-99"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var all []about
		if a, _, err := parseDocker(data); err == nil {
			all = append(all, a)
		}
		if a, err := parseBundle(data); err == nil {
			all = append(all, a)
		}
		if list, err := parseStorage(data); err == nil {
			for _, a := range list {
				all = append(all, a)
			}
		}
		for _, a := range all {
			a.bound()
			if len(a.Name) > maxText || len(a.Labels) > maxLabels || a.Started.Year() > 9999 || a.kube.sandbox && a.kube.container != "" {
				t.Errorf("%+v", a)
			}
		}
	})
}

func BenchmarkLook(b *testing.B) {
	for name, l := range map[string]lookup{
		"Docker": {id: dockerID, runtime: "docker"}, "containerd": {id: criID, runtime: "containerd"},
		"Podman": {id: podmanID, runtime: "podman"}, "nowhere": {id: idA},
	} {
		b.Run(name, func(b *testing.B) {
			f := filesOf("testdata/node", newRegistry())
			for b.Loop() {
				again := l
				f.look(&again)
			}
		})
	}
}
