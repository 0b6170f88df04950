package stream

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/agent/spool"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// pair is an agent with two collectors.
func pair(t *testing.T, opts Options, test func(w *world, a, b *collector)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t}
		var err error
		if w.spool, err = spool.Open(spool.Options{Dir: t.TempDir(), SegmentBytes: 2000, Keep: -1}); err != nil {
			t.Fatal(err)
		}
		defer w.spool.Close()
		both := map[string]*collector{"a": {}, "b": {}}
		for _, c := range both {
			c.welcome = &plimsollv1.Welcome{ResumeFrom: 1, Revision: 1}
		}
		opts.Spool, opts.Node, opts.Log = w.spool, "n1", slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil))
		opts.DialOptions = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return both[address].dial(ctx, address)
		})}
		all, err := NewStreams(opts, "passthrough:a", "passthrough:b")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- all.Run(ctx) }()
		test(w, both["a"], both["b"])
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestACollectorThatIsAwayKeepsNothingFromTheOther(t *testing.T) {
	pair(t, Options{}, func(w *world, a, b *collector) {
		defer a.start()()
		g := newGroup(2)
		for range 50 {
			w.put(g)
			<-time.After(time.Second)
		}
		if got := a.seqs(); !slices.Equal(got, span(1, 51)) {
			t.Errorf("one got %v", got)
		}
		if st := w.spool.Stats(); st.Oldest != 1 || st.Acked != 0 {
			t.Errorf("spool %+v: the other has nothing of it", st)
		}
		defer b.start()()
		<-time.After(maxDelay + time.Second)
		if got := b.seqs(); !slices.Equal(got, span(1, 51)) || len(a.seqs()) != 50 {
			t.Errorf("the other got %v once it was there, the first %d", got, len(a.seqs()))
		}
		if st := w.spool.Stats(); st.Segments != 1 || st.Acked != 50 {
			t.Errorf("spool %+v: both have it all", st)
		}
	})
}

func TestTheSlowestPaceIsInForceAndEachCollectorKnowsIt(t *testing.T) {
	settings := NewSettings(SettingsOptions{})
	pair(t, Options{Settings: settings}, func(_ *world, a, b *collector) {
		defer a.start()()
		defer b.start()()
		<-time.After(time.Second)
		for _, step := range []struct {
			of       *collector
			wants    uint32
			together uint64
		}{{a, 2, 2}, {b, 4, 4}, {b, 1, 2}, {a, 1, 1}} {
			if err := step.of.want(&plimsollv1.Settings{Version: 1, Slowdown: step.wants}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := settings.InForce().Slowdown; got != step.together {
				t.Errorf("at every %d intervals, want %d", got, step.together)
			}
			for name, c := range map[string]*collector{"a": a, "b": b} {
				if n := len(c.applied); n == 0 || c.applied[n-1].GetIntervalMs() != uint32(1000*step.together) {
					t.Errorf("%s has heard %v, want %d s at last", name, c.applied, step.together)
				}
			}
		}
	})
}

func TestCollectorsAreNamedOnce(t *testing.T) {
	s, err := spool.Open(spool.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, targets := range map[string][]string{"twice": {"a:1", "b:1", "a:1"}, "at least": nil} {
		if _, err := NewStreams(Options{Spool: s, Node: "n1", Registerer: prometheus.NewRegistry()}, targets...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: error %v", targets, err)
		}
	}
}
