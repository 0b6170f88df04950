//go:build e2e

package delivery

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/stream"
)

// outside is a network namespace that a veth pair leads to.
type outside struct {
	t    *testing.T
	name string
}

func (o outside) sh(command string, args ...string) {
	o.t.Helper()
	if out, err := exec.Command(command, args...).CombinedOutput(); err != nil {
		o.t.Fatalf("%s %s: %v: %s", command, strings.Join(args, " "), err, out)
	}
}

// inside runs a command in it.
func (o outside) inside(args ...string) {
	o.t.Helper()
	o.sh("nsenter", append([]string{"--net=/run/netns/" + o.name}, args...)...)
}

func newOutside(t *testing.T) outside {
	t.Helper()
	if os.Getuid() != 0 && os.Getenv("CI") != "true" {
		t.Skip("making a network namespace needs root")
	}
	o := outside{t, fmt.Sprintf("plimsoll%d", os.Getpid())}
	here, there := fmt.Sprintf("plh%d", os.Getpid()), fmt.Sprintf("plt%d", os.Getpid())
	o.sh("ip", "netns", "add", o.name)
	t.Cleanup(func() { o.sh("ip", "netns", "del", o.name) })
	o.sh("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", o.name)
	t.Cleanup(func() { o.sh("ip", "link", "del", here) }) // that of the namespace comes some time after it
	o.sh("ip", "addr", "add", "198.18.77.1/30", "dev", here)
	o.sh("ip", "link", "set", here, "up")
	o.inside("ip", "addr", "add", "198.18.77.2/30", "dev", there)
	o.inside("ip", "link", "set", there, "up")
	o.inside("ip", "link", "set", "lo", "up")
	return o
}

// drop loses each packet between the two, without a word.
func (o outside) drop() {
	o.t.Helper()
	for _, chain := range []string{"INPUT", "OUTPUT"} {
		o.inside("iptables", "-A", chain, "-j", "DROP")
	}
}

func (o outside) heal() { o.t.Helper(); o.inside("iptables", "-F") }

// told is a log that others read while it is written.
type told struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *told) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *told) has(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// A network that drops all packets for a minute is noticed by both sides, and
// costs nothing but the time.
func TestAPartitionIsNoticedAndMadeUpFor(t *testing.T) {
	o := newOutside(t)
	c := &collector{t: t, dir: t.TempDir(), before: []string{"nsenter", "--net=/run/netns/" + o.name}, listens: "198.18.77.2:9901"}
	c.start()
	defer func() { c.kill() }()
	a, log := newAgent(t, 0), &told{}
	a.stream(t, c, stream.Options{Log: slog.New(slog.NewTextHandler(log, nil))})

	times := map[int]time.Time{}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	// until lets the agent tick until something is so, and tells how long it took.
	until := func(what string, atMost time.Duration, so func() bool) time.Duration {
		t.Helper()
		start := time.Now()
		for !so() {
			now := <-tick.C
			times[int(a.spool.NextSeq())] = now.Truncate(time.Millisecond)
			a.put(t, now)
			if time.Since(start) > atMost {
				t.Fatalf("%s: not within %v\nagent: %s\ncollector: %v", what, atMost, log.b.String(), c.said(""))
			}
		}
		return time.Since(start)
	}
	acked := func() uint64 { return a.spool.Stats().Acked }
	until("the first frames", time.Minute, func() bool { return acked() > 20 })

	o.drop()
	cut := time.Now()
	agentNoticed := until("the agent notices", 16*time.Second, func() bool { return log.has("collector unreachable") > 0 })
	collectorNoticed := agentNoticed + until("the collector notices", 16*time.Second-agentNoticed, func() bool { return len(c.said("agent disconnected")) > 0 })
	until("a minute", 61*time.Second, func() bool { return time.Since(cut) > time.Minute })
	o.heal()
	held := a.spool.NextSeq() - acked()
	back := until("reconnected", 6*time.Second, func() bool { return len(c.said("agent connected")) > 1 })
	healed := a.spool.NextSeq()
	drained := back + until("all is there", time.Minute, func() bool { return acked() >= healed })
	t.Logf("noticed after %v by the agent, %v by the collector; reconnected %v after healing; %d frames made up for after %v",
		agentNoticed.Round(100*time.Millisecond), collectorNoticed.Round(100*time.Millisecond), back.Round(100*time.Millisecond), held, drained.Round(100*time.Millisecond))

	// The present goes first.
	connected := c.said("agent connected")[1].text
	field := regexp.MustCompile(`from=(\d+) holds=\d+ past=(\d+)`).FindStringSubmatch(connected)
	if field == nil {
		t.Fatalf("said %s", connected)
	}
	from, _ := strconv.Atoi(field[1])
	if past, _ := strconv.Atoi(field[2]); past < int(held)*9/10 || from < int(healed)-100 {
		t.Errorf("resumed from frame %d of %d, with %d to fill in: want the newest first", from, healed, past)
	}
	for last := a.spool.NextSeq() - 1; acked() < last; <-tick.C {
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("%d of %d frames are acknowledged", acked(), last)
		}
	}
	c.kill()
	if stored := count(t, c.dir, times); stored != len(times)*series {
		t.Errorf("%d samples stored, %d were sent", stored, len(times)*series)
	}
}
