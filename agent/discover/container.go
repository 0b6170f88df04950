package discover

import "time"

// Kind is what a row of containers is about.
type Kind uint8

// The kinds of rows, as kubelet has them.
const (
	Workload Kind = iota // a container that does the work
	Pod                  // the group around the containers of a Kubernetes pod
	Sandbox              // the container that only holds a pod's namespaces
)

// Health is what a container's own health check says.
type Health uint8

// The states of health; NoHealth where there is no check or nobody told.
const (
	NoHealth Health = iota
	Starting
	Healthy
	Unhealthy
)

// Container is one container as the kernel knows it and, where it answers,
// its runtime.
type Container struct {
	Cgroup  string // path below the root of the hierarchy, "/docker/<id>"; the key
	Runtime string // "docker", "containerd", …; empty if the path does not tell
	ID      string // the runtime's, empty if the path does not tell
	Kind    Kind
	PodUID  string // of Kubernetes, with hyphens; empty if it is in no pod

	// Known tells whether the runtime has been heard on this container. Until
	// then, and for ever where it is silent, what follows is empty.
	Known   bool
	Name    string
	Image   string
	Labels  map[string]string // the container's own, unfiltered and untrusted
	Created time.Time
	Started time.Time
	Health  Health

	// What Kubernetes calls it.
	Namespace, PodName, ContainerName string
}
