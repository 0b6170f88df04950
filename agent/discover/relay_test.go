package discover

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// relay stands between a watcher and an engine, and can be cut.
type relay struct {
	t      *testing.T
	engine string // its socket
	listen net.Listener
	wait   sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func startRelay(t *testing.T, host string) *relay {
	t.Helper()
	listen, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, engine: strings.TrimPrefix(host, "unix://"), listen: listen}
	r.wait.Go(r.accept)
	t.Cleanup(func() {
		listen.Close()
		r.set(true)
		r.wait.Wait()
	})
	return r
}

func (r *relay) host() string { return "unix://" + r.listen.Addr().String() }

// set cuts all connections and lets none through, or does again.
func (r *relay) set(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	if cut {
		for _, c := range r.conns {
			c.Close()
		}
		r.conns = nil
	}
}

func (r *relay) accept() {
	for {
		from, err := r.listen.Accept()
		if err != nil {
			return
		}
		r.connect(from)
	}
}

func (r *relay) connect(from net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to, err := net.Dial("unix", r.engine)
	if err != nil || r.cut {
		from.Close()
		if to != nil {
			to.Close()
		}
		return
	}
	r.conns = append(r.conns, from, to)
	pipe := func(a, b net.Conn) {
		_, _ = io.Copy(a, b)
		a.Close()
		b.Close()
	}
	r.wait.Go(func() { pipe(from, to) })
	r.wait.Go(func() { pipe(to, from) })
}
