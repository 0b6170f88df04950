// Package port finds addresses for processes that must be told where to listen
// before they do.
package port

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// The kernel gives ports above these to whoever does not ask for one. Of two that it
// has given, each one closed again, one in 7,000 is the other: it has given odd ports
// of the lower half of 28,000.
const (
	first   = 16384
	process = 256 // ports, so that processes side by side have others
	most    = 48  // processes
)

var next atomic.Int64

// Free is an address of this machine where nobody listens. None of the next 200
// calls returns it, so that it may also be left for a while and taken again.
func Free(t testing.TB) string {
	t.Helper()
	for range process {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+os.Getpid()%most*process+int(next.Add(1))%process))
		if err != nil {
			continue // somebody does
		}
		address := l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("there is no free port")
	return ""
}
