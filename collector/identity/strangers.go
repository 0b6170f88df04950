package identity

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// mostStrangers is how many connections may have proven nothing yet, and
	// mostOfOne how many of them may be from one address. Nodes that are known come
	// back in turns where more of them connect at once.
	mostStrangers = 2048
	mostOfOne     = 256
)

var errCrowded = errors.New("too many connections have proven nothing yet")

// strangers counts the connections that have proven nothing yet. One address, with
// all that is behind it, cannot take the room of others.
type strangers struct {
	mu  sync.Mutex
	all int
	of  map[netip.Addr]int
}

// enter takes note of one more, unless there are too many, and returns how it goes.
func (s *strangers) enter(conn net.Conn) (gone func(), err error) {
	from := addressOf(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= mostStrangers || s.of[from] >= mostOfOne {
		return nil, errCrowded
	}
	if s.of == nil {
		s.of = make(map[netip.Addr]int)
	}
	s.all++
	s.of[from]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.of[from]--; s.of[from] == 0 {
			delete(s.of, from)
		}
	}), nil
}

// addressOf is what a connection is from. Of IPv6 one may have a network of 64 bits,
// which counts as one address.
func addressOf(conn net.Conn) netip.Addr {
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	from := remote.Addr().Unmap().WithZone("")
	if from.Is6() {
		network, _ := from.Prefix(64)
		return network.Addr()
	}
	return from
}

func (s *strangers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// collectors are what is told of them.
func (s *strangers) collectors() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help}, value)
	}
	return []prometheus.Collector{
		gauge("strangers", "Connections that have proven nothing yet.", func() float64 { return float64(s.count()) }),
		gauge("strangers_limit", "How many such connections there may be; more are closed at once.", func() float64 { return mostStrangers }),
	}
}

// stranger is a connection that has proven nothing yet, with the end of its time.
// Once closed it is not kept until then: strangers can make many of them.
type stranger struct {
	net.Conn
	timeUp *time.Timer
	gone   func()
}

// newStranger limits the time of a connection.
func newStranger(conn net.Conn, gone func()) *stranger {
	timeUp := time.AfterFunc(strangerLimit, func() {
		gone()
		_ = conn.Close()
	})
	return &stranger{conn, timeUp, gone}
}

// Close implements net.Conn.
func (s *stranger) Close() error {
	s.forget()
	return s.Conn.Close()
}

// forget lets it live, or end, as any other.
func (s *stranger) forget() {
	s.timeUp.Stop()
	s.gone()
}
