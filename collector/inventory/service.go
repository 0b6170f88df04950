package inventory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Declared is what a platform was asked to run of a workload.
type Declared struct {
	Namespace string // as in Workload
	Name      string
	Desired   int  // asked for
	Ready     *int // able to serve, as the platform says; nil if it does not
}

// A Declarer lists what a platform was asked to run. It returns soon after ctx
// ends.
type Declarer interface {
	Declared(ctx context.Context) ([]Declared, error)
}

// Service is a workload with its containers.
type Service struct {
	Workload
	// Running is how many of its containers run, Stale of how many that cannot
	// be known, and Nodes where both are. Running is nil where containers do not
	// say that they belong to it, as in Kubernetes.
	Running *int
	Stale   int
	Nodes   []string
	// Desired is how many replicas its platform was asked for, and Ready how many
	// the platform takes for able to serve; nil if that is not known. DeclaredAt
	// is when the platform said so, and Outdated that it did not when it was
	// asked last.
	Desired, Ready *int
	DeclaredAt     time.Time
	Outdated       bool
}

// declaration is what a platform said last.
type declaration struct {
	list    []Declared
	at      time.Time
	problem string // why it could not be asked the last time
}

// Declare asks a platform what it was asked to run; Run does so every few
// seconds. If it does not answer, what it said before stays, and gets older.
func (v *Inventory) Declare(ctx context.Context, platform string, at time.Time) error {
	declarer := v.opts.Declarers[platform]
	if declarer == nil {
		return fmt.Errorf("nobody declares for platform %q", platform)
	}
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	list, err := declarer.Declared(ctx)
	over := max(len(list)-v.opts.Services, 0)

	v.mu.Lock()
	defer v.mu.Unlock()
	d := v.declared[platform]
	if d == nil {
		d = &declaration{}
		v.declared[platform] = d
	}
	if err != nil {
		err = fmt.Errorf("ask %s: %w", platform, err)
		d.problem = err.Error()
		v.metrics.failed.WithLabelValues(platform).Inc()
		return err
	}
	d.list, d.at, d.problem = slices.Clone(list[:len(list)-over]), at, ""
	v.leftOut["services of "+platform] = over
	return nil
}

// Services lists the workloads by platform, namespace and name: those that
// containers belong to, and those that platforms declare.
func (v *Inventory) Services() []Service {
	containers := v.Containers()
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[Workload]*Service{}
	of := func(w Workload) *Service {
		if all[w] == nil {
			all[w] = &Service{Workload: w}
			if countable(w.Platform) {
				all[w].Running = new(int)
			}
		}
		return all[w]
	}
	for _, c := range containers {
		if c.Service == (Workload{}) || c.State == Ended {
			continue
		}
		s := of(c.Service)
		if c.State == Running {
			*s.Running++
		} else {
			s.Stale++
		}
		if !slices.Contains(s.Nodes, c.Node) {
			s.Nodes = append(s.Nodes, c.Node)
		}
	}
	for platform, d := range v.declared {
		for _, declared := range d.list {
			s := of(Workload{Platform: platform, Namespace: declared.Namespace, Name: declared.Name})
			desired := declared.Desired
			s.Desired, s.Ready = &desired, declared.Ready
			s.DeclaredAt, s.Outdated = d.at, d.problem != ""
		}
	}
	if v.read.IsZero() || v.leftOut["containers"] > 0 { // what has not been looked at is not none
		for _, s := range all {
			s.Running = nil
		}
	}
	return slices.Collect(func(yield func(Service) bool) {
		for _, w := range slices.SortedFunc(maps.Keys(all), compareWorkloads) {
			slices.Sort(all[w].Nodes)
			if !yield(*all[w]) {
				return
			}
		}
	})
}

// countable tells whether containers of a platform's workloads carry its name.
func countable(platform string) bool { return platform == "swarm" || platform == "compose" }

func compareWorkloads(a, b Workload) int {
	return cmp.Or(strings.Compare(a.Platform, b.Platform), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}
