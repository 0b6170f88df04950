package discover

import (
	"strings"
	"testing"
)

var (
	idA = strings.Repeat("a1", 32)
	idB = strings.Repeat("b2", 32)
)

func TestOwner(t *testing.T) {
	const (
		uid   = "5c1d7f7e-96d2-4f0e-8e2f-3a0b5d1c9e11"
		slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5c1d7f7e_96d2_4f0e_8e2f_3a0b5d1c9e11.slice"
	)
	user := "/user.slice/user-1000.slice/user@1000.service/user.slice"
	tests := map[string]struct {
		path string
		want Container // none if zero
	}{
		"docker with cgroupfs":             {"/docker/" + idA, found("/docker/"+idA, "docker", idA)},
		"docker with systemd":              {"/system.slice/docker-" + idA + ".scope", found("/system.slice/docker-"+idA+".scope", "docker", idA)},
		"docker below a custom parent":     {"/teams/red/" + idA, found("/teams/red/"+idA, "", idA)},
		"docker below a custom slice":      {"/docker.slice/" + idA, found("/docker.slice/"+idA, "", idA)},
		"docker inside a service":          {"/system.slice/docker.service/docker/" + idA, found("/system.slice/docker.service/docker/"+idA, "docker", idA)},
		"rootless docker":                  {user + "/docker-" + idA + ".scope", found(user+"/docker-"+idA+".scope", "docker", idA)},
		"a process group of a container":   {"/docker/" + idA + "/init", found("/docker/"+idA, "docker", idA)},
		"docker in docker":                 {"/docker/" + idA + "/docker/" + idB, found("/docker/"+idA, "docker", idA)},
		"a container that plays systemd":   {"/docker/" + idA + "/system.slice/docker-" + idB + ".scope", found("/docker/"+idA, "docker", idA)},
		"kubernetes in docker":             {"/docker/" + idA + "/kubelet/kubepods/pod" + uid + "/" + idB, found("/docker/"+idA, "docker", idA)},
		"a build step":                     {"/docker/buildkit/q1w2e3r4t5y6u7i8o9p0a1s2d", found("/docker/buildkit/q1w2e3r4t5y6u7i8o9p0a1s2d", "buildkit", "q1w2e3r4t5y6u7i8o9p0a1s2d")},
		"kubernetes with cgroupfs":         {"/kubepods/burstable/pod" + uid + "/" + idA, found("/kubepods/burstable/pod"+uid+"/"+idA, "", idA)},
		"a guaranteed pod":                 {"/kubepods/pod" + uid + "/" + idA, found("/kubepods/pod"+uid+"/"+idA, "", idA)},
		"kubernetes, CRI-O with cgroupfs":  {"/kubepods/besteffort/pod" + uid + "/crio-" + idA, found("/kubepods/besteffort/pod"+uid+"/crio-"+idA, "crio", idA)},
		"kubernetes, containerd, systemd":  {slice + "/cri-containerd-" + idA + ".scope", found(slice+"/cri-containerd-"+idA+".scope", "containerd", idA)},
		"kubernetes, CRI-O, systemd":       {slice + "/crio-" + idA + ".scope", found(slice+"/crio-"+idA+".scope", "crio", idA)},
		"kubernetes, docker, systemd":      {slice + "/docker-" + idA + ".scope", found(slice+"/docker-"+idA+".scope", "docker", idA)},
		"CRI-O below its container":        {slice + "/crio-" + idA + ".scope/container", found(slice+"/crio-"+idA+".scope", "crio", idA)},
		"systemd's names made by cgroupfs": {"/system.slice/containerd.service/kubepods-podx.slice:cri-containerd:" + idA, found("/system.slice/containerd.service/kubepods-podx.slice:cri-containerd:"+idA, "containerd", idA)},
		"podman":                           {"/machine.slice/libpod-" + idA + ".scope", found("/machine.slice/libpod-"+idA+".scope", "podman", idA)},
		"podman below its container":       {"/machine.slice/libpod-" + idA + ".scope/container", found("/machine.slice/libpod-"+idA+".scope", "podman", idA)},
		"podman with cgroupfs":             {"/libpod_parent/libpod-" + idA, found("/libpod_parent/libpod-"+idA, "podman", idA)},
		"podman in a pod with cgroupfs":    {"/libpod_parent/" + idB + "/libpod-" + idA, found("/libpod_parent/"+idB+"/libpod-"+idA, "podman", idA)},
		"podman in a pod with systemd":     {"/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope", found("/machine.slice/machine-libpod_pod_"+idB+".slice/libpod-"+idA+".scope", "podman", idA)},
		"rootless podman":                  {user + "/libpod-" + idA + ".scope/container", found(user+"/libpod-"+idA+".scope", "podman", idA)},
		"nerdctl with cgroupfs":            {"/default/" + idA, found("/default/"+idA, "", idA)},
		"nerdctl with systemd":             {"/system.slice/nerdctl-" + idA + ".scope", found("/system.slice/nerdctl-"+idA+".scope", "containerd", idA)},
		"ECS with cgroupfs":                {"/ecs/0f1e2d3c/" + idA, found("/ecs/0f1e2d3c/"+idA, "docker", idA)},
		"ECS with systemd":                 {"/ecstasks.slice/ecstasks-0f1e2d3c.slice/docker-" + idA + ".scope", found("/ecstasks.slice/ecstasks-0f1e2d3c.slice/docker-"+idA+".scope", "docker", idA)},
		"LXC":                              {"/lxc.payload.web", found("/lxc.payload.web", "lxc", "web")},
		"LXC of old":                       {"/lxc/101/ns", found("/lxc/101", "lxc", "101")},
		"docker in LXC":                    {"/lxc.payload.web/docker/" + idB, found("/lxc.payload.web", "lxc", "web")},
		"Mesos":                            {"/mesos/" + uid, found("/mesos/"+uid, "mesos", uid)},

		"the root":                               {path: "/"},
		"nothing":                                {path: ""},
		"no absolute path":                       {path: "docker/" + idA},
		"a path out of a cgroup namespace":       {path: "/../../docker/" + idA},
		"docker's parent":                        {path: "/docker"},
		"a pod":                                  {path: slice},
		"a service":                              {path: "/system.slice/ssh.service"},
		"a session":                              {path: "/user.slice/user-0.slice/session-3.scope"},
		"CRI-O's monitor":                        {path: slice + "/crio-conmon-" + idA + ".scope"},
		"CRI-O's monitor with cgroupfs":          {path: "/kubepods/besteffort/pod" + uid + "/crio-conmon-" + idA},
		"podman's monitor":                       {path: "/machine.slice/libpod-conmon-" + idA + ".scope"},
		"LXC's monitor":                          {path: "/lxc.monitor.web"},
		"what hides below a session":             {path: "/user.slice/user-0.slice/session-3.scope/docker-" + idA + ".scope"},
		"what hides below a monitor":             {path: "/machine.slice/libpod-conmon-" + idA + ".scope/docker/" + idB},
		"an id in capitals":                      {path: "/docker/" + strings.ToUpper(idA)},
		"an id too short":                        {path: "/docker/" + idA[1:]},
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

func found(cgroup, runtime, id string) Container {
	return Container{Cgroup: cgroup, Runtime: runtime, ID: id}
}

// same compares what the path tells.
func same(a, b Container) bool {
	return a.Cgroup == b.Cgroup && a.Runtime == b.Runtime && a.ID == b.ID
}

func FuzzOwner(f *testing.F) {
	for _, seed := range []string{
		"/docker/" + idA + "/docker/" + idB,
		"/system.slice/docker-" + idA + ".scope",
		"/system.slice/containerd.service/kubepods-podx.slice:cri-containerd:" + idA,
		"/libpod_parent/" + idB + "/libpod-" + idA,
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
