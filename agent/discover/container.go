package discover

import "time"

// Kind is what a row of containers is about.
type Kind uint8

// The kinds of rows, as kubelet has them. Only the runtime or its files tell a
// sandbox from a workload.
const (
	Workload Kind = iota // a container that does the work
	Pod                  // the group around the containers of a Kubernetes pod
	Sandbox              // the container that only holds a pod's namespaces
)

// Health is what a container's own health check says.
type Health uint8

// The states of health; NoHealth where there is no check, nobody told, or the
// engine that checks is not listened to.
const (
	NoHealth Health = iota
	Starting
	Healthy
	Unhealthy
)

// Container is one container, or the pod around some, as the kernel knows it and
// as its engine, kubelet or the files of its runtime call it, whoever can be
// asked.
type Container struct {
	Cgroup  string // path below the root of the hierarchy, "/docker/<id>"; the key
	Runtime string // "docker", "containerd", …; empty if nobody tells
	ID      string // the runtime's, empty for a pod
	Kind    Kind
	PodUID  string // of Kubernetes, as the path has it, with hyphens; empty if it is in no pod

	// Known tells whether anybody but the path has been heard on this
	// container, or for a pod, its name. Until then what follows is empty, but
	// for Namespace and PodName, which containers and pods learn from each other.
	Known   bool
	Name    string
	Image   string
	Labels  map[string]string // the container's own, or the pod's; bounded in size, otherwise untrusted
	Created time.Time
	Started time.Time
	Health  Health

	// What Kubernetes calls it, empty if it is in no pod. A pod and a sandbox
	// have no ContainerName.
	Namespace, PodName, ContainerName string
}

// Exit is the end of a container as its engine tells it.
type Exit struct {
	ID   string
	At   time.Time // by the engine's clock
	Code int       // 128 and the number of the signal, if one killed it
	As   Container // what was known of it then, but for its cgroup; As.Known is false if nothing was
}
