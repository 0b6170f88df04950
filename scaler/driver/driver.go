// Package driver is what a platform offers the scaler: look, and ask for n.
//
// A driver carries out one call and reports what the platform said. Retries,
// dry runs, ceilings, rates and the journal belong to the caller, so that no
// platform can have its own idea of them.
package driver

import (
	"context"
	"errors"
)

// Errors that drivers wrap so that the scaler can tell them apart. Any other
// error means that the outcome is unknown: the platform may have accepted.
var (
	// ErrNotFound: the platform has no such workload. It may appear later.
	ErrNotFound = errors.New("workload not found")
	// ErrConflict: the workload was changed since its Rev was read. Read
	// again and decide again; asking again blindly would undo that change.
	ErrConflict = errors.New("changed by someone else")
	// ErrRefused: the request can never succeed as it stands, for instance
	// a negative count, or a workload whose count is not a number one sets.
	ErrRefused = errors.New("refused")
	// ErrFenced: whoever leads now has written; this collector leads no longer.
	// Nothing was done.
	ErrFenced = errors.New("another collector leads")
	// ErrCapacity: the platform is full or a quota is used up.
	ErrCapacity = errors.New("no capacity")
)

// Workload names something that has replicas: a service, a deployment.
type Workload struct {
	Namespace string `json:"namespace,omitempty"` // empty where the platform has none
	Name      string `json:"name"`
}

// String is how a workload is written in logs and messages.
func (w Workload) String() string {
	if w.Namespace == "" {
		return w.Name
	}
	return w.Namespace + "/" + w.Name
}

// Rev names one state of a workload's specification, for compare-and-set. It
// means nothing outside the driver that gave it. The empty Rev fits any state.
type Rev string

// Status is what the platform says of a workload. Ready, Starting and Pending
// are counts of replicas that are meant to run; those on their way out are in
// none of them. Their sum may differ from Desired while the platform catches up.
type Status struct {
	Desired  int  `json:"desired"`            // asked for
	Ready    int  `json:"ready"`              // able to serve
	Starting int  `json:"starting,omitempty"` // placed on a node, not yet serving
	Pending  int  `json:"pending,omitempty"`  // not placed: no node fits, or not yet looked at
	Failing  int  `json:"failing,omitempty"`  // of those not ready, those that ended in failure twice or more of late
	Updating bool `json:"updating,omitempty"` // a rollout or rollback is under way
	Rev      Rev  `json:"rev,omitempty"`
}

// A Driver speaks to one platform. Its methods may be called concurrently,
// return soon after ctx ends, and never retry.
type Driver interface {
	// Status reports on w, or an error that wraps ErrNotFound or ErrRefused.
	Status(ctx context.Context, w Workload) (Status, error)
	// Scale asks for n replicas of w and returns once the platform has
	// accepted, not once they are ready. It changes the count and nothing
	// else: replicas that stay are not restarted. Asking for what is asked
	// already changes nothing. If rev is not empty and w has changed since,
	// nothing is done and the error wraps ErrConflict.
	//
	// epoch is that of the lease under which the caller leads, 0 if there is
	// only one who could. It is written with the count; if w was written under
	// a higher one, nothing is done and the error wraps ErrFenced.
	Scale(ctx context.Context, w Workload, n int, rev Rev, epoch uint64) error
}

// A Lister is a Driver that can report on many workloads with one question. The
// scaler asks it instead of Status where several are due at once.
type Lister interface {
	// StatusAll reports on ws, in their order: what Status would say of each. An
	// error means that nothing is known of any.
	StatusAll(ctx context.Context, ws []Workload) ([]Reply, error)
}

// Reply is what Status would return.
type Reply struct {
	Status Status
	Err    error
}

// A Watcher is a Driver that hears of changes by itself.
type Watcher interface {
	// Watch calls changed for each workload that may have changed, with the zero
	// Workload if any may, until ctx ends or the platform can be heard no more,
	// and returns why. It begins with any, for what happened before it listened.
	// changed does not block. Changes that no one tells, such as
	// a replica's becoming ready, may be left out.
	Watch(ctx context.Context, changed func(Workload)) error
}
