package scrape

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// house is a network of a test's own with a process in it, as a container is.
type house struct {
	t   testing.TB
	ns  *os.File
	pid int
}

// newHouse needs to be root. Without, the test is skipped, but in CI it fails:
// there it is known to be.
func newHouse(t testing.TB) *house {
	t.Helper()
	if os.Getuid() != 0 {
		without := t.Skipf
		if os.Getenv("CI") == "true" {
			without = t.Fatalf
		}
		without("only root may make networks")
	}
	h := &house{t: t}
	cmd := exec.Command("sleep", "1000")
	made := make(chan error, 1)
	go ownThread(func() {
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			h.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		if err == nil {
			err = cmd.Start()
		}
		made <- err
	})
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	h.pid = cmd.Process.Pid
	t.Cleanup(func() {
		h.ns.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	h.interfaceUp("lo")
	return h
}

func (h *house) interfaceUp(name string) {
	h.t.Helper()
	h.control(name, func(fd int, r *unix.Ifreq) error {
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r); err != nil {
			return err
		}
		r.SetUint16(r.Uint16() | unix.IFF_UP)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	})
}

// address gives the house an address besides its loopback.
func (h *house) address(a string) {
	h.t.Helper()
	h.control("lo:1", func(fd int, r *unix.Ifreq) error {
		if err := r.SetInet4Addr(netip.MustParseAddr(a).AsSlice()); err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, r)
	})
}

func (h *house) control(name string, do func(fd int, r *unix.Ifreq) error) {
	h.t.Helper()
	err := inside(h.ns, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		return do(fd, r)
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// listen listens inside, at an address such as "127.0.0.1:0".
func (h *house) listen(at string) (l net.Listener, port uint16) {
	h.t.Helper()
	err := inside(h.ns, func() (err error) {
		l, err = net.Listen("tcp", at)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	return l, l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// networks are those of the machine, with one cgroup that has the house's
// process.
func (h *house) networks() *networks {
	return &networks{proc: "/proc", processes: func(group string) ([]int, error) {
		if group != "/house" {
			return nil, os.ErrNotExist
		}
		return []int{h.pid}, nil
	}}
}

func (h *house) dial(port uint16) (net.Conn, error) {
	h.t.Helper()
	ns, err := h.networks().open("/house")
	if err != nil {
		h.t.Fatal(err)
	}
	defer ns.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return dial(ctx, ns, port, new(netip.Addr))
}

func TestATargetIsReachedWhereverItListensInItsNetwork(t *testing.T) {
	h := newHouse(t)
	h.address("10.9.8.7")
	for _, at := range []string{"127.0.0.1", "0.0.0.0", "::1", "::", "10.9.8.7"} {
		l, port := h.listen(net.JoinHostPort(at, "0"))
		conn, err := h.dial(port)
		if err != nil {
			t.Errorf("at %s: %v", at, err)
			continue
		}
		got, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got.RemoteAddr().String() != conn.LocalAddr().String() {
			t.Errorf("at %s: somebody else answered", at)
		}
		got.Close()
		conn.Close()
	}
}

func TestWhatListensOutsideIsNotReached(t *testing.T) {
	h := newHouse(t)
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	conn, err := h.dial(outside.Addr().(*net.TCPAddr).AddrPort().Port())
	if err == nil {
		conn.Close()
		t.Fatal("a label reaches the loopback of the node")
	}
	if reasonOf(err, Unreachable) != Unreachable || !errors.Is(err, unix.ECONNREFUSED) {
		t.Error(err)
	}
}

// A container may give itself the address at which clouds tell their secrets.
func TestLinkLocalAddressesAreNeverDialled(t *testing.T) {
	h := newHouse(t)
	h.address("169.254.169.254")
	_, port := h.listen("169.254.169.254:0")
	if conn, err := h.dial(port); err == nil {
		conn.Close()
		t.Errorf("dialled %v", conn.RemoteAddr())
	}
}

// It may have gone to another container in a network that this one is in too.
func TestAnAddressThatIsNoMoreTheContainersIsNotDialled(t *testing.T) {
	h := newHouse(t)
	h.address("10.9.8.7")
	l, port := h.listen("10.9.8.7:0")
	last := netip.MustParseAddr("10.9.8.7")
	conn, err := dial(t.Context(), h.ns, port, &last)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	l.Close()
	// All of 127.0.0.0/8 is loopback, so that it answers and is no address of
	// an interface.
	h.listen(net.JoinHostPort("127.9.8.7", strconv.Itoa(int(port))))
	last = netip.MustParseAddr("127.9.8.7")
	if conn, err := dial(t.Context(), h.ns, port, &last); err == nil {
		conn.Close()
		t.Errorf("dialled %v", conn.RemoteAddr())
	}
}

func TestTheNetworkOfTheNodeIsRefusedUnlessAllowed(t *testing.T) {
	n := &networks{proc: "/proc", processes: func(string) ([]int, error) { return []int{os.Getpid()}, nil }}
	if _, err := n.open("/x"); reasonOf(err, Broken) != HostNetwork {
		t.Errorf("error %v", err)
	}
	n.host = true
	ns, err := n.open("/x")
	if err != nil {
		t.Fatal(err)
	}
	ns.Close()
}

func TestANetworkThatMightBeTheNodesIsRefused(t *testing.T) {
	h := newHouse(t)
	n := h.networks()
	n.proc = t.TempDir() // of a node whose first process cannot be seen
	if err := os.Symlink(fmt.Sprintf("/proc/%d", h.pid), filepath.Join(n.proc, fmt.Sprint(h.pid))); err != nil {
		t.Fatal(err)
	}
	if ns, err := n.open("/house"); err == nil {
		ns.Close()
		t.Error("it is let in")
	}
}

func TestAProcessThatLeftItsCgroupIsNotFollowed(t *testing.T) {
	h := newHouse(t)
	n, asked := h.networks(), 0
	n.processes = func(string) ([]int, error) {
		if asked++; asked == 1 {
			return []int{h.pid}, nil
		}
		return nil, nil // its number may be another's by now
	}
	if _, err := n.open("/house"); reasonOf(err, Broken) != Gone {
		t.Errorf("error %v", err)
	}
}

func TestAContainerWithoutProcessesIsGone(t *testing.T) {
	n := &networks{proc: "/proc", processes: func(string) ([]int, error) { return nil, nil }}
	if _, err := n.open("/x"); reasonOf(err, Broken) != Gone {
		t.Errorf("error %v", err)
	}
	n.processes = func(string) ([]int, error) { return []int{1 << 22}, nil } // no such number
	if _, err := n.open("/x"); reasonOf(err, Broken) != Gone {
		t.Errorf("error %v", err)
	}
}

func TestAConnectionThatIsNotAnsweredEndsWithItsTime(t *testing.T) {
	h := newHouse(t)
	l, port := h.listen("127.0.0.1:0")
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { _ = unix.Listen(int(fd), 0) }); err != nil { // room for one
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for range 10 {
		conn, err := dial(ctx, h.ns, port, new(netip.Addr))
		if err == nil {
			defer conn.Close()
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		return
	}
	t.Error("every connection was answered")
}

func TestNoThreadAndNoDescriptorStaysInAContainersNetwork(t *testing.T) {
	h := newHouse(t)
	_, port := h.listen("127.0.0.1:0")
	for range 20 {
		conn, err := h.dial(port)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		_, _ = h.dial(1) // refused everywhere
	}
	held, err := h.ns.Stat()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("net:[%d]", held.Sys().(*syscall.Stat_t).Ino)
	eventually(t, "every thread at home", func() bool { return links("/proc/self/task/*/ns/net", name) == 0 })
	if n := links("/proc/self/fd/*", name); n != 1 { // the test's own
		t.Errorf("%d descriptors of the network are open", n-1)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil || own == name {
		t.Errorf("the process is in %s, %v", own, err)
	}
}

func TestTheMainThreadIsNeverGivenAway(t *testing.T) {
	calls := make(chan bool)
	for range 200 {
		go ownThread(func() { calls <- unix.Gettid() == unix.Getpid() })
	}
	for range 200 {
		if <-calls {
			t.Fatal("the process would be what that thread is, for ever")
		}
	}
}

// links counts links to a name.
func links(pattern, name string) int {
	paths, _ := filepath.Glob(pattern)
	return len(slices.DeleteFunc(paths, func(p string) bool {
		to, err := os.Readlink(p)
		return err != nil || !strings.HasPrefix(to, name)
	}))
}

// eventually waits for what the kernel does in its own time.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(time.Minute); !is(); {
		select {
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		case <-again.C:
		}
	}
}
