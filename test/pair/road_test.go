package pair_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// road is the way to an address, which can be cut and mended.
type road struct {
	address, to string

	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

func newRoad(t *testing.T, to string) *road {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &road{address: l.Addr().String(), to: to}
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
		r.cut()
		open.Wait()
	})
	return r
}

func (r *road) take(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, conns...)
	if r.shut {
		r.close()
	}
}

// cut ends all connections, and those to come until it is mended.
func (r *road) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = true
	r.close()
}

func (r *road) close() {
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

func (r *road) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = false
}
