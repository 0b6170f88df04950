package inventory

import "time"

type shownNode struct {
	Name        string     `json:"name"`
	State       string     `json:"state"` // "connected", "lost", or "unknown" if only the store knows it
	Version     string     `json:"agent_version,omitempty"`
	Seen        *time.Time `json:"last_seen"`
	Age         Seconds    `json:"age_seconds"`
	Lost        *time.Time `json:"lost_at"`
	Interval    Seconds    `json:"interval_seconds"`
	Lag         Seconds    `json:"lag_seconds"`
	ClockOffset Seconds    `json:"clock_offset_seconds"`
	Backlog     *float64   `json:"unconfirmed_batches"`
	Sources     []Source   `json:"sources"`
	Missing     []string   `json:"missing_files"`
}

func nodeItem(n Node, now time.Time) item {
	state := "connected"
	switch {
	case n.Recalled:
		state = "unknown"
	case !n.Connected():
		state = "lost"
	}
	return item{shown: shownNode{
		Name: n.Name, State: state, Version: n.Version,
		Seen: optional(n.Seen), Age: age(n.Seen, now), Lost: optional(n.Lost),
		Interval: n.Interval, Lag: n.Lag, ClockOffset: n.ClockOffset, Backlog: n.Backlog,
		Sources: n.Sources, Missing: n.Missing,
	}, nodes: []string{n.Name}, state: state}
}

type shownContainer struct {
	Node      string     `json:"node"`
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Image     string     `json:"image,omitempty"`
	Service   *Workload  `json:"service"`
	Namespace string     `json:"namespace,omitempty"`
	Pod       string     `json:"pod,omitempty"`
	State     State      `json:"state"`
	Seen      *time.Time `json:"last_seen"`
	Age       Seconds    `json:"age_seconds"`
	Started   *time.Time `json:"started_at"`
	Healthy   *bool      `json:"healthy"`
}

func containerItem(c Container, now time.Time) item {
	s := shownContainer{
		Node: c.Node, ID: c.ID, Name: c.Name, Image: c.Image, Namespace: c.Namespace, Pod: c.Pod, State: c.State,
		Seen: optional(c.Seen), Age: age(c.Seen, now), Started: optional(c.Started), Healthy: c.Healthy,
	}
	if c.Service != (Workload{}) {
		s.Service = &c.Service
	}
	return item{shown: s, nodes: []string{c.Node}, state: string(c.State), service: c.Service.Name}
}

type shownService struct {
	Workload
	Running    *int       `json:"running"`
	Stale      int        `json:"stale"`
	Nodes      []string   `json:"nodes"`
	Desired    *int       `json:"desired"`
	Ready      *int       `json:"ready"`
	DeclaredAt *time.Time `json:"declared_at"`
	Age        Seconds    `json:"declared_age_seconds"`
	Outdated   bool       `json:"outdated"`
}

func serviceItem(s Service, now time.Time) item {
	state := string(Running)
	if s.Stale > 0 || s.Outdated || s.Running == nil {
		state = string(Stale)
	}
	return item{shown: shownService{
		Workload: s.Workload, Running: s.Running, Stale: s.Stale, Nodes: append([]string{}, s.Nodes...),
		Desired: s.Desired, Ready: s.Ready, DeclaredAt: optional(s.DeclaredAt), Age: age(s.DeclaredAt, now), Outdated: s.Outdated,
	}, nodes: s.Nodes, state: state, service: s.Name}
}

type shownGPU struct {
	Node     string     `json:"node"`
	UUID     string     `json:"uuid"`
	Index    string     `json:"gpu"`
	Model    string     `json:"model,omitempty"`
	Instance string     `json:"instance,omitempty"`
	Profile  string     `json:"profile,omitempty"`
	State    State      `json:"state"`
	Seen     *time.Time `json:"last_seen"`
	Age      Seconds    `json:"age_seconds"`
	Lost     *bool      `json:"lost"`
	Used     *float64   `json:"memory_used_bytes"`
	Memory   *float64   `json:"memory_bytes"`
	Users    []GPUUser  `json:"containers"`
}

func gpuItem(g GPU, now time.Time) item {
	return item{shown: shownGPU{
		Node: g.Node, UUID: g.UUID, Index: g.Index, Model: g.Model, Instance: g.Instance, Profile: g.Profile, State: g.State,
		Seen: optional(g.Seen), Age: age(g.Seen, now), Lost: g.Lost, Used: g.Used, Memory: g.Memory, Users: append([]GPUUser{}, g.Users...),
	}, nodes: []string{g.Node}, state: string(g.State)}
}
