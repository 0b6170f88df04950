package discover

import "time"

// Container is one container as the kernel knows it and, where it answers,
// its runtime.
type Container struct {
	Cgroup  string // path below the root of the hierarchy, "/docker/<id>"; the key
	Runtime string // "docker", "containerd", …; empty if the path does not tell
	ID      string // the runtime's, empty if the path does not tell

	// Known tells whether the runtime has been heard on this container. Until
	// then, and for ever where it is silent, what follows is empty.
	Known   bool
	Name    string
	Image   string
	Labels  map[string]string // the container's own, unfiltered and untrusted
	Started time.Time
}
