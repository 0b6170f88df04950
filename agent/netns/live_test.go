package netns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inside is a process in a network namespace of its own.
type inside struct {
	t    testing.TB
	pid  int
	cmd  *exec.Cmd
	end  io.Closer // ends it
	once bool
}

// enter needs to be root. Without, the test is skipped, but in CI it fails.
func enter(t testing.TB) *inside {
	t.Helper()
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	return start(t, cmd)
}

// beside starts a process in the namespace of another.
func (i *inside) beside() *inside { return start(i.t, exec.Command("nsenter", i.net(), "cat")) }

func start(t testing.TB, cmd *exec.Cmd) *inside {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root may make network namespaces")
		}
		t.Skip("only root may make network namespaces")
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i := &inside{t: t, pid: cmd.Process.Pid, cmd: cmd, end: in}
	t.Cleanup(i.exit)
	if _, err := io.WriteString(in, "?"); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it answers, and so has entered
		t.Fatal(err)
	}
	return i
}

// zombify ends the process without reaping it.
func (i *inside) zombify() {
	i.t.Helper()
	i.end.Close()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, i.pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		i.t.Fatal(err)
	}
}

func (i *inside) exit() {
	if !i.once {
		i.once = true
		i.end.Close()
		_ = i.cmd.Wait()
	}
}

func (i *inside) net() string { return fmt.Sprintf("--net=/proc/%d/ns/net", i.pid) }

// run runs a command in the namespace.
func (i *inside) run(command string) string {
	i.t.Helper()
	out, err := exec.Command("nsenter", append([]string{i.net()}, strings.Fields(command)...)...).CombinedOutput()
	if err != nil {
		i.t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// within calls do on a thread in the namespace.
func (i *inside) within(do func() error) {
	i.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		err := i.setns()
		if err == nil {
			err = do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		i.t.Fatal(err)
	}
}

// setns moves the calling thread into the namespace.
func (i *inside) setns() error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", i.pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
}

func open(t testing.TB, r *Reader, pid int) *Process {
	t.Helper()
	p, err := r.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// link is what ip(8) says of an interface.
type link struct {
	Name  string `json:"ifname"`
	Stats struct {
		RX, TX struct{ Bytes, Packets, Errors, Dropped uint64 }
	} `json:"stats64"`
}

func (l *link) interfaceOf() Interface {
	rx, tx := l.Stats.RX, l.Stats.TX
	return Interface{l.Name, [NumCounts]uint64{
		ReceivedBytes: rx.Bytes, ReceivedPackets: rx.Packets, ReceiveErrors: rx.Errors, ReceivesDropped: rx.Dropped,
		SentBytes: tx.Bytes, SentPackets: tx.Packets, SendErrors: tx.Errors, SendsDropped: tx.Dropped,
	}}
}

func TestCountsAreThoseThatIPShows(t *testing.T) {
	in := enter(t)
	in.run("ip link add eth7 type veth peer name far0")
	in.run("ip address add 10.9.0.1/24 dev eth7")
	in.run("ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev eth7")
	in.run("ip link set eth7 up")
	in.run("ip link set far0 up")
	send := func() {
		in.within(func() error {
			c, err := net.Dial("udp", "10.9.0.2:9")
			if err != nil {
				return err
			}
			defer c.Close()
			for range 20 {
				if _, err := c.Write(make([]byte, 1000)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	send()
	r := New("")
	p := open(t, r, in.pid)
	eventually(t, func() error { // packets come and go between the two readings
		var links []link
		if err := json.Unmarshal([]byte(in.run("ip -stats -json link")), &links); err != nil {
			t.Fatal(err)
		}
		var want []Interface
		for i := range links {
			if links[i].Name != "lo" {
				want = append(want, links[i].interfaceOf())
			}
		}
		var got Reading
		if err := r.Read(p, &got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Interfaces, want) {
			return fmt.Errorf("%+v, but ip shows %+v", got.Interfaces, want)
		}
		if n := want[1].Counts[SentBytes]; want[1].Name != "eth7" || n < 20*1000 {
			send() // the kernel drops what comes before it has put the link to work
			return fmt.Errorf("%s sent %d bytes: that tests nothing", want[1].Name, n)
		}
		return nil
	})
}

func TestProcessesOfOneNetworkHaveOneID(t *testing.T) {
	a, c := enter(t), enter(t)
	b := a.beside()
	r := New("")
	of := func(pid int) ID { return open(t, r, pid).Network }
	if of(a.pid) != of(b.pid) {
		t.Error("two processes of a network have two ids")
	}
	if of(a.pid) == of(c.pid) {
		t.Error("two networks have one id")
	}
	node, err := r.Node()
	if err != nil {
		t.Fatal(err)
	}
	if node != of(1) || node == of(a.pid) {
		t.Errorf("the node's network is %d, that of its first process %d, that of another %d", node, of(1), of(a.pid))
	}
}

func TestProcessThatMovedIsReadWhereItIs(t *testing.T) {
	in := enter(t)
	r := New("")
	tid, move, moved, end := make(chan int), make(chan struct{}), make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		tid <- unix.Gettid()
		<-move
		moved <- in.setns()
		<-end
	}()
	defer close(end)
	p := open(t, r, <-tid) // a thread has a folder of its own, as a process has
	was := p.Network
	close(move)
	if err := <-moved; err != nil {
		t.Fatal(err)
	}
	var reading Reading
	if err := r.Read(p, &reading); err != nil {
		t.Fatal(err)
	}
	if want := open(t, r, in.pid).Network; reading.Network != want || was == want {
		t.Errorf("it was in %d and is read in %d, want %d", was, reading.Network, want)
	}
}

func TestProcessThatHasEndedIsGone(t *testing.T) {
	r := New("")
	for name, end := range map[string]func(*inside){"not reaped": (*inside).zombify, "reaped": (*inside).exit} {
		t.Run(name, func(t *testing.T) {
			in := enter(t)
			p := open(t, r, in.pid)
			end(in)
			var reading Reading
			if err := r.Read(p, &reading); !errors.Is(err, ErrGone) {
				t.Errorf("read: error %v, want ErrGone", err)
			}
			if _, _, err := r.Sockets(p); !errors.Is(err, ErrGone) {
				t.Errorf("sockets: error %v, want ErrGone", err)
			}
			if again, err := r.Open(in.pid); !errors.Is(err, ErrGone) {
				again.Close()
				t.Errorf("open: error %v, want ErrGone", err)
			}
		})
	}
}

// The kernel removes one end of a pair with the network of the other.
func TestNetworkEndsWithItsProcessesWhateverIsOpen(t *testing.T) {
	a, b := enter(t), enter(t)
	a.run("ip link add near0 type veth peer name far0 netns " + strconv.Itoa(b.pid))
	r := New("")
	pa, pb := open(t, r, a.pid), open(t, r, b.pid)
	var reading Reading
	for range 3 {
		if err := r.Read(pb, &reading); err != nil || len(reading.Interfaces) != 1 {
			t.Fatalf("%+v, %v, want one interface", reading, err)
		}
	}
	b.exit()
	eventually(t, func() error {
		if err := r.Read(pa, &reading); err != nil {
			t.Fatal(err)
		}
		if len(reading.Interfaces) > 0 {
			return fmt.Errorf("the network is still there: %+v", reading.Interfaces)
		}
		return nil
	})
}

func TestSocketsAreCountedByNetwork(t *testing.T) {
	in := enter(t)
	r := New("")
	p := open(t, r, in.pid)
	in.within(func() error {
		for want := range uint64(4) {
			n, ok, err := r.Sockets(p)
			if err != nil || ok != countsSockets(release()) || ok && n != want {
				t.Errorf("%d sockets, known %v, %v, want %d", n, ok, err, want)
			}
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
		}
		return nil
	})
}

func TestReadingAllocatesNothing(t *testing.T) {
	in := enter(t)
	in.run("ip link add eth7 type veth peer name far0")
	r := New("")
	p := open(t, r, in.pid)
	var reading Reading
	read := func() {
		if err := r.Read(p, &reading); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Sockets(p); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRead(b *testing.B) {
	in := enter(b)
	in.run("ip link add eth7 type veth peer name eth8")
	r := New("")
	p := open(b, r, in.pid)
	var reading Reading
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Read(p, &reading); err != nil {
			b.Fatal(err)
		}
	}
}

func eventually(t testing.TB, ask func() error) {
	t.Helper()
	limit := time.After(time.Minute)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-limit:
			t.Fatal(err)
		}
	}
}
