package otlp

import (
	"net"
	"sync"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

// guarded is a listener that turns away connections beyond a number.
type guarded struct {
	net.Listener
	feed *push.Feed
	mu   sync.Mutex
	open int
}

func (g *guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g.enter() {
			return &guest{Conn: c, leave: sync.OnceFunc(g.leave)}, nil
		}
		g.feed.Drop(push.Busy, 1)
		c.Close()
	}
}

func (g *guarded) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open >= maxConnections {
		return false
	}
	g.open++
	return true
}

func (g *guarded) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
}

// guest is a connection that says when it is closed.
type guest struct {
	net.Conn
	leave func()
}

func (c *guest) Close() error {
	c.leave()
	return c.Conn.Close()
}
