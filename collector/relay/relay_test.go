package relay

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a relay to an address until the test ends.
func start(t *testing.T, to string, most int, change ...func(*Relay)) (*Relay, context.CancelFunc) {
	t.Helper()
	r, err := Listen(t.Context(), Options{Address: "127.0.0.1:0", Upstream: to, MaxConnections: most})
	must(t, err)
	for _, c := range change {
		c(r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	return r, cancel
}

// listen accepts connections and hands them over.
func listen(t *testing.T) (string, <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	conns := make(chan net.Conn, 100)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	})
	t.Cleanup(func() {
		l.Close()
		done.Wait()
		close(conns)
		for c := range conns {
			c.Close()
		}
	})
	return l.Addr().String(), conns
}

func dial(t *testing.T, r *Relay) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.Address())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func ends(t *testing.T, c net.Conn) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := c.Read(make([]byte, 1))
	if timeout, ok := errors.AsType[net.Error](err); err == nil || ok && timeout.Timeout() {
		t.Errorf("the connection stays open: %v", err)
	}
}

func TestGRPCGoesThroughAsItIs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })

	r, _ := start(t, l.Addr().String(), 0)
	client, err := grpc.NewClient(r.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer client.Close()
	answer, err := grpc_health_v1.NewHealthClient(client).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	must(t, err)
	if answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("status %v", answer.GetStatus())
	}
}

func TestBytesArriveInBothDirectionsUnchanged(t *testing.T) {
	to, conns := listen(t)
	r, _ := start(t, to, 0)
	agent := dial(t, r)
	behind := <-conns
	up, down := make([]byte, 3<<20), make([]byte, 1<<20)
	_, _ = rand.Read(up)
	_, _ = rand.Read(down)
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = agent.Write(up) })
	sending.Go(func() { _, _ = behind.Write(down) })
	gotUp, gotDown := make([]byte, len(up)), make([]byte, len(down))
	_, err := io.ReadFull(behind, gotUp)
	must(t, err)
	_, err = io.ReadFull(agent, gotDown)
	must(t, err)
	sending.Wait()
	if !bytes.Equal(up, gotUp) || !bytes.Equal(down, gotDown) {
		t.Error("bytes were changed")
	}
}

func TestTheEndOfOneSideEndsTheOther(t *testing.T) {
	to, conns := listen(t)
	r, _ := start(t, to, 0)
	agent := dial(t, r)
	behind := <-conns
	agent.Close()
	ends(t, behind)

	agent = dial(t, r)
	behind = <-conns
	behind.Close()
	ends(t, agent)
}

func TestACollectorThatIsAwayEndsTheConnection(t *testing.T) {
	r, _ := start(t, "127.0.0.1:1", 0)
	ends(t, dial(t, r))
	if n := testutil.ToFloat64(r.metrics.refused.WithLabelValues("unreachable")); n != 1 {
		t.Errorf("%v counted", n)
	}
}

func TestOneTooManyIsClosedAndCounted(t *testing.T) {
	to, conns := listen(t)
	r, _ := start(t, to, 2)
	first := dial(t, r)
	<-conns
	dial(t, r)
	behind := <-conns
	ends(t, dial(t, r))
	if n := testutil.ToFloat64(r.metrics.refused.WithLabelValues("full")); n != 1 {
		t.Errorf("%v counted", n)
	}
	_ = behind
	first.Close() // and when there is room again, the next is taken
	for {
		c := dial(t, r)
		must(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		_, err := c.Read(make([]byte, 1))
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return
		}
	}
}

// full is a listener of a process that has no descriptor left, at first.
type full struct {
	net.Listener
	told bool
}

func (f *full) Accept() (net.Conn, error) {
	if !f.told {
		f.told = true
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestAMomentWithoutDescriptorsDoesNotEndTheRelay(t *testing.T) {
	to, conns := listen(t)
	r, _ := start(t, to, 0, func(r *Relay) { r.listener = &full{Listener: r.listener} })
	dial(t, r)
	<-conns
	if n := testutil.ToFloat64(r.metrics.refused.WithLabelValues("failed")); n != 1 {
		t.Errorf("%v counted", n)
	}
}

func TestTheEndOfTheRelayEndsAllConnections(t *testing.T) {
	to, conns := listen(t)
	r, cancel := start(t, to, 0)
	agent := dial(t, r)
	behind := <-conns
	cancel()
	ends(t, agent)
	ends(t, behind)
}

func TestAddressesThatCannotWorkSayWhy(t *testing.T) {
	for _, o := range []Options{{Address: "127.0.0.1:0", Upstream: "nowhere"}, {Address: "127.0.0.1:x", Upstream: "c:1"}} {
		if r, err := Listen(t.Context(), o); err == nil {
			r.Close()
			t.Errorf("%+v: taken", o)
		}
	}
}
