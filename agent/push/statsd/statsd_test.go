package statsd

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

func dial(t testing.TB, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t testing.TB, c net.Conn, datagram string) {
	t.Helper()
	if _, err := c.Write([]byte(datagram)); err != nil {
		t.Fatal(err)
	}
}

func TestMetricsComeByUDP(t *testing.T) {
	table := push.NewTable(push.Options{})
	l := running(t, Options{Table: table, Address: "127.0.0.1:0"})
	c := dial(t, "udp", l.Addr())
	send(t, c, "hits:1|c|#page:cart\nhits:2|c|#page:cart")
	send(t, c, strings.Repeat("x", maxDatagram+1))
	send(t, c, "hits:4|c|#page:cart\n"+strings.Repeat("\n", maxDatagram-20))
	eventually(t, "three datagrams", func() bool { return l.intake.feed.Taken() == 3 })
	if got := text(ticks(table)); got != "hits_total{page=cart} 7" {
		t.Error(got)
	}
	if n := l.intake.feed.Dropped(push.TooLarge); n != 1 {
		t.Errorf("%d datagrams too large", n)
	}
}

func TestASenderOnAUnixSocketIsWhoTheKernelSays(t *testing.T) {
	table := push.NewTable(push.Options{})
	asked := 0
	l := running(t, Options{
		Table: table, Address: "unix://" + filepath.Join(t.TempDir(), "statsd.sock"),
		Owner: func(pid int) string {
			asked++
			return fmt.Sprintf("of-%d", pid)
		},
	})
	c := dial(t, "unixgram", strings.TrimPrefix(l.Addr(), "unix://"))
	send(t, c, "hits:1|c|c:ci-of-somebody-else")
	send(t, c, "hits:1|c")
	eventually(t, "two lines", func() bool { return l.intake.feed.Taken() == 2 })
	if got, want := text(ticks(table)), fmt.Sprintf("hits_total{container=of-%d} 2", os.Getpid()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if asked != 1 {
		t.Errorf("asked %d times for one process", asked)
	}
}

func TestAnotherProcessIsAnotherSender(t *testing.T) {
	table := push.NewTable(push.Options{})
	l := running(t, Options{
		Table: table, Address: "unix://" + filepath.Join(t.TempDir(), "statsd.sock"),
		Owner: func(pid int) string {
			if pid == os.Getpid() {
				return "mine"
			}
			return "other"
		},
	})
	path := strings.TrimPrefix(l.Addr(), "unix://")
	send(t, dial(t, "unixgram", path), "hits:1|c")
	cmd := exec.CommandContext(t.Context(), "perl", "-MSocket", "-e",
		`socket(my $s, PF_UNIX, SOCK_DGRAM, 0) or die $!; send($s, "hits:5|c", 0, pack_sockaddr_un($ARGV[0])) or die $!`, path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, "two lines", func() bool { return l.intake.feed.Taken() == 2 })
	if got := text(ticks(table)); got != "hits_total{container=mine} 1\nhits_total{container=other} 5" {
		t.Error(got)
	}
}

func TestADatagramThatTheKernelHasNoRoomForIsCounted(t *testing.T) {
	table := push.NewTable(push.Options{})
	l, err := Listen(Options{Table: table, Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.socket.conn.SetReadBuffer(4096) // before anybody reads
	c := dial(t, "udp", l.Addr())
	const sent = 200
	for range sent {
		send(t, c, "hits:1|c\n"+strings.Repeat("\n", 500))
	}
	buffer, control := make([]byte, maxDatagram), make([]byte, 128)
	read := func() {
		n, oob, err := l.socket.read(buffer, control)
		if err != nil {
			t.Fatal(err)
		}
		l.take(buffer[:n], control[:oob])
	}
	l.socket.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	read()
	for n := uint64(1); l.intake.feed.Dropped(push.QueueFull) == 0; n++ {
		send(t, c, "hits:1|c") // each says what was lost before it
		read()
		if n > sent {
			t.Fatal("nothing is counted")
		}
	}
	taken, lost := l.intake.feed.Taken(), l.intake.feed.Dropped(push.QueueFull)
	t.Logf("%d taken, %d lost", taken, lost)
	if lost > sent {
		t.Errorf("%d lost of %d", lost, sent)
	}
}

func TestTheKernelsCountMayWrap(t *testing.T) {
	_, in := newIntake()
	l := Listener{intake: *in, lost: 1<<32 - 2}
	control := make([]byte, unix.CmsgSpace(4))
	binary.NativeEndian.PutUint64(control, uint64(unix.CmsgLen(4)))
	binary.NativeEndian.PutUint32(control[8:], unix.SOL_SOCKET)
	binary.NativeEndian.PutUint32(control[12:], unix.SO_RXQ_OVFL)
	binary.NativeEndian.PutUint32(control[16:], 3)
	l.take([]byte("hits:1|c"), control)
	if got := l.intake.feed.Dropped(push.QueueFull); got != 5 {
		t.Errorf("%d lost, want 5", got)
	}
}

func TestMistakesAreToldBeforeAnythingRuns(t *testing.T) {
	dir := t.TempDir()
	taken, err := Listen(Options{Table: push.NewTable(push.Options{}), Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	live, err := Listen(Options{Table: push.NewTable(push.Options{}), Address: "unix://" + dir + "/live"})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	file := dir + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"0.0.0.0:0":              "say --insecure",
		"example.org:8125":       "say --insecure",
		":8125":                  "say --insecure",
		"8125":                   "give host:port",
		taken.Addr():             "the address is in use",
		live.Addr():              "the address is in use",
		"unix://" + file:         "the address is in use",
		"unix://" + dir + "/a/b": "no such file",
	} {
		l, err := Listen(Options{Table: push.NewTable(push.Options{}), Address: address})
		if err == nil {
			l.Close()
			t.Errorf("%s: no error", address)
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--statsd.listen-address="+address) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := Listen(Options{Table: push.NewTable(push.Options{}), Address: "127.0.0.1:0", TimerBuckets: []float64{2, 1}}); err == nil {
		t.Error("buckets that do not ascend are taken")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("a file that is no socket was removed")
	}
}

func TestASocketThatAKilledAgentLeftIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "statsd.sock")
	left, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	left.Close() // which leaves the file
	l, err := Listen(Options{Table: push.NewTable(push.Options{}), Address: "unix://" + path})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("mode %v, %v; every container's user should be able to send", info.Mode(), err)
	}
	l.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("after the end the file is still there: %v", err)
	}
}

func TestOwnersAreForgottenSoonAndKeptInBounds(t *testing.T) {
	asked := 0
	o := owners{look: func(int) string { asked++; return "x" }}
	now := time.Unix(0, 0)
	o.of(1, now)
	o.of(1, now.Add(ownerLife-1))
	if asked != 1 {
		t.Errorf("asked %d times within its life", asked)
	}
	o.of(1, now.Add(ownerLife))
	if asked != 2 {
		t.Error("a number that may be another's by now was not looked up again")
	}
	for pid := range 3 * maxOwners {
		o.of(pid, now)
		if len(o.known) > maxOwners {
			t.Fatalf("%d are remembered", len(o.known))
		}
	}
	if o.of(0, now) != "" {
		t.Error("a process of another pid namespace has an owner")
	}
}

// How many datagrams of how many lines come through a real socket in a second.
func BenchmarkUDP(b *testing.B) {
	table := push.NewTable(push.Options{})
	l := running(b, Options{Table: table, Address: "127.0.0.1:0", PerSecond: 1e9})
	c := dial(b, "udp", l.Addr())
	datagram := steady()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(datagram); err != nil {
			b.Fatal(err)
		}
	}
	lines := func() uint64 { return l.intake.feed.Taken() + l.intake.feed.Dropped(push.QueueFull)*35 }
	eventually(b, "what was sent", func() bool { return lines() >= uint64(b.N)*35*9/10 })
	b.ReportMetric(float64(l.intake.feed.Taken())/35/b.Elapsed().Seconds(), "datagrams/s")
	b.ReportMetric(float64(l.intake.feed.Dropped(push.QueueFull))/float64(b.N), "lost/datagram")
}
