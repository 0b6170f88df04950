package scrape

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Reason is why a scrape failed, a sample was dropped or a target was refused.
type Reason uint8

// Why scrapes fail: the series of the target end, and it is not up.
const (
	Gone        Reason = iota // no process is in the container, or none that the agent can see
	Forbidden                 // the agent may not enter its network
	HostNetwork               // it has no network of its own
	Unreachable               // nobody answers at the port
	Timeout                   // it took too long, whatever it was
	Redirect                  // to elsewhere, which is never followed
	Status                    // another than 200
	Encoding                  // one that was not asked for
	TooLarge                  // the body
	Broken                    // the answer ended early, or is no HTTP
	Malformed                 // no exposition
	failures
)

// Why samples are dropped from a scrape that did not fail.
const (
	TargetLimit Reason = iota + failures // series of one target
	NodeLimit                            // series of all targets
	Churn                                // series that come and go
	ManyLabels                           // of a series
	Length                               // of a name or a value
	Name                                 // one that Prometheus' habit does not allow, or that is the agent's to use
	Duplicate                            // of a series in the same scrape
	Dated                                // has a time of its own that is not now
	drops
)

// Why nothing is asked of a target.
const (
	Mistake Reason = iota + drops // in its labels
	ManyTargets
	Busy // too many answers were being read; this one scrape is left out
	reasons
)

func (r Reason) String() string {
	return [reasons]string{
		"gone", "forbidden", "host_network", "unreachable", "timeout", "redirect", "status", "encoding", "too_large", "broken", "malformed",
		"target_limit", "node_limit", "churn", "labels", "length", "name", "duplicate", "dated",
		"mistake", "too_many_targets", "busy",
	}[r]
}

// Failures are why scrapes fail.
func Failures() []Reason { return between(0, failures) }

// Drops are why samples are dropped.
func Drops() []Reason { return between(failures, drops) }

// Refusals are why nothing is asked of a target.
func Refusals() []Reason { return between(drops, reasons) }

func between(from, to Reason) (list []Reason) {
	for r := from; r < to; r++ {
		list = append(list, r)
	}
	return list
}

// counts are what happened for each reason.
type counts [reasons]atomic.Uint64

// failure is an error whose reason is known.
type failure struct {
	reason Reason
	err    error
}

func (f *failure) Error() string { return f.reason.String() + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(r Reason, err error) error { return &failure{r, err} }

// reasonOf finds the reason of an error, which is otherwise if it has none.
func reasonOf(err error, otherwise Reason) Reason {
	f := (*failure)(nil)
	switch {
	case errors.As(err, &f):
		return f.reason
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.Is(err, os.ErrPermission):
		return Forbidden
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ESRCH):
		return Gone
	}
	return otherwise
}
