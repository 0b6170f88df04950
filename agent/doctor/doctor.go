// Package doctor looks at a node as an agent would and tells what it could not
// read, what that costs, and the flag, mount, capability or setting that brings
// it:
//
//	discovery, for a moment ─ survey ─┬─ check ─┐
//	                                  ├─ check ─┼─ findings, in the order of checks
//	                                  └─ check ─┘
//
// It promises three things. A check tries what its source does and does not
// guess from a user id. It changes nothing: the one file that it makes, to see
// whether the spool could, it removes. And it ends: what does not answer, be it
// a mount, an engine or a driver, costs its own line.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/node"
)

// Options are the settings of the agent in whose place doctor looks. What is
// empty is off there, but for roots, which have their defaults.
type Options struct {
	Discover    discover.Options // where containers and their names are looked for; Log is not used
	Roots       node.Roots
	TextfileDir string
	// GPU are the arguments with which this program becomes the child that reads
	// GPUs; nil if it is not to.
	GPU       []string
	Disk      bool   // the writable layers of containers are measured
	Bursts    bool   // the kernel is asked to tell of pressure
	Scrape    bool   // containers that ask for it are scraped
	DataPath  string // where the spool is to be
	SpoolSize int64  // bytes that it may take
	Collector string // host:port
	Listeners []Listener

	// Limit is how long a check may take, and the look at containers that comes
	// before all checks half of it; 5 s if 0.
	Limit time.Duration
}

// Listener is an address on which the agent is to listen.
type Listener struct {
	Flag    string // that gives the address, without dashes
	Network string // "tcp" or "udp"
	Address string // host:port, or unix:// with a path; nowhere if empty
}

// Status is how a source fares.
type Status string

// The states of a source.
const (
	OK      Status = "ok"
	Limited Status = "limited" // a part of it is lacking, or it comes late
	Missing Status = "missing" // all of it is
	Off     Status = "off"     // it was turned off, or there is nothing of the kind here
)

// Finding is what came of a check.
type Finding struct {
	Source string `json:"source"` // that would read, as the agent's metrics name it
	Check  string `json:"check"`  // what was tried
	Status Status `json:"status"`
	Detail string `json:"detail,omitempty"` // what was seen
	Loss   string `json:"loss,omitempty"`   // which series or features; empty if OK or Off
	// Remedy is one line for each way to deploy, which begins with what the rest
	// of it is for: "docker run", "plimsoll agent", "Kubernetes:", "systemd:" or
	// "node:". Empty if there is nothing to be done.
	Remedy string `json:"remedy,omitempty"`
}

// Found tells whether a finding is one: something is lacking that could be had.
func (f Finding) Found() bool { return f.Status == Limited || f.Status == Missing }

// check is one thing that is tried.
type check struct {
	source, name string
	loss         string // unless the finding says something else
	look         func(context.Context, *exam) Finding
}

// checks are all there are, in the order in which they are told.
func checks() []check {
	return slices.Concat(cgroupChecks(), discoveryChecks(), nodeChecks(), containerChecks(), gpuChecks(), ownChecks())
}

// Run looks at everything, for some eight seconds at most.
func Run(ctx context.Context, opts Options) []Finding {
	opts.Limit = cmp.Or(opts.Limit, 5*time.Second)
	e := survey(ctx, opts)
	all := checks()
	findings := make([]Finding, len(all))
	var running sync.WaitGroup
	for i, c := range all {
		running.Go(func() { findings[i] = c.run(ctx, e) })
	}
	running.Wait()
	return findings
}

// grace is what a check is given to notice that its time is over.
const grace = 250 * time.Millisecond

// run does not wait for a check that hangs: nothing could end that.
func (c check) run(ctx context.Context, e *exam) Finding {
	ctx, cancel := context.WithTimeout(ctx, e.opts.Limit)
	defer cancel()
	done := make(chan Finding, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- missing(fmt.Sprintf("the check panicked: %v", p), remedy{})
			}
		}()
		done <- c.look(ctx, e)
	}()
	var f Finding
	select {
	case f = <-done:
	case <-ctx.Done():
		select {
		case f = <-done:
		case <-time.After(grace):
			f = missing(fmt.Sprintf("no answer within %v", e.opts.Limit), remedy{
				node: "find out what hangs: a mount whose server is away, an engine, a driver; dmesg and /proc/PID/stack may tell",
			})
		}
	}
	f.Source, f.Check = c.source, c.name
	if f.Found() {
		f.Loss = cmp.Or(f.Loss, c.loss)
	}
	return f
}

func ok(detail string) Finding  { return Finding{Status: OK, Detail: detail} }
func off(detail string) Finding { return Finding{Status: Off, Detail: detail} }

func limited(detail string, r remedy) Finding {
	return Finding{Status: Limited, Detail: detail, Remedy: r.String()}
}

func missing(detail string, r remedy) Finding {
	return Finding{Status: Missing, Detail: detail, Remedy: r.String()}
}

// costing says what is lost where that is not what the check says.
func (f Finding) costing(loss string) Finding {
	f.Loss = loss
	return f
}

// list is a list in words, of at most eight.
func list(names []string) string {
	const most = 8
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
