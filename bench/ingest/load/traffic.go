package main

import (
	"context"
	"net"
	"sync/atomic"
)

// traffic counts what goes over connections.
type traffic struct{ out, in atomic.Int64 }

func (t *traffic) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &counted{c, t}, nil
}

type counted struct {
	net.Conn
	*traffic
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.Add(int64(n))
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.Add(int64(n))
	return n, err
}

// listener counts what goes over the connections that it accepts.
type listener struct {
	net.Listener
	*traffic
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &counted{c, l.traffic}, nil
}
