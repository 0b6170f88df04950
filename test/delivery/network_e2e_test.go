//go:build e2e

package delivery

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/stream"
)

// weather is what a network does to its packets.
type weather struct {
	begin, end func(t *testing.T, o outside)
	passes     bool // something gets through
}

func rule(args ...string) weather {
	return weather{
		begin: func(t *testing.T, o outside) {
			o.inside(append([]string{"iptables", "-A", "INPUT", "-p", "tcp"}, args...)...)
		},
		end: func(t *testing.T, o outside) { o.heal() },
	}
}

// A network that is bad for a while is survived with bounded means, and costs
// nothing but the time.
func TestABadNetworkCostsTimeAlone(t *testing.T) {
	there := newOutside(t)
	lossy := rule("-m", "statistic", "--mode", "random", "--probability", "0.2", "-j", "DROP")
	lossy.passes = true
	outer := fmt.Sprintf("plh%d", os.Getpid()) // this side of the pair
	for name, w := range map[string]weather{
		"every connection is refused":    rule("-j", "REJECT", "--reject-with", "tcp-reset"),
		"a fifth of the packets is lost": lossy,
		"a kilobyte a second": {
			begin: func(t *testing.T, o outside) {
				o.sh("tc", "qdisc", "add", "dev", outer, "root", "tbf", "rate", "8kbit", "burst", "1600", "latency", "2s")
			},
			end: func(t *testing.T, o outside) { o.sh("tc", "qdisc", "del", "dev", outer, "root") },
		},
		"the collector goes without a word": {
			begin: func(t *testing.T, o outside) { o.inside("iptables", "-A", "OUTPUT", "-j", "DROP") },
			end:   func(t *testing.T, o outside) { o.heal() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := outside{t, there.name}
			c := &collector{t: t, dir: t.TempDir(), before: []string{"nsenter", "--net=/run/netns/" + o.name}, listens: "198.18.77.2:9901"}
			c.start()
			defer func() { c.kill() }()
			a, log := newAgent(t, 0), &told{}
			a.stream(t, c, stream.Options{Log: slog.New(slog.NewTextHandler(log, nil))})
			times := map[int]time.Time{}
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			acked := func() uint64 { return a.spool.Stats().Acked }
			until := func(what string, atMost time.Duration, so func() bool) time.Duration {
				t.Helper()
				start := time.Now()
				for !so() {
					now := <-tick.C
					times[int(a.spool.NextSeq())] = now.Truncate(time.Millisecond)
					a.put(t, now)
					if time.Since(start) > atMost {
						t.Fatalf("%s: not within %v\n%d of %d acknowledged", what, atMost, acked(), a.spool.NextSeq())
					}
				}
				return time.Since(start)
			}
			until("the first frames", time.Minute, func() bool { return acked() > 20 })
			goroutines, memory := runtime.NumGoroutine(), heap()

			w.begin(t, o)
			before, began := acked(), time.Now()
			until("bad weather", time.Minute, func() bool { return time.Since(began) > 10*time.Second })
			through, waiting := acked()-before, a.spool.NextSeq()-1-acked()
			if w.passes && through < 20 {
				t.Errorf("%d frames got through", through)
			}
			if n := runtime.NumGoroutine(); n > goroutines+20 {
				t.Errorf("%d goroutines, %d before", n, goroutines)
			}
			grown := int64(heap()) - int64(memory)
			if grown > 32<<20 {
				t.Errorf("%d MiB more memory", grown>>20)
			}
			w.end(t, o)
			last := a.spool.NextSeq() - 1
			took := until("all is there", time.Minute, func() bool { return acked() >= last })
			t.Logf("%d frames got through and %d waited; there %v after it was over; %d KiB more memory", through, waiting, took.Round(100*time.Millisecond), grown>>10)
			for end := a.spool.NextSeq() - 1; acked() < end; <-tick.C {
				if time.Since(began) > 3*time.Minute {
					t.Fatalf("%d of %d frames are acknowledged", acked(), end)
				}
			}
			c.kill()
			if stored := count(t, c.dir, times); stored != len(times)*series {
				t.Errorf("%d samples stored, %d were sent", stored, len(times)*series)
			}
		})
	}
}

// heap is what is in use after a collection, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
