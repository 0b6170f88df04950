package discover

import (
	"encoding/json"
	"strings"
)

// parseDocker parses a config.v2.json of Docker, of which it takes
//
//	{"State":{"Running":true,"StartedAt":"2026-11-21T09:03:22.5Z"},"Created":"…",
//	 "Config":{"Image":"shop/web:7","Labels":{"team":"red"}},"Name":"/web"}
//
// Its health is not taken: the engine keeps checking, and the file is read once.
func parseDocker(data []byte) (a about, running bool, err error) {
	var c struct {
		Name    string
		Created string
		Config  struct {
			Image  string
			Labels map[string]string
		}
		State struct {
			Running   bool
			StartedAt string
		}
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return about{}, false, err
	}
	a = described(strings.TrimPrefix(c.Name, "/"), c.Config.Image, c.Config.Labels)
	a.Created, a.Started = instant(c.Created), instant(c.State.StartedAt)
	return a, c.State.Running, nil
}

// parseBundle parses the config.json of an OCI bundle. Of that only the
// annotations tell what a container is called, in words of the runtime's own:
//
//	{"annotations":{"io.kubernetes.cri.sandbox-name":"web-6d4b","io.kubernetes.cri.container-name":"nginx", …}}
//
// https://github.com/opencontainers/runtime-spec/blob/main/config.md#annotations
func parseBundle(data []byte) (about, error) {
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		return about{}, err
	}
	notes := spec.Annotations
	switch {
	case notes["io.kubernetes.cri.container-type"] != "":
		return parseCRI(notes), nil
	case notes["io.container.manager"] == "cri-o":
		return parseCRIO(notes), nil
	}
	return about{Name: notes["nerdctl/name"]}, nil
}

// parseCRI takes the annotations of containerd's CRI plugin. A sandbox has its
// image since 1.7, all have the uid of the pod since 1.6.11.
func parseCRI(notes map[string]string) about {
	a := about{
		Image: notes["io.kubernetes.cri.image-name"],
		kube: kube{
			uid:       notes["io.kubernetes.cri.sandbox-uid"],
			namespace: notes["io.kubernetes.cri.sandbox-namespace"],
			pod:       notes["io.kubernetes.cri.sandbox-name"],
			container: notes["io.kubernetes.cri.container-name"],
			sandbox:   notes["io.kubernetes.cri.container-type"] == "sandbox",
		},
	}
	if a.kube.sandbox {
		a.kube.container = ""
		a.Image = notes["io.kubernetes.cri.podsandbox.image-name"]
	}
	return a
}

// parseCRIO takes the annotations of CRI-O, among which is kubelet's labels as
// JSON.
func parseCRIO(notes map[string]string) about {
	a := about{
		Name:    notes["io.kubernetes.cri-o.Name"],
		Image:   notes["io.kubernetes.cri-o.ImageName"],
		Created: instant(notes["io.kubernetes.cri-o.Created"]),
		kube:    kubeOf(notes),
	}
	if a.Image == "" {
		a.Image = notes["io.kubernetes.cri-o.Image"]
	}
	if err := json.Unmarshal([]byte(notes["io.kubernetes.cri-o.Labels"]), &a.Labels); err != nil {
		a.Labels = nil
	}
	return a
}

// parseStorage parses a list of containers/storage, which Podman and CRI-O use:
//
//	[{"id":"bb92…","names":["web"],"metadata":"{\"image-name\":\"localhost/shop/web:7\",…}","created":"2026-11-21T09:04:54.17Z"}]
//
// Labels are in a data base of Podman's own.
func parseStorage(data []byte) (map[string]about, error) {
	var list []struct {
		ID       string   `json:"id"`
		Names    []string `json:"names"`
		Metadata string   `json:"metadata"`
		Created  string   `json:"created"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	all := make(map[string]about, len(list))
	for _, c := range list {
		var meta struct {
			Image string `json:"image-name"`
		}
		if err := json.Unmarshal([]byte(c.Metadata), &meta); err != nil {
			meta.Image = "" // a name is better than none
		}
		a := about{Runtime: "podman", Image: meta.Image, Created: instant(c.Created)}
		if len(c.Names) > 0 {
			a.Name = c.Names[0]
		}
		all[c.ID] = a
	}
	return all, nil
}
