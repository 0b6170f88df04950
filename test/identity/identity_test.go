// Package identity runs an agent's identity against the authority of a collector,
// over real TLS.
package identity

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/plimsoll-io/plimsoll/agent/enroll"
	"github.com/plimsoll-io/plimsoll/collector/identity"
	"github.com/plimsoll-io/plimsoll/internal/join"
	"github.com/plimsoll-io/plimsoll/internal/secretfile"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// acker stands behind the gate in place of ingest: it acknowledges frames as they
// come, and remembers them.
type acker struct {
	plimsollv1.UnimplementedIngestServiceServer

	mu      sync.Mutex
	streams int
	seqs    map[string][]uint64 // by node
}

func (a *acker) Push(s grpc.BidiStreamingServer[plimsollv1.PushRequest, plimsollv1.PushResponse]) error {
	node, err := identity.Identify(s.Context())
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.streams++
	a.mu.Unlock()
	frames := make(chan uint64)
	go func() {
		defer close(frames)
		for {
			req, err := s.Recv()
			if err != nil {
				return
			}
			select {
			case frames <- req.GetFrame().GetSeq():
			case <-s.Context().Done():
				return
			}
		}
	}()
	for {
		select {
		case <-s.Context().Done():
			return s.Context().Err()
		case seq, ok := <-frames:
			if !ok {
				return nil
			}
			a.mu.Lock()
			a.seqs[node] = append(a.seqs[node], seq)
			a.mu.Unlock()
			if err := s.Send(&plimsollv1.PushResponse{Kind: &plimsollv1.PushResponse_Ack{Ack: &plimsollv1.Ack{Seq: seq}}}); err != nil {
				return err
			}
		}
	}
}

// vouching is a collector with an authority, without a store.
type vouching struct {
	t         *testing.T
	dir       string // of the collector and its nodes
	acker     *acker
	authority *identity.Authority
	server    *grpc.Server
	dial      []grpc.DialOption
	ended     sync.WaitGroup
}

// vouch serves at a listener; dial is how it is reached, if not by its address.
func vouch(t *testing.T, l net.Listener, lifetime time.Duration, dial ...grpc.DialOption) *vouching {
	t.Helper()
	dir, err := os.MkdirTemp("", "vouch") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:9901"
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		address = a.String()
	}
	v := &vouching{t: t, dir: dir, acker: &acker{seqs: map[string][]uint64{}}, dial: dial}
	v.authority, err = identity.Open(identity.Options{Dir: filepath.Join(dir, "authority"), Advertise: address, Lifetime: lifetime, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	v.server = grpc.NewServer(v.authority.ServerOptions()...)
	v.authority.Register(v.server)
	plimsollv1.RegisterIngestServiceServer(v.server, v.acker)
	v.ended.Go(func() { _ = v.server.Serve(l) })
	t.Cleanup(func() {
		v.server.Stop()
		v.ended.Wait()
		if err := errors.Join(v.authority.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return v
}

// begun counts the streams that the gate let in.
func (a *acker) begun() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.streams
}

// inMemory is how tests in virtual time connect.
func inMemory() (net.Listener, grpc.DialOption) {
	l := bufconn.Listen(1 << 20)
	return l, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })
}

func (v *vouching) invite(opts identity.TokenOptions) string {
	v.t.Helper()
	i, _, err := v.authority.CreateToken(v.t.Context(), opts)
	if err != nil {
		v.t.Fatal(err)
	}
	return i.Text()
}

// open opens the identity of a node of which the collector may have heard.
func (v *vouching) open(node string, joins ...string) enroll.Identities {
	v.t.Helper()
	ids, err := enroll.Open(enroll.Options{
		Dir: filepath.Join(v.dir, node), Node: node, Joins: joins, DialOptions: v.dial, Log: slog.New(slog.NewTextHandler(v.t.Output(), nil)),
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return ids
}

// start runs an identity until what it returns is called, which tells how it
// ended.
func start(t *testing.T, ids enroll.Identities) (end func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ids.Run(ctx) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

// during returns a context that ends after d, and has no deadline: gRPC would
// keep a deadline by timers of its own, which may be first.
func during(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(d, cancel)
	t.Cleanup(func() { timer.Stop() })
	return ctx
}

// stream streams frames, one each period until ctx ends, as agents do: what is
// not acknowledged is sent again over the next stream. It returns the longest
// that a frame has waited, and why streams ended.
func (v *vouching) stream(ctx context.Context, ids enroll.Identities, period time.Duration) (worst time.Duration, ends []error) {
	// A collector that was told of ctx's deadline might end a stream at that very
	// moment, and before ctx has ended.
	call, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()
	tick := time.NewTicker(period)
	defer tick.Stop()
	var seq uint64 = 1
	made := time.Now()
	for ctx.Err() == nil {
		err := func() error {
			address := ids.Addresses()[0]
			conn, err := grpc.NewClient(address, append(ids.DialOptions(address), v.dial...)...)
			if err != nil {
				return err
			}
			defer conn.Close()
			s, err := plimsollv1.NewIngestServiceClient(conn).Push(call)
			if err != nil {
				return err
			}
			for {
				if err := s.Send(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Frame{Frame: &plimsollv1.Frame{Seq: seq}}}); err != nil && !errors.Is(err, io.EOF) {
					return err
				}
				resp, err := s.Recv()
				if err != nil {
					return err
				}
				if resp.GetAck().GetSeq() != seq {
					return errors.New("another frame was acknowledged")
				}
				worst = max(worst, time.Since(made))
				seq++
				select {
				case <-ctx.Done():
					return ctx.Err()
				case made = <-tick.C:
				}
			}
		}()
		if ctx.Err() == nil {
			ends = append(ends, err)
			<-time.After(100 * time.Millisecond) // as agent/stream
		}
	}
	return worst, ends
}

// whole makes sure that no frame of a node is missing, and counts them.
func (v *vouching) whole(node string, least int) (frames int) {
	v.t.Helper()
	v.acker.mu.Lock()
	defer v.acker.mu.Unlock()
	seqs := v.acker.seqs[node]
	if len(seqs) < least {
		v.t.Errorf("%d frames of node %s arrived, want %d", len(seqs), node, least)
	}
	for i, seq := range seqs {
		if i > 0 && seq != seqs[i-1] && seq != seqs[i-1]+1 {
			v.t.Errorf("frame %d of node %s follows on frame %d", seq, node, seqs[i-1])
		}
	}
	return len(seqs)
}

// 90 s for ten minutes, and a day for forty days: 60 renewals.
func TestRenewalsLeaveNoGap(t *testing.T) {
	for name, tt := range map[string]struct {
		lifetime, lasts, period time.Duration
		streams                 int
	}{
		"ninety seconds": {90 * time.Second, 10 * time.Minute, time.Second, 6},
		"a day":          {24 * time.Hour, 40 * 24 * time.Hour, 10 * time.Minute, 40},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, dial := inMemory()
				v := vouch(t, l, tt.lifetime, dial)
				ids := v.open("a", v.invite(identity.TokenOptions{Node: "a"}))
				end := start(t, ids)
				ctx := during(t, tt.lasts)
				worst, ends := v.stream(ctx, ids, tt.period)
				if err := end(); err != nil {
					t.Error(err)
				}
				v.whole("a", int(tt.lasts/tt.period)-1)
				if worst > time.Second {
					t.Errorf("a frame was acknowledged after %v", worst)
				}
				// A stream lives as long as the certificate that it began with.
				if len(ends) < tt.streams-1 || len(ends) > 2*tt.streams {
					t.Errorf("%d streams ended, want about %d", len(ends), tt.streams)
				}
				for _, err := range ends {
					if status.Code(err) != codes.Aborted || !strings.Contains(err.Error(), "expired; connect again") {
						t.Errorf("a stream ended because of %v", err)
					}
				}
				if n := len(v.authority.List()); n > 4 {
					t.Errorf("%d certificates are remembered", n)
				}
			})
		})
	}
}

// The same over TCP and by the clock.
func TestCertificatesAreRenewedOverTheNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := vouch(t, l, 2*time.Second)
	ids := v.open("a", v.invite(identity.TokenOptions{}))
	end := start(t, ids)
	ctx, cancel := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() {
		defer cancel()
		for v.acker.begun() < 4 && t.Context().Err() == nil {
			<-time.After(50 * time.Millisecond)
		}
	})
	worst, ends := v.stream(ctx, ids, 50*time.Millisecond)
	watch.Wait()
	if err := end(); err != nil {
		t.Error(err)
	}
	v.whole("a", 20)
	t.Logf("%d streams, the slowest acknowledgement took %v", len(ends)+1, worst)
}

func TestAnAgentTrustsOnlyTheCollectorThatInvitedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dial := inMemory()
		v := vouch(t, l, time.Hour, dial)
		i, err := join.Parse(v.invite(identity.TokenOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		i.Pin[0] ^= 1
		end := start(t, v.open("a", i.Text()))
		synctest.Wait()
		if err := end(); err == nil || !strings.Contains(err.Error(), "not the collector that the join string is of") {
			t.Errorf("error %v", err)
		}
		if list := v.authority.List(); len(list) > 0 {
			t.Errorf("the token was sent: %v", list)
		}
		if _, err := os.Stat(filepath.Join(v.dir, "a")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("something was kept: %v", err)
		}
	})
}

// An agent that was joined to one collector does not talk to another that has
// taken its place.
func TestAnAgentKnowsAnImpostor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dial := inMemory()
		v := vouch(t, l, time.Hour, dial)
		ids := v.open("a", v.invite(identity.TokenOptions{}))
		end := start(t, ids)
		synctest.Wait()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		l2, dial2 := inMemory()
		impostor := vouch(t, l2, time.Hour, dial2)
		v.dial = impostor.dial
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ids = v.open("a")
		end = start(t, ids)
		_, ends := v.stream(ctx, ids, time.Second)
		if err := end(); err != nil {
			t.Error(err)
		}
		if len(ends) == 0 || !strings.Contains(ends[0].Error(), "its authority is another") {
			t.Errorf("streams ended with %v", ends)
		}
		if impostor.acker.begun() > 0 {
			t.Error("it has streamed to the impostor")
		}
	})
}

func TestATokenThatWasUsedEndsAnAgentThatHasNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dial := inMemory()
		v := vouch(t, l, time.Hour, dial)
		text, other := v.invite(identity.TokenOptions{}), v.invite(identity.TokenOptions{Node: "b"})
		end := start(t, v.open("a", text))
		synctest.Wait()
		if err := end(); err != nil {
			t.Fatal(err)
		}

		// Elsewhere it is an end, with what to do.
		end = start(t, v.open("c", text))
		synctest.Wait()
		if err := end(); err == nil || !strings.Contains(err.Error(), "used already; on the collector, plimsoll token create --node=c") {
			t.Errorf("error %v", err)
		}

		// Here the string may stay in the unit file, and so may one that is no good.
		for _, joins := range [][]string{{text}, {other}, nil} {
			ids := v.open("a", joins...)
			end = start(t, ids)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, ends := v.stream(ctx, ids, 100*time.Millisecond)
			cancel()
			if err := end(); err != nil || len(ends) > 0 {
				t.Errorf("with %d strings: streams ended with %v, the agent with %v", len(joins), ends, err)
			}
		}
	})
}

func TestAnAgentThatStartsFirstJoinsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dial := inMemory()
		v := vouch(t, l, time.Hour, dial)
		var back atomic.Bool
		v.dial = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			if !back.Load() {
				return nil, errors.New("connection refused")
			}
			return l.(*bufconn.Listener).DialContext(ctx)
		})}
		ids := v.open("a", v.invite(identity.TokenOptions{}))
		end := start(t, ids)
		<-time.After(20 * time.Minute)
		back.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		v.stream(ctx, ids, time.Second)
		v.whole("a", 50) // it had the other minute to try again
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

func TestARevokedNodeComesBackWithATokenOfItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dial := inMemory()
		v := vouch(t, l, time.Hour, dial)
		ids := v.open("a", v.invite(identity.TokenOptions{}))
		end := start(t, ids)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		cut := make(chan time.Duration, 1)
		go func() {
			<-time.After(time.Minute)
			begun := time.Now()
			if _, _, err := v.authority.Revoke(ctx, "a"); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			cut <- time.Since(begun)
			for _, c := range v.authority.List() {
				if c.Streams > 0 {
					t.Errorf("%+v streams on", c)
				}
			}
		}()
		_, ends := v.stream(ctx, ids, time.Second)
		cutAfter := <-cut
		if cutAfter > 5*time.Second || len(ends) < 2 || status.Code(ends[0]) != codes.Unauthenticated {
			t.Errorf("cut after %v: %v", cutAfter, ends[:min(len(ends), 2)])
		}
		if n := v.whole("a", 59); n > 62 {
			t.Errorf("%d frames in the minute before the revocation", n)
		}
		if err := end(); err != nil {
			t.Error(err)
		}

		ids = v.open("a", v.invite(identity.TokenOptions{Node: "a"}))
		end = start(t, ids)
		if _, ends := v.stream(during(t, 10*time.Second), ids, time.Second); len(ends) > 0 {
			t.Errorf("with a new token: %v", ends)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

// The agents learn of a new authority when they renew, and need no hand.
func TestAgentsFollowARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dial := inMemory()
		v := vouch(t, l, 24*time.Hour, dial)
		ids := v.open("a", v.invite(identity.TokenOptions{}))
		end := start(t, ids)
		lasts := 70 * 24 * time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), lasts)
		defer cancel()
		go func() {
			for range 2 { // the second after the first has had its time
				<-time.After(33 * 24 * time.Hour)
				if _, err := v.authority.Rotate(ctx); err != nil {
					t.Error(err)
				}
			}
		}()
		worst, _ := v.stream(ctx, ids, time.Hour)
		if err := end(); err != nil {
			t.Error(err)
		}
		v.whole("a", int(lasts/time.Hour)-1)
		if worst > time.Second {
			t.Errorf("a frame was acknowledged after %v", worst)
		}
	})
}

// A node's clock decides nothing about its certificate: the collector's does, and
// a node that is told that its certificate has expired renews it.
func TestANodeWhoseCertificateHasExpiredRenewsItWhenToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dial := inMemory()
		v := vouch(t, l, time.Hour, dial)
		ids := v.open("a", v.invite(identity.TokenOptions{}))
		end := start(t, ids)
		synctest.Wait()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		<-time.After(30 * time.Hour) // the machine was off
		// Its file says that there is time, as it does to a clock that is behind.
		postpone(t, filepath.Join(v.dir, "a"), 20*time.Minute)
		ids = v.open("a")
		end = start(t, ids)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, ends := v.stream(ctx, ids, time.Second)
		if len(ends) < 1 || len(ends) > 3 || !strings.Contains(ends[0].Error(), "must be renewed first") {
			t.Errorf("streams ended with %v", ends)
		}
		v.whole("a", 58)
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

// One that was off for a day knows that it has to renew, and streams after that:
// a stream that is refused would wait for half a minute.
func TestANodeWhoseRenewalIsDueRenewsBeforeItStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dial := inMemory()
		v := vouch(t, l, time.Hour, dial)
		ids := v.open("a", v.invite(identity.TokenOptions{}))
		end := start(t, ids)
		synctest.Wait()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		<-time.After(30 * time.Hour)
		ids = v.open("a")
		end = start(t, ids)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if worst, ends := v.stream(ctx, ids, time.Second); len(ends) > 0 || worst > time.Second {
			t.Errorf("a frame was acknowledged after %v, streams ended with %v", worst, ends)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

// postpone has the one identity of a directory renewed so much from now.
func postpone(t *testing.T, dir string, by time.Duration) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, error %v", files, err)
	}
	var held map[string]any
	if err := secretfile.Read(files[0], &held); err != nil {
		t.Fatal(err)
	}
	held["renew"] = time.Now().Add(by)
	if err := secretfile.Write(files[0], held); err != nil {
		t.Fatal(err)
	}
}
