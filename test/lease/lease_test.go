// Package lease runs collectors that want to lead against the agents that choose,
// over real gRPC and a network that loses, delays and parts.
package lease

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/plimsoll-io/plimsoll/agent/vote"
	"github.com/plimsoll-io/plimsoll/collector/lease"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const nodes = 5

// world is agents, collectors, and the network between each two of them.
type world struct {
	t          *testing.T
	agents     [nodes]*agent
	collectors map[string]*candidate
	listeners  map[string]*atomic.Pointer[bufconn.Listener]
	links      map[[2]string]*link // by agent and collector
	rand       *rand.Rand
}

// link is a way between an agent and a collector.
type link struct {
	cut  atomic.Bool  // nothing gets through
	slow atomic.Int64 // so many nanoseconds more for what the agent says
}

type agent struct {
	name string
	stop func()
}

type candidate struct {
	*lease.Lease
	stop func(kill bool)
}

func newWorld(t *testing.T, seed uint64, collectors ...string) *world {
	w := &world{t: t, collectors: map[string]*candidate{}, listeners: map[string]*atomic.Pointer[bufconn.Listener]{}, links: map[[2]string]*link{}, rand: rand.New(rand.NewPCG(seed, 0))}
	for i := range w.agents {
		for _, c := range collectors {
			w.links[[2]string{name(i), c}] = new(link)
		}
	}
	for _, c := range collectors {
		w.listeners[c] = new(atomic.Pointer[bufconn.Listener])
		w.startCollector(c)
	}
	for i := range w.agents {
		w.startAgent(i)
	}
	t.Cleanup(func() {
		for _, a := range w.agents {
			a.stop()
		}
		for _, c := range w.collectors {
			c.stop(true)
		}
	})
	return w
}

func name(i int) string { return fmt.Sprintf("node-%d", i) }

// all is what a collector finds in its store: every node there is.
func all(context.Context) ([]string, error) {
	var names []string
	for i := range nodes {
		names = append(names, name(i))
	}
	return names, nil
}

func (w *world) startCollector(name string) {
	w.t.Helper()
	l, err := lease.New(lease.Options{Name: name, Known: all, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	c, listener := &candidate{Lease: l}, bufconn.Listen(1<<16)
	w.listeners[name].Store(listener)
	s := grpc.NewServer()
	l.Register(s)
	ctx, cancel := context.WithCancel(context.Background())
	served, ran := make(chan struct{}), make(chan struct{})
	go func() { defer close(served); _ = s.Serve(listener) }()
	go func() { defer close(ran); _ = l.Run(ctx) }()
	stopped := false
	c.stop = func(kill bool) {
		if stopped {
			return
		}
		stopped = true
		if kill { // nothing is given back
			s.Stop()
		}
		cancel()
		<-ran
		s.GracefulStop()
		<-served
	}
	w.collectors[name] = c
}

func (w *world) startAgent(i int) {
	w.t.Helper()
	v := vote.NewVoter(name(i), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var ended []chan struct{}
	var conns []*grpc.ClientConn
	for c := range w.listeners {
		conn := w.dial(c)
		conns = append(conns, conn)
		done := make(chan struct{})
		ended = append(ended, done)
		way := &way{conn, w.links[[2]string{name(i), c}], rand.New(rand.NewPCG(w.rand.Uint64(), 0))}
		go func() { defer close(done); _ = v.Run(ctx, way) }()
	}
	w.agents[i] = &agent{name: name(i), stop: func() {
		cancel()
		for j, done := range ended {
			<-done
			conns[j].Close()
		}
	}}
}

// way is a connection on which messages are late, and get lost while it is cut.
type way struct {
	grpc.ClientConnInterface
	*link
	rand *rand.Rand
}

func (w *way) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if w.cut.Load() {
		return nil, io.ErrUnexpectedEOF
	}
	s, err := w.ClientConnInterface.NewStream(ctx, d, method, opts...)
	return &lossy{s, w}, err
}

type lossy struct {
	grpc.ClientStream
	way *way
}

func (s *lossy) late() { <-time.After(time.Duration(s.way.rand.IntN(400)) * time.Millisecond) }

func (s *lossy) SendMsg(m any) error {
	s.late()
	<-time.After(time.Duration(s.way.slow.Load()))
	if s.way.cut.Load() {
		return nil
	}
	return s.ClientStream.SendMsg(m)
}

func (s *lossy) RecvMsg(m any) error {
	for {
		err := s.ClientStream.RecvMsg(m)
		s.late()
		if err != nil || !s.way.cut.Load() {
			return err
		}
	}
}

// leaders are those that would act now.
func (w *world) leaders() (names []string) {
	for name, c := range w.collectors {
		if _, held := c.Held(); held {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// watch lets d pass and looks at every 100 ms of it that no two lead. It returns
// how long it took until one does, or d.
func (w *world) watch(d time.Duration) time.Duration {
	w.t.Helper()
	led := d
	for began := time.Now(); time.Since(began) < d; <-time.After(100 * time.Millisecond) {
		switch leaders := w.leaders(); {
		case len(leaders) > 1:
			w.t.Fatalf("%v lead at the same time", leaders)
		case len(leaders) == 1:
			led = min(led, time.Since(began))
		}
	}
	return led
}

func (w *world) part(agents []int, collector string, cut bool) {
	for _, i := range agents {
		w.links[[2]string{name(i), collector}].cut.Store(cut)
	}
}

var everyone = []int{0, 1, 2, 3, 4}

func TestOneOfTwoCollectorsLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, "a", "b")
		w.watch(30 * time.Second)
		leaders := w.leaders()
		if len(leaders) != 1 {
			t.Fatalf("after 30 s %v lead", leaders)
		}
		w.watch(time.Minute)
		if now := w.leaders(); !slices.Equal(now, leaders) {
			t.Errorf("%v led and now %v, for no reason", leaders, now)
		}
		follower := w.collectors[map[string]string{"a": "b", "b": "a"}[leaders[0]]]
		if s := follower.State(); s.Leader != w.collectors[leaders[0]].State().Name || s.Known != nodes || s.Voters != nodes {
			t.Errorf("who does not lead says %+v", s)
		}
	})
}

func TestTheOtherLeadsSoonAfterALeaderIsKilled(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, "a", "b")
			w.watch(30 * time.Second)
			first := w.leaders()[0]
			epoch, _ := w.collectors[first].Held()
			w.collectors[first].stop(true)
			delete(w.collectors, first)
			took := w.watch(15 * time.Second)
			if limit := 7 * time.Second; took > limit { // the TTL, two rounds and two ways
				t.Errorf("it took the other %v to lead, want %v at most", took, limit)
			}
			for _, c := range w.collectors {
				if next, held := c.Held(); !held || next <= epoch {
					t.Errorf("it leads: %v, in epoch %d after %d", held, next, epoch)
				}
			}
		})
	}
}

func TestACollectorThatJustCameBackLeadsNoLaterThanAnyOther(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, "a", "b")
			w.watch(30 * time.Second)
			first := w.leaders()[0]
			other := map[string]string{"a": "b", "b": "a"}[first]
			w.collectors[other].stop(true)
			w.startCollector(other)
			w.watch(5 * time.Second)
			if s := w.collectors[other].State(); s.Leader != w.collectors[first].State().Name {
				t.Errorf("5 s after its start it says %+v", s)
			}
			w.watch(6 * time.Second)
			w.collectors[first].stop(true)
			delete(w.collectors, first)
			if took := w.watch(15 * time.Second); took > 7*time.Second {
				t.Errorf("it took the other %v to lead", took)
			}
		})
	}
}

func TestALeaderThatEndsOnPurposeIsFollowedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, "a", "b")
		w.watch(30 * time.Second)
		first := w.leaders()[0]
		w.collectors[first].stop(false)
		delete(w.collectors, first)
		if took := w.watch(15 * time.Second); took > 4*time.Second {
			t.Errorf("it took the other %v to lead though the lease was given back", took)
		}
	})
}

func TestOfAPartitionOnlyTheSideWithMostNodesLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, "a", "b")
		w.watch(30 * time.Second)
		w.part([]int{0, 1, 2}, "a", true)
		w.part([]int{3, 4}, "b", true)
		w.watch(30 * time.Second)
		if leaders := w.leaders(); !slices.Equal(leaders, []string{"b"}) {
			t.Errorf("b sees three nodes of five and a two, but %v lead", leaders)
		}
		w.part([]int{0, 1}, "b", true)
		w.watch(30 * time.Second)
		if leaders := w.leaders(); len(leaders) != 0 {
			t.Errorf("nobody sees more than half of the nodes, but %v lead", leaders)
		}
		w.part(everyone, "a", false)
		w.part(everyone, "b", false)
		if took := w.watch(20 * time.Second); took > 10*time.Second {
			t.Errorf("%v after all was well again", took)
		}
	})
}

func TestAgentsThatRestartDoNotForgetWhoLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6, "a", "b")
		w.watch(30 * time.Second)
		first := w.leaders()[0]
		w.part([]int{0, 1, 2}, first, true) // they are another's to ask
		for i := range 3 {
			w.agents[i].stop()
			w.startAgent(i)
		}
		w.watch(30 * time.Second)
		if leaders := w.leaders(); len(leaders) != 1 || leaders[0] == first {
			t.Errorf("%v lead, want the one that sees three of five", leaders)
		}
	})
}

// A lease counts from the question and not from the answer, which may have been
// under way for most of its time.
func TestAnswersThatComeLateDoNotMakeALeaseLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 7, "a", "b")
		w.watch(30 * time.Second)
		first := w.leaders()[0]
		for i := range nodes {
			w.links[[2]string{name(i), first}].slow.Store(int64(2 * time.Second))
		}
		w.watch(time.Minute)
	})
}

// What may happen does, for three minutes; then all is well again.
func TestWhateverHappensNoTwoLeadAndOneDoesInTheEnd(t *testing.T) {
	seeds := uint64(10)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, seed, "a", "b", "c")
				names := []string{"a", "b", "c"}
				for began := time.Now(); time.Since(began) < 3*time.Minute; {
					i, c := w.rand.IntN(nodes), names[w.rand.IntN(len(names))]
					switch w.rand.IntN(5) {
					case 0, 1:
						w.part([]int{i}, c, w.rand.IntN(2) == 0)
					case 2:
						w.agents[i].stop()
						w.startAgent(i)
					case 3:
						w.collectors[c].stop(w.rand.IntN(2) == 0)
						w.startCollector(c)
					case 4:
						w.part(everyone, c, w.rand.IntN(2) == 0)
					}
					w.watch(time.Duration(w.rand.IntN(8000)) * time.Millisecond)
				}
				for _, c := range names {
					w.part(everyone, c, false)
				}
				if took := w.watch(40 * time.Second); took > 25*time.Second {
					t.Errorf("%v until one led after all was well again", took)
				}
				if leaders := w.leaders(); len(leaders) != 1 {
					t.Errorf("%v lead in the end", leaders)
				}
			})
		})
	}
}

// dial opens a connection to a collector as an agent would.
func (w *world) dial(collector string) *grpc.ClientConn {
	w.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+collector,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return w.listeners[collector].Load().DialContext(ctx)
		}), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// One agent says what none may, to both collectors, for as long as they listen.
// That it lends itself to both at once is beyond what a majority can bear: then
// the epoch of what they write decides.
func TestAnAgentThatLiesKeepsTheOthersFromNothing(t *testing.T) {
	for what, lie := range map[string]*plimsollv1.VoteRequest{
		"an epoch in ten years":      {Epoch: 10 * 365 * 24 * 60 * 60},
		"the last epoch":             {Epoch: 1<<64 - 1 - 1<<40},
		"a holder that there is not": {Holder: "nobody", RemainingMs: 1<<32 - 1},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 8, "a", "b")
				w.agents[4].stop()
				for c := range w.listeners {
					conn := w.dial(c)
					ctx, cancel := context.WithCancel(t.Context())
					done := make(chan struct{})
					go func() {
						defer close(done)
						for ctx.Err() == nil {
							liar(ctx, conn, lie)
							<-time.After(time.Second)
						}
					}()
					defer func() { cancel(); <-done; conn.Close() }()
				}
				w.watch(30 * time.Second)
				leaders := w.leaders()
				w.watch(time.Minute)
				if now := w.leaders(); len(leaders) != 1 || !slices.Equal(now, leaders) {
					t.Errorf("%v led, and now %v", leaders, now)
				}
			})
		})
	}
}

func liar(ctx context.Context, conn *grpc.ClientConn, lie *plimsollv1.VoteRequest) {
	stream, err := plimsollv1.NewLeaseServiceClient(conn).Vote(ctx)
	if err != nil {
		return
	}
	_ = stream.Send(&plimsollv1.VoteRequest{Node: name(4)})
	for {
		ask, err := stream.Recv()
		if err != nil {
			return
		}
		_ = stream.Send(&plimsollv1.VoteRequest{
			Round: ask.GetRound(), Epoch: uint64(time.Now().Unix()) + lie.GetEpoch(),
			Holder: lie.GetHolder(), RemainingMs: lie.GetRemainingMs(),
		})
	}
}

func TestAStreamThatSaysNothingIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 9, "a")
		conn := w.dial("a")
		defer conn.Close()
		silent := func() grpc.BidiStreamingClient[plimsollv1.VoteRequest, plimsollv1.VoteResponse] {
			stream, err := plimsollv1.NewLeaseServiceClient(conn).Vote(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return stream
		}
		began := time.Now()
		if _, err := silent().Recv(); status.Code(err) != codes.DeadlineExceeded || time.Since(began) > 15*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		last := silent()
		<-time.After(time.Second)
		w.collectors["a"].stop(false)
		delete(w.collectors, "a")
		if _, err := last.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("of a collector that ends: %v", err)
		}
	})
}
