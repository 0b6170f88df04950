package ingest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestWhileThereIsNoRoomAgentsAreToldAndNobodyIsGivenUp(t *testing.T) {
	var full atomic.Bool
	refuse := func() error {
		if full.Load() {
			return errors.New("the disk is nearly full")
		}
		return nil
	}
	inBubble(t, Options{Refuse: refuse}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		a.send(definition(1, start, 1, 2))
		a.ack(1)
		full.Store(true)
		if err := a.err(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "nearly full") {
			t.Errorf("ended with %v, want ResourceExhausted and why", err)
		}
		if err := w.say(greeting(hello())).err(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("another stream got %v, want ResourceExhausted", err)
		}
		if err := w.server.Ready(); err == nil || testutil.ToFloat64(w.server.metrics.refusing) != 1 {
			t.Errorf("ready: %v", err)
		}
		<-time.After(10 * time.Minute)
		if got := show(w.read(is("__name__", "m"))[seriesA], start); got != "0s=1" {
			t.Errorf("stored %s: an agent that was not listened to has been given up", got)
		}
		for _, node := range []string{"n1", "another", ""} { // nobody can say what has become of it
			if away, _ := w.server.Away(node); !away {
				t.Errorf("node %q counts as heard", node)
			}
		}
		full.Store(false)
		<-time.After(10 * time.Second)
		if away, back := w.server.Away("n1"); away || time.Since(back) > 10*time.Second {
			t.Errorf("away %v, back since %v", away, time.Since(back))
		}
		b := w.connect(hello())
		b.send(definition(2, time.Now(), 3, 4))
		b.ack(2)
		if err := w.server.Ready(); err != nil || testutil.ToFloat64(w.server.metrics.refusing) != 0 {
			t.Errorf("ready: %v", err)
		}
		if got := show(w.read(is("__name__", "m"))[seriesA], start); strings.Contains(got, "stale") {
			t.Errorf("stored %s", got)
		}
		if n := strings.Count(w.log.String(), "nothing is taken in for now"); n != 1 {
			t.Errorf("said %d times that there is no room", n)
		}
	})
}

func TestAStreamIsOfTheNodeThatItsCertificateNames(t *testing.T) {
	for name, tt := range map[string]struct {
		says, is string
		err      error
		code     codes.Code
		stored   string // as node
	}{
		"the same":              {says: "n1", is: "n1", stored: "n1"},
		"says nothing":          {says: "", is: "n1", stored: "n1"},
		"another":               {says: "n2", is: "n1", stored: "n1"},
		"nobody knows":          {says: "n1", is: "", stored: "n1"},
		"revoked":               {says: "n1", err: status.Error(codes.PermissionDenied, "revoked"), code: codes.PermissionDenied},
		"no certificate at all": {says: "n1", err: errors.New("no certificate"), code: codes.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			identify := func(context.Context) (string, error) { return tt.is, tt.err }
			inBubble(t, Options{Identify: identify}, func(w *world) {
				h := hello()
				h.Node = tt.says
				if tt.code != codes.OK {
					if err := w.say(greeting(h)).err(); status.Code(err) != tt.code {
						t.Errorf("got %v, want %v", err, tt.code)
					}
					return
				}
				a := w.connect(h)
				a.send(definition(1, time.Now(), 1, 2))
				a.ack(1)
				if len(w.read(is("node", tt.stored), is("__name__", "m"))) != 2 {
					t.Errorf("not stored as of node %s", tt.stored)
				}
				mismatch := tt.says != "" && tt.is != "" && tt.says != tt.is
				if counted := testutil.ToFloat64(w.server.metrics.mismatches) == 1; counted != mismatch {
					t.Errorf("counted as a mismatch: %v", counted)
				}
			})
		})
	}
}

func TestWithReplicasNothingIsAcknowledgedBeforeAnotherHasIt(t *testing.T) {
	d := openDB(t, t.TempDir())
	defer d.Close()
	if _, err := New(Options{Store: d, Durability: Replica}); err == nil {
		t.Error("a replica is promised, and nobody is there to hold it")
	}
	var alone atomic.Bool
	alone.Store(true)
	replicated := func(context.Context) error {
		if alone.Load() {
			return errors.New("connection refused")
		}
		return nil
	}
	inBubble(t, Options{Durability: Replica, Replicated: replicated}, func(w *world) {
		a := w.connect(hello())
		start := time.Now()
		a.send(definition(1, start, 1, 2))
		time.AfterFunc(time.Minute, func() {
			if w.server.Ready() == nil || testutil.ToFloat64(w.server.metrics.alone) != 1 {
				t.Error("nobody can see that nothing is acknowledged")
			}
			alone.Store(false)
		})
		a.ack(1)
		if took := time.Since(start); took < time.Minute || w.server.Ready() != nil {
			t.Errorf("acknowledged after %v, ready: %v", took, w.server.Ready())
		}
	})
}

func TestDurabilityDecidesWhetherTheLogIsSynced(t *testing.T) {
	d := openDB(t, t.TempDir())
	defer d.Close()
	if _, err := New(Options{Store: d, Durability: "none"}); err == nil || !strings.Contains(err.Error(), "fsync") {
		t.Errorf("error %v, want one that names what there is", err)
	}
	for durability, synced := range map[Durability]bool{WAL: false, Fsync: true, "": true} {
		t.Run(string(durability), func(t *testing.T) {
			inBubble(t, Options{Durability: durability}, func(w *world) {
				a := w.connect(hello())
				a.send(definition(1, time.Now(), 1, 2))
				a.ack(1)
				w.db.mu.Lock()
				defer w.db.mu.Unlock()
				if (w.db.syncs > 0) != synced {
					t.Errorf("synced %d times", w.db.syncs)
				}
			})
		})
	}
}

// Nobody says that packets are lost.
func TestAPartitionIsNoticed(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		w.connect(hello())
		w.cut.Store(true)
		<-time.After(16 * time.Second)
		if n := testutil.ToFloat64(w.server.metrics.streams); n != 0 {
			t.Errorf("%v streams, 16 s after the agent could be heard last", n)
		}
		w.cut.Store(false)
	})
}
