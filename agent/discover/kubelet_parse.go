package discover

import (
	"encoding/json"
	"strings"
)

// kubeStatus is what of a container's status counts here.
type kubeStatus struct {
	Name        string
	Image       string
	ContainerID string // "containerd://<id>"
	State       struct {
		Running *struct{ StartedAt string }
	}
}

// parsePods parses a v1.PodList, of which it takes
//
//	{"items":[{"metadata":{"name":"web-6d4b","namespace":"shop","uid":"01b4…","labels":{"app":"web"}},
//	  "status":{"startTime":"…","containerStatuses":[{"name":"nginx","image":"…","containerID":"containerd://1b71…"}]}}]}
//
// The groups of a static pod are called by a hash that is in its annotations.
func parsePods(body []byte) (pods, containers map[string]about, err error) {
	var list struct {
		Items []struct {
			Metadata struct {
				Name, Namespace, UID string
				CreationTimestamp    string
				Labels, Annotations  map[string]string
			}
			Status struct {
				StartTime                  string
				ContainerStatuses          []kubeStatus
				InitContainerStatuses      []kubeStatus
				EphemeralContainerStatuses []kubeStatus
			}
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, nil, err
	}
	pods, containers = map[string]about{}, map[string]about{}
	for _, item := range list.Items {
		meta, status := item.Metadata, item.Status
		called := kube{namespace: meta.Namespace, pod: meta.Name}
		if called.pod == "" {
			continue
		}
		p := about{Labels: meta.Labels, Created: instant(meta.CreationTimestamp), Started: instant(status.StartTime), kube: called}
		for _, uid := range []string{meta.UID, meta.Annotations["kubernetes.io/config.hash"]} {
			if isPodUID(uid) {
				pods[uid] = p
			}
		}
		for _, all := range [][]kubeStatus{status.ContainerStatuses, status.InitContainerStatuses, status.EphemeralContainerStatuses} {
			for _, c := range all {
				runtime, id, _ := strings.Cut(c.ContainerID, "://")
				if !isHash(id) || len(containers) >= maxKnown {
					continue
				}
				called.container = c.Name
				a := about{Image: c.Image, kube: called}
				a.Runtime = map[string]string{"containerd": "containerd", "cri-o": "crio", "docker": "docker"}[runtime]
				if c.State.Running != nil {
					a.Started = instant(c.State.Running.StartedAt)
				}
				containers[id] = a
			}
		}
	}
	return pods, containers, nil
}
