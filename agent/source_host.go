package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// HostOptions say what is read of the node besides what NodeSource reads.
type HostOptions struct {
	Roots node.Roots
	Lanes Lanes // third: everything; fourth, or four times as seldom if that is 0: file systems, disks, the distribution
	Jobs  Jobs

	// File systems left out, as node_exporter leaves them out if nil.
	ExcludeMountPoints, ExcludeFSTypes *regexp.Regexp

	TextfileDir string // metrics that jobs leave behind as *.prom; none if empty
	Processes   bool   // count processes by state, which costs 10 µs each
	Version     string // of this program, for node_exporter_build_info; not told if empty
}

// HostSource reads what of the node changes slowly, under the names of
// node_exporter: file systems, network protocols, sockets, the clock, limits
// of the kernel, sensors, and a directory of text files.
//
// What may block, it reads in goroutines of its own, one for each kind and a
// bounded number for file systems, and a tick takes what they have brought
// since. So what the tick adds is up to one interval older than its batch, and
// a file server that is away costs the series of its own mounts. Close waits
// for those goroutines, but no longer than a second: some may never return.
func HostSource(opts HostOptions) Source {
	return newHostSource(opts, node.Statfs, node.ReadTimex)
}

// leave is how long Close waits for errands.
const leave = time.Second

type hostSource struct {
	parts  []hostReading
	avail  *available
	done   *collectors
	rare   uint64 // the lane of avail and done
	jobs   Jobs
	closed chan struct{}
}

// hostReading is one thing read of the node, at its lane.
type hostReading struct {
	name string // in plimsoll_agent_source_available; empty if it is nothing that could be missing
	lane uint64
	part hostPart

	looked bool // avail knows it
}

// hostPart reads one thing.
type hostPart interface {
	// tick adds what is there to be added, and if due, sees to it that there
	// is something to add, now or at a later tick. It tells whether it looked,
	// and the error is of that look.
	tick(b *sample.Batch, due bool) (looked bool, err error)
	// took is how long the last look took.
	took() time.Duration
	// wait waits until nothing is under way, or over is closed.
	wait(over <-chan struct{})
}

func newHostSource(opts HostOptions, statfs func(string) (node.Space, error), timex func() (node.Timex, error)) *hostSource {
	r, third := opts.Roots, max(opts.Lanes.Third, 1)
	fourth := cmp.Or(opts.Lanes.Fourth, 4*third)
	s := &hostSource{rare: third, jobs: opts.Jobs, closed: make(chan struct{})}
	files := newHostFilesystems(opts, statfs, s.closed)
	s.parts = []hostReading{
		{name: "proc/net/snmp", lane: third, part: now(protocols(r, node.SNMP), newHostKeyed(snmpSeries()))},
		{name: "proc/net/netstat", lane: third, part: now(protocols(r, node.Netstat), newHostKeyed(netstatSeries()))},
		{name: "proc/net/snmp6", lane: third, part: now(protocols(r, node.SNMP6), newHostKeyed(snmp6Series()))},
		{name: "proc/net/sockstat", lane: third, part: now(r.Sockets, newHostKeyed(sockstatSeries()))},
		{name: "proc/net/sockstat6", lane: third, part: now(r.Sockets6, newHostKeyed(sockstat6Series()))},
		{name: "proc/net/softnet_stat", lane: third, part: now(r.Softnet, newHostSoftnet())},
		{name: "sys/class/net", lane: third, part: later(noHandlers(r), newHostNoHandlers())},
		{name: "proc/net/arp", lane: third, part: later(r.Neighbours, newHostNeighbours())},
		{name: "proc/net/udp", lane: third, part: later(udpQueues(r), newHostUDPQueues())},
		{name: "proc/sys/net/netfilter", lane: third, part: now(conntrack(r), newHostConntrack())},
		{name: "proc/sys/fs/file-nr", lane: third, part: now(openFiles(r), newHostFiles())},
		{name: "proc/sys/kernel/random", lane: third, part: now(entropy(r), newHostEntropy())},
		{name: "proc/schedstat", lane: third, part: now(r.Schedules, newHostSchedules())},
		{name: "adjtimex", lane: third, part: now(timexValues(timex), newHostTimex())},
		{name: "sys/devices/system/cpu/cpufreq", lane: third, part: later(r.Frequencies, newHostFrequencies())},
		{name: "sys/class/hwmon", lane: third, part: later(r.Chips, newHostChips())},
		{name: "sys/block", lane: fourth, part: later(r.BlockDevices, newHostDisks())},
		{name: "etc/os-release", lane: fourth, part: later(r.OSRelease, newHostOS())},
		{name: "proc/1/mountinfo", lane: fourth, part: later(files.read, files)},
		{lane: third, part: now(files.health, newHostFilesystemHealth())},
	}
	if opts.Processes {
		s.parts = append(s.parts, hostReading{name: "proc/PID/stat", lane: third, part: later(processes(r), newHostProcesses())})
	}
	if opts.TextfileDir != "" {
		s.parts = append(s.parts, hostReading{name: "textfile", lane: third, part: later(textfiles(opts.TextfileDir), newHostTextfiles())})
	}
	if opts.Version != "" {
		s.parts = append(s.parts, hostReading{lane: third, part: now(always, newHostBuild(opts.Version, runtime.Version()))})
	}
	var names []string
	for _, p := range s.parts {
		if p.name != "" {
			names = append(names, p.name)
		}
	}
	s.avail = newAvailable(names, third)
	s.done = newCollectors(names, third, opts.Jobs)
	return s
}

func (s *hostSource) Name() string { return "host" }

// Collect never waits, so it does not look at ctx.
func (s *hostSource) Collect(_ context.Context, b *sample.Batch) error {
	var errs []error
	at := 0 // in avail
	for i := range s.parts {
		p := &s.parts[i]
		before := len(b.Columns)
		looked, err := p.part.tick(b, due(p.lane, b.Tick, 0))
		enter(b.Columns[before:], p.lane, s.jobs)
		if err != nil && !missing(err) {
			if p.name != "" {
				err = fmt.Errorf("%s: %w", p.name, err)
			}
			errs = append(errs, err)
		}
		if p.name == "" {
			continue
		}
		if looked {
			p.looked, s.avail.ok[at] = true, err == nil
			s.done.note(at, err, p.part.took())
		}
		at++
	}
	if due(s.rare, b.Tick, 0) {
		s.tellAvailable(b)
		s.done.add(b)
	}
	return errors.Join(errs...)
}

// tellAvailable leaves out what has not been looked at: at the first tick that
// is all that is brought later.
func (s *hostSource) tellAvailable(b *sample.Batch) {
	s.avail.add(b)
	v, at := b.Columns[len(b.Columns)-1].Values, 0
	for _, p := range s.parts {
		if p.name == "" {
			continue
		}
		if !p.looked {
			v[at] = sample.Absent
		}
		at++
	}
}

// Close ends what is under way, as far as it can be ended.
func (s *hostSource) Close() error {
	close(s.closed)
	over := make(chan struct{})
	timer := time.AfterFunc(leave, func() { close(over) })
	defer timer.Stop()
	for _, p := range s.parts {
		p.part.wait(over)
	}
	return nil
}
