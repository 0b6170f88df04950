package discover

import (
	"path/filepath"
	"strings"
	"testing"
)

var (
	idA = strings.Repeat("a1", 32)
	idB = strings.Repeat("b2", 32)
)

// The paths of what is a container. Where nobody else is named they were seen
// on nodes of the kind, or are what the runtime's source puts together.
func TestOwner(t *testing.T) {
	const (
		uid    = "5c1d7f7e-96d2-4f0e-8e2f-3a0b5d1c9e11"
		static = "a5363f4f31e043bdae3c93aca4991903" // a static pod, called by the hash of its manifest
		slice  = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5c1d7f7e_96d2_4f0e_8e2f_3a0b5d1c9e11.slice"
		user   = "/user.slice/user-1000.slice/user@1000.service"
		step   = "q1w2e3r4t5y6u7i8o9p0a1s2d"
		nested = "kubelet-kubepods-burstable-pod5c1d7f7e_96d2_4f0e_8e2f_3a0b5d1c9e11.slice"
	)
	task := strings.Repeat("c", 32)
	kubelet := "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/" + nested
	odd := "/system.slice/containerd.service/kubepods-burstable-pod5c1d7f7e_96d2_4f0e_8e2f_3a0b5d1c9e11.slice:cri-containerd:" + idA
	tests := map[string]struct {
		path string
		want Container // none if zero
	}{
		// runc with cgroupfs puts a container in <parent>/<id>, with systemd in
		// <slice>/<prefix>-<id>.scope; crun and runc agree.
		"docker with cgroupfs":           {"/docker/" + idA, found("/docker/"+idA, "docker", idA)},
		"docker with systemd":            {"/system.slice/docker-" + idA + ".scope", found("/system.slice/docker-"+idA+".scope", "docker", idA)},
		"docker below a custom parent":   {"/teams/red/" + idA, found("/teams/red/"+idA, "", idA)},
		"docker below a custom slice":    {"/docker.slice/" + idA, found("/docker.slice/"+idA, "", idA)},
		"docker in a slice of a team":    {"/red.slice/docker-" + idA + ".scope", found("/red.slice/docker-"+idA+".scope", "docker", idA)},
		"docker inside a service":        {"/system.slice/docker.service/docker/" + idA, found("/system.slice/docker.service/docker/"+idA, "docker", idA)},
		"rootless docker":                {user + "/user.slice/docker-" + idA + ".scope", found(user+"/user.slice/docker-"+idA+".scope", "docker", idA)},
		"rootless docker, its service":   {user + "/app.slice/docker.service/docker/" + idA, found(user+"/app.slice/docker.service/docker/"+idA, "docker", idA)},
		"a process group of a container": {"/docker/" + idA + "/init", found("/docker/"+idA, "docker", idA)},
		"docker in docker":               {"/docker/" + idA + "/docker/" + idB, found("/docker/"+idA, "docker", idA)},
		"docker in docker with systemd":  {"/system.slice/docker-" + idA + ".scope/docker/" + idB, found("/system.slice/docker-"+idA+".scope", "docker", idA)},
		"a container that plays systemd": {"/docker/" + idA + "/system.slice/docker-" + idB + ".scope", found("/docker/"+idA, "docker", idA)},

		// kind and minikube run a node as a container of Docker.
		"kind, seen from the host":                {"/docker/" + idA + "/kubelet/kubepods/pod" + uid + "/" + idB, found("/docker/"+idA, "docker", idA)},
		"kind with systemd, seen from the host":   {"/system.slice/docker-" + idA + ".scope" + kubelet + "/cri-containerd-" + idB + ".scope", found("/system.slice/docker-"+idA+".scope", "docker", idA)},
		"kind, seen from its node":                {"/kubelet/kubepods/burstable/pod" + uid + "/" + idA, inPod(uid, "/kubelet/kubepods/burstable/pod"+uid+"/"+idA, "", idA)},
		"kind with systemd, seen from its node":   {kubelet + "/cri-containerd-" + idA + ".scope", inPod(uid, kubelet+"/cri-containerd-"+idA+".scope", "containerd", idA)},
		"kind, a container's own group in docker": {"/docker/" + idA + "/system.slice/containerd.service", found("/docker/"+idA, "docker", idA)},

		// BuildKit, executor/oci: <parent>/buildkit/<id>, or "system.slice:docker:<id>"
		// for the OCI runtime, which makes a scope of it, or a name where the
		// driver is cgroupfs.
		"a build step":                         {"/docker/buildkit/" + step, found("/docker/buildkit/"+step, "buildkit", step)},
		"a build step of buildkitd":            {"/buildkit/" + step, found("/buildkit/"+step, "buildkit", step)},
		"a build step with systemd":            {"/system.slice/docker-" + step + ".scope", found("/system.slice/docker-"+step+".scope", "buildkit", step)},
		"a build step under systemd's name":    {"/system.slice/system.slice:docker:" + step, found("/system.slice/system.slice:docker:"+step, "buildkit", step)},
		"docker under systemd's name":          {"/system.slice:docker:" + idA, found("/system.slice:docker:"+idA, "docker", idA)},
		"podman under systemd's name":          {"/machine.slice:libpod:" + idA, found("/machine.slice:libpod:"+idA, "podman", idA)},
		"CRI-O under systemd's name":           {"/kubepods-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice:crio:" + idA, inPod(uid, "/kubepods-pod"+strings.ReplaceAll(uid, "-", "_")+".slice:crio:"+idA, "crio", idA)},
		"containerd under systemd's name":      {odd, inPod(uid, odd, "containerd", idA)},
		"containerd under that, pod not named": {"/system.slice/containerd.service/kubepods-podx.slice:cri-containerd:" + idA, found("/system.slice/containerd.service/kubepods-podx.slice:cri-containerd:"+idA, "containerd", idA)},

		// Kubernetes: pkg/kubelet/cm names the groups of pods, the CRI runtime
		// those in them. k3s, RKE2, k0s and MicroK8s leave that as it is.
		"kubernetes with cgroupfs":              {"/kubepods/burstable/pod" + uid + "/" + idA, inPod(uid, "/kubepods/burstable/pod"+uid+"/"+idA, "", idA)},
		"a guaranteed pod":                      {"/kubepods/pod" + uid + "/" + idA, inPod(uid, "/kubepods/pod"+uid+"/"+idA, "", idA)},
		"a static pod":                          {"/kubepods/besteffort/pod" + static + "/" + idA, inPod(static, "/kubepods/besteffort/pod"+static+"/"+idA, "", idA)},
		"a static pod with systemd":             {"/kubepods.slice/kubepods-pod" + static + ".slice/cri-containerd-" + idA + ".scope", inPod(static, "/kubepods.slice/kubepods-pod"+static+".slice/cri-containerd-"+idA+".scope", "containerd", idA)},
		"kubernetes, CRI-O with cgroupfs":       {"/kubepods/besteffort/pod" + uid + "/crio-" + idA, inPod(uid, "/kubepods/besteffort/pod"+uid+"/crio-"+idA, "crio", idA)},
		"kubernetes, containerd, systemd":       {slice + "/cri-containerd-" + idA + ".scope", inPod(uid, slice+"/cri-containerd-"+idA+".scope", "containerd", idA)},
		"kubernetes, CRI-O, systemd":            {slice + "/crio-" + idA + ".scope", inPod(uid, slice+"/crio-"+idA+".scope", "crio", idA)},
		"kubernetes, docker, systemd":           {slice + "/docker-" + idA + ".scope", inPod(uid, slice+"/docker-"+idA+".scope", "docker", idA)},
		"kubernetes below a slice of its own":   {"/red.slice/red-kubepods.slice/red-kubepods-pod" + static + ".slice/crio-" + idA + ".scope", inPod(static, "/red.slice/red-kubepods.slice/red-kubepods-pod"+static+".slice/crio-"+idA+".scope", "crio", idA)},
		"kubernetes below a group of its own":   {"/k3s/kubepods/burstable/pod" + uid + "/" + idA, inPod(uid, "/k3s/kubepods/burstable/pod"+uid+"/"+idA, "", idA)},
		"rootless k3s":                          {user + "/k3s-rootless.service/kubepods/pod" + uid + "/" + idA, inPod(uid, user+"/k3s-rootless.service/kubepods/pod"+uid+"/"+idA, "", idA)},
		"k3s inside its service":                {"/system.slice/k3s.service/kubepods/besteffort/pod" + uid + "/" + idA, inPod(uid, "/system.slice/k3s.service/kubepods/besteffort/pod"+uid+"/"+idA, "", idA)},
		"CRI-O below its container":             {slice + "/crio-" + idA + ".scope/container", inPod(uid, slice+"/crio-"+idA+".scope", "crio", idA)},
		"systemd in a container of a pod":       {slice + "/cri-containerd-" + idA + ".scope/system.slice/x.service", inPod(uid, slice+"/cri-containerd-"+idA+".scope", "containerd", idA)},
		"docker in a container of a pod":        {"/kubepods/pod" + uid + "/" + idA + "/docker/" + idB, inPod(uid, "/kubepods/pod"+uid+"/"+idA, "", idA)},
		"a container where no pod can be":       {"/pod" + uid + "/" + idA, found("/pod"+uid+"/"+idA, "", idA)},
		"a container of a slice that is no pod": {"/red-pod" + static + ".slice/crio-" + idA + ".scope", found("/red-pod"+static+".slice/crio-"+idA+".scope", "crio", idA)},

		// Podman, libpod/container_internal_linux.go; libpod_parent measured with 4.3.1.
		"podman":                        {"/machine.slice/libpod-" + idA + ".scope", found("/machine.slice/libpod-"+idA+".scope", "podman", idA)},
		"podman below its container":    {"/machine.slice/libpod-" + idA + ".scope/container", found("/machine.slice/libpod-"+idA+".scope", "podman", idA)},
		"podman with cgroupfs":          {"/libpod_parent/libpod-" + idA, found("/libpod_parent/libpod-"+idA, "podman", idA)},
		"podman in a pod with cgroupfs": {"/libpod_parent/" + idB + "/libpod-" + idA, found("/libpod_parent/"+idB+"/libpod-"+idA, "podman", idA)},
		"podman in a pod with systemd":  {"/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope", found("/machine.slice/machine-libpod_pod_"+idB+".slice/libpod-"+idA+".scope", "podman", idA)},
		"podman in a service, Quadlet":  {"/system.slice/web.service/libpod-payload-" + idA, found("/system.slice/web.service/libpod-payload-"+idA, "podman", idA)},
		"rootless podman":               {user + "/user.slice/libpod-" + idA + ".scope/container", found(user+"/user.slice/libpod-"+idA+".scope", "podman", idA)},
		"rootless podman, Quadlet":      {user + "/app.slice/web.service/libpod-payload-" + idA, found(user+"/app.slice/web.service/libpod-payload-"+idA, "podman", idA)},

		// containerd's own default is /<namespace>/<id>; nerdctl follows it.
		"nerdctl with cgroupfs":     {"/default/" + idA, found("/default/"+idA, "", idA)},
		"nerdctl with systemd":      {"/system.slice/nerdctl-" + idA + ".scope", found("/system.slice/nerdctl-"+idA+".scope", "containerd", idA)},
		"rootless nerdctl":          {user + "/user.slice/nerdctl-" + idA + ".scope", found(user+"/user.slice/nerdctl-"+idA+".scope", "containerd", idA)},
		"containerd without parent": {"/k8s.io/" + idA, found("/k8s.io/"+idA, "", idA)},
		"containerd, CRI by hand":   {"/system.slice/cri-containerd-" + idA + ".scope", found("/system.slice/cri-containerd-"+idA+".scope", "containerd", idA)},

		// ECS, as others who read it match it; a number in place of an id is that of
		// a container on Fargate.
		"ECS with cgroupfs":     {"/ecs/0f1e2d3c/" + idA, found("/ecs/0f1e2d3c/"+idA, "docker", idA)},
		"ECS below its cluster": {"/ecs/red/" + task + "/" + idA, found("/ecs/red/"+task+"/"+idA, "docker", idA)},
		"ECS with systemd":      {"/ecstasks.slice/ecstasks-0f1e2d3c.slice/docker-" + idA + ".scope", found("/ecstasks.slice/ecstasks-0f1e2d3c.slice/docker-"+idA+".scope", "docker", idA)},
		"ECS on Fargate":        {"/ecs/" + task + "/" + task + "-2531612879", found("/ecs/"+task+"/"+task+"-2531612879", "docker", task+"-2531612879")},

		// LXC from 4.0 on, before, and Proxmox; machined; Mesos; Garden, whose
		// groups good and bad are of its CPU scheduling.
		"LXC":               {"/lxc.payload.web", found("/lxc.payload.web", "lxc", "web")},
		"LXC of old":        {"/lxc/101/ns", found("/lxc/101", "lxc", "101")},
		"docker in LXC":     {"/lxc.payload.web/docker/" + idB, found("/lxc.payload.web", "lxc", "web")},
		"systemd-nspawn":    {"/machine.slice/systemd-nspawn@web.service/payload", found("/machine.slice/systemd-nspawn@web.service", "nspawn", "web")},
		"Mesos":             {"/mesos/" + uid, found("/mesos/"+uid, "mesos", uid)},
		"Mesos, nested":     {"/mesos/" + uid + "/mesos/" + uid, found("/mesos/"+uid, "mesos", uid)},
		"Garden":            {"/garden/" + uid, found("/garden/"+uid, "garden", uid)},
		"Garden, throttled": {"/system.slice/garden.service/garden/bad/2f57368b-0eda-4e52-64d8-af5c", found("/system.slice/garden.service/garden/bad/2f57368b-0eda-4e52-64d8-af5c", "garden", "2f57368b-0eda-4e52-64d8-af5c")},

		"the root":                               {path: "/"},
		"nothing":                                {path: ""},
		"no absolute path":                       {path: "docker/" + idA},
		"a path out of a cgroup namespace":       {path: "/../../docker/" + idA},
		"docker's parent":                        {path: "/docker"},
		"a pod":                                  {path: slice},
		"a pod with cgroupfs":                    {path: "/kubepods/burstable/pod" + uid},
		"what is in a pod and no container":      {path: "/kubepods/burstable/pod" + uid + "/init"},
		"a pod of podman":                        {path: "/machine.slice/machine-libpod_pod_" + idB + ".slice"},
		"a service":                              {path: "/system.slice/ssh.service"},
		"a session":                              {path: "/user.slice/user-0.slice/session-3.scope"},
		"a machine that is none of nspawn's":     {path: "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope"},
		"CRI-O's monitor":                        {path: slice + "/crio-conmon-" + idA + ".scope"},
		"CRI-O's monitor with cgroupfs":          {path: "/kubepods/besteffort/pod" + uid + "/crio-conmon-" + idA},
		"podman's monitor":                       {path: "/machine.slice/libpod-conmon-" + idA + ".scope"},
		"podman's monitor in a service":          {path: "/system.slice/web.service/runtime"},
		"podman's monitor with cgroupfs":         {path: "/libpod_parent/conmon"},
		"LXC's monitor":                          {path: "/lxc.monitor.web"},
		"what hides below a session":             {path: "/user.slice/user-0.slice/session-3.scope/docker-" + idA + ".scope"},
		"what hides below a monitor":             {path: "/machine.slice/libpod-conmon-" + idA + ".scope/docker/" + idB},
		"an id in capitals":                      {path: "/docker/" + strings.ToUpper(idA)},
		"an id too short":                        {path: "/docker/" + idA[1:]},
		"a build step's word without a scope":    {path: "/docker-" + step},
		"a scope of something else":              {path: "/system.slice/backup-" + idA + ".scope"},
		"an id with a newline":                   {path: "/docker/" + idA + "\n"},
		"a parent whose name is no text":         {path: "/\xff/" + idA},
		"a parent whose name moves the terminal": {path: "/\x1b[2J/" + idA},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := Owner(tt.path)
			if ok != (tt.want.Cgroup != "") || ok && !same(got, tt.want) {
				t.Errorf("Owner(%q) = %+v, %v; want %+v", tt.path, got, ok, tt.want)
			}
		})
	}
}

func TestPods(t *testing.T) {
	const uid = "5c1d7f7e-96d2-4f0e-8e2f-3a0b5d1c9e11"
	for path, want := range map[string]string{
		"/kubepods/pod" + uid:                                                    uid,
		"/kubepods/burstable/pod" + uid:                                          uid,
		"/kubelet/kubepods/besteffort/pod" + uid:                                 uid,
		"/kubepods.slice/kubepods-pod5c1d7f7e_96d2_4f0e_8e2f_3a0b5d1c9e11.slice": uid,
		"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod5c1d7f7e_96d2_4f0e_8e2f_3a0b5d1c9e11.slice":         uid,
		"/a.slice/a-kubepods.slice/a-kubepods-burstable.slice/a-kubepods-burstable-poda5363f4f31e043bdae3c93aca4991903.slice": "a5363f4f31e043bdae3c93aca4991903",
		"/pod" + uid:           "", // no kubelet made it
		"/xkubepods/pod" + uid: "",
		"/kubepods/pod1":       "",
		"/kubepods.slice/xkubepods-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice": "",
		"/kubepods.slice/kubepods-pod" + strings.ToUpper(uid) + ".slice":               "",
		"/kubepods": "", "/kubepods.slice": "",
	} {
		k, c := classify(filepath.Dir(path), filepath.Base(path))
		if (k == isPod) != (want != "") || c.PodUID != want || k == isPod && (c.Kind != Pod || c.ID != "" || c.Cgroup != path) {
			t.Errorf("%s: kind %v, %+v; want the pod %q", path, k, c, want)
		}
	}
}

func found(cgroup, runtime, id string) Container {
	return Container{Cgroup: cgroup, Runtime: runtime, ID: id}
}

func inPod(uid, cgroup, runtime, id string) Container {
	return Container{Cgroup: cgroup, Runtime: runtime, ID: id, PodUID: uid}
}

// same compares what the path tells.
func same(a, b Container) bool {
	return a.Cgroup == b.Cgroup && a.Runtime == b.Runtime && a.ID == b.ID && a.PodUID == b.PodUID && a.Kind == b.Kind
}

func FuzzOwner(f *testing.F) {
	for _, seed := range []string{
		"/docker/" + idA + "/docker/" + idB,
		"/system.slice/docker-" + idA + ".scope",
		"/system.slice/containerd.service/kubepods-podx.slice:cri-containerd:" + idA,
		"/libpod_parent/" + idB + "/libpod-" + idA,
		"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-poda5363f4f31e043bdae3c93aca4991903.slice/crio-" + idA + ".scope",
		"/lxc.payload.\xff/\x00//../-",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cgroup string) {
		c, ok := Owner(cgroup)
		if !ok {
			return
		}
		if c.ID == "" || !strings.HasPrefix(cgroup+"/", c.Cgroup+"/") {
			t.Errorf("Owner(%q) = %+v", cgroup, c)
		}
		if again, ok := Owner(c.Cgroup + "/docker/" + idB); !ok || !same(again, c) {
			t.Errorf("what is nested in %+v belongs to %+v", c, again)
		}
	})
}
