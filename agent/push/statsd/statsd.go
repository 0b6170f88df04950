package statsd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

// Options say where a listener listens. Table and Address are needed.
type Options struct {
	Table *push.Table
	// Address is host:port for UDP, or unix:///path for a datagram socket.
	Address string
	// Insecure allows addresses that other machines can reach.
	Insecure bool
	// Owner is the id of the container that a process is in, empty if it is in
	// none or gone, with the number that this process sees it by. It is asked of
	// senders on a Unix socket, now and then. Nobody is in a container if nil.
	Owner func(pid int) string
	// PerSecond is how many lines are taken in a second; 50,000 if 0.
	PerSecond int
	// TimerBuckets and ValueBuckets are the upper bounds of histograms of ms,
	// in seconds, and of h and d, in their own unit; ascending, without +Inf.
	TimerBuckets, ValueBuckets []float64
}

const (
	flag   = "statsd.listen-address"
	scheme = "unix://"
	job    = "statsd"

	// maxDatagram is as long as DogStatsD's clients make theirs.
	maxDatagram = 8192 // bytes
)

// DefaultTimerBuckets are those that Prometheus' clients have.
func DefaultTimerBuckets() []float64 {
	return []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// DefaultValueBuckets serve ratios, sizes and times in ms alike: two to each
// power of ten.
func DefaultValueBuckets() []float64 {
	return []float64{
		.001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 1e9,
	}
}

// Listener takes datagrams at one address.
type Listener struct {
	intake intake
	socket socket
	owners owners
	lost   uint32 // datagrams that the kernel had no room for, as it counts
}

// Listen binds the address. The caller either runs what it returns or closes it.
// The errors say what to do.
func Listen(opts Options) (*Listener, error) {
	if opts.Table == nil {
		return nil, errors.New("a statsd listener needs a table")
	}
	for _, bounds := range [][]float64{opts.TimerBuckets, opts.ValueBuckets} {
		if !push.Ascending(bounds) {
			return nil, fmt.Errorf("buckets %v: allowed are ascending numbers, without +Inf", bounds)
		}
	}
	if opts.TimerBuckets == nil {
		opts.TimerBuckets = DefaultTimerBuckets()
	}
	if opts.ValueBuckets == nil {
		opts.ValueBuckets = DefaultValueBuckets()
	}
	name, bind := "statsd-udp", func() (socket, error) { return listenUDP(opts.Address, opts.Insecure) }
	if path, ok := strings.CutPrefix(opts.Address, scheme); ok {
		name, bind = "statsd-unix", func() (socket, error) { return listenUnix(path) }
	}
	socket, err := bind()
	if err != nil {
		return nil, push.Bound(flag, opts.Address, err)
	}
	perSecond := cmp.Or(opts.PerSecond, 50_000)
	return &Listener{
		intake: intake{
			feed: opts.Table.Feed(name, perSecond, max(perSecond, maxDatagram)),
			seed: maphash.MakeSeed(), timers: opts.TimerBuckets, values: opts.ValueBuckets,
		},
		socket: socket,
		owners: owners{look: opts.Owner},
	}, nil
}

// Addr is where l listens.
func (l *Listener) Addr() string { return l.socket.addr }

// Close gives the address back. After Run that has been done.
func (l *Listener) Close() error { return l.socket.close() }

// Run takes datagrams until ctx ends.
func (l *Listener) Run(ctx context.Context) error {
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { _ = l.socket.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer, control := make([]byte, maxDatagram+1), make([]byte, 128)
	for {
		n, oob, err := l.socket.read(buffer, control)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive statsd metrics: %w", err)
		}
		l.take(buffer[:n], control[:oob])
	}
}

// take takes one datagram, with what the kernel says of it.
func (l *Listener) take(datagram, control []byte) {
	said := readControl(control)
	if said.overflow {
		l.intake.feed.Drop(push.QueueFull, int(said.lost-l.lost)) // the count may wrap
		l.lost = said.lost
	}
	if len(datagram) > maxDatagram {
		l.intake.feed.Drop(push.TooLarge, 1)
		return
	}
	l.intake.datagram(datagram, push.Origin{Job: job, Container: l.owners.of(said.pid, time.Now())})
}
