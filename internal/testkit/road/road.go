// Package road is a way between two processes that a test can cut and mend.
package road

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Road is the way to an address by way of another.
type Road struct {
	Address string // whoever connects there comes out at the other end

	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

// New opens a road. It is closed with the test.
func New(t *testing.T, to string) *Road {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Road{Address: l.Addr().String()}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // closed below
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			r.take(in, out)
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				open.Go(func() {
					_, _ = io.Copy(way[0], way[1]) // whichever ends first ends both
					_ = in.Close()
					_ = out.Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.Cut()
		open.Wait()
	})
	return r
}

func (r *Road) take(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, conns...)
	if r.shut {
		r.close()
	}
}

// Cut ends all connections, and those to come until it is mended.
func (r *Road) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = true
	r.close()
}

func (r *Road) close() {
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// Mend lets connections through again.
func (r *Road) Mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = false
}
