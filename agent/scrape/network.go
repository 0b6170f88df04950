package scrape

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// networks finds the network namespaces of containers.
type networks struct {
	proc      string
	processes func(cgroup string) ([]int, error)
	host      bool // those on the node's own network are let in
}

// networkFile is where a process shows its network, in its folder of /proc.
const networkFile = "ns/net"

// open returns the network namespace of a container. As long as it is open, the
// namespace stays, so it is to be closed at once.
func (n *networks) open(cgroup string) (*os.File, error) {
	pids, err := n.processes(cgroup)
	if err != nil {
		return nil, failed(Gone, err)
	}
	if len(pids) == 0 {
		return nil, failed(Gone, errors.New("no process can be seen in it; the agent has to be in the node's pid namespace"))
	}
	var errs []error
	for _, pid := range pids {
		ns, err := n.of(pid, cgroup)
		if err == nil {
			return ns, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			break // it has not just ended; others will say the same
		}
	}
	return nil, errors.Join(errs...)
}

// of opens the network of a process in a cgroup. A number may go to another
// process at any time, but not while a folder of /proc of it works: so what is
// in the cgroup after the folder was opened, and before it is used, is ours.
func (n *networks) of(pid int, cgroup string) (*os.File, error) {
	dir, err := unix.Open(filepath.Join(n.proc, strconv.Itoa(pid)), unix.O_DIRECTORY|unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Join(n.proc, strconv.Itoa(pid)), Err: err}
	}
	defer unix.Close(dir)
	if now, err := n.processes(cgroup); err != nil || !slices.Contains(now, pid) {
		return nil, fmt.Errorf("process %d left: %w", pid, os.ErrNotExist)
	}
	fd, err := unix.Openat(dir, networkFile, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Join(n.proc, strconv.Itoa(pid), networkFile), Err: err}
	}
	ns := os.NewFile(uintptr(fd), networkFile)
	if err := n.check(ns); err != nil {
		ns.Close()
		return nil, err
	}
	return ns, nil
}

// check lets in what is neither the node's network nor the agent's: there the
// loopback is not the container's own.
func (n *networks) check(ns *os.File) error {
	if n.host {
		return nil
	}
	var of uint64
	err := inside(ns, func() (err error) {
		of, err = identity("/proc/thread-self")
		return err
	})
	if err != nil {
		return err
	}
	for _, process := range []string{filepath.Join(n.proc, "1"), "/proc/self"} {
		barred, err := identity(process)
		if err != nil {
			return err // or it could be this one
		}
		if of == barred {
			return failed(HostNetwork, errors.New("it is on the network of the node or of the agent, which --scrape.host-network would allow"))
		}
	}
	return nil
}

// identity is a number that processes on the same network share and others do
// not: that of a file which each network has one of. Unlike ns/net it is shown
// without the right to trace the process.
func identity(process string) (uint64, error) {
	info, err := os.Stat(filepath.Join(process, "net/dev"))
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}

// maxOwn is how many addresses of a container are tried at most.
const maxOwn = 8

// dial connects to a port of whoever is inside ns: at its loopback, and if
// nobody listens there at its other addresses. The one in last goes first if it
// still is one, and the one that answered is put there.
func dial(ctx context.Context, ns *os.File, port uint16, last *netip.Addr) (net.Conn, error) {
	loopback := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	if last.IsValid() && (slices.Contains(loopback, *last) || owns(ns, *last)) {
		if conn, err := connect(ctx, ns, netip.AddrPortFrom(*last, port)); err == nil {
			return conn, nil
		}
	}
	var errs []error
	try := func(list []netip.Addr) net.Conn {
		for _, addr := range list {
			conn, err := connect(ctx, ns, netip.AddrPortFrom(addr, port))
			if err == nil {
				*last = addr
				return conn
			}
			errs = append(errs, err)
			if ctx.Err() != nil {
				return nil
			}
		}
		return nil
	}
	if conn := try(loopback); conn != nil {
		return conn, nil
	}
	if ctx.Err() == nil {
		own, err := addresses(ns)
		if err != nil {
			errs = append(errs, err)
		}
		if conn := try(own); conn != nil {
			return conn, nil
		}
	}
	return nil, errors.Join(errs...)
}

// connect connects a socket of ns. A socket stays in the network that it was
// made in, so nothing but making it is done there.
func connect(ctx context.Context, ns *os.File, to netip.AddrPort) (net.Conn, error) {
	fd := -1
	err := inside(ns, func() (err error) {
		family := unix.AF_INET6
		if to.Addr().Is4() {
			family = unix.AF_INET
		}
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a socket for %s: %w", to, err)
	}
	err = unix.Connect(fd, sockaddr(to))
	socket := os.NewFile(uintptr(fd), to.String())
	defer socket.Close()
	if errors.Is(err, unix.EINPROGRESS) {
		err = connected(ctx, socket)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	return net.FileConn(socket)
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	if to.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}

// connected waits until a socket is.
func connected(ctx context.Context, socket *os.File) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var outcome error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if outcome = err; err != nil {
			return true
		}
		if code != 0 {
			outcome = unix.Errno(code)
			return true
		}
		_, err = unix.Getpeername(int(fd)) // one may be woken without reason
		return err == nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, outcome)
}

// owns tells whether an address is of an interface in ns. One that is not may be
// another container's by now.
func owns(ns *os.File, addr netip.Addr) bool {
	own, err := addresses(ns)
	return err == nil && slices.Contains(own, addr)
}

// addresses are those of the interfaces in ns but for loopback and link-local
// ones.
func addresses(ns *os.File) (list []netip.Addr, err error) {
	var found []net.Addr
	err = inside(ns, func() (err error) {
		found, err = net.InterfaceAddrs()
		return err
	})
	for _, a := range found {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if addr := prefix.Addr().Unmap(); addr.IsGlobalUnicast() && len(list) < maxOwn {
			list = append(list, addr)
		}
	}
	return list, err
}

// inside calls do on a thread that is in the network ns. No other goroutine ever
// runs on that thread: it ends with the call.
func inside(ns *os.File, do func() error) error {
	done := make(chan error, 1)
	go ownThread(func() {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- failed(Forbidden, fmt.Errorf("enter the network: %w; it takes CAP_SYS_ADMIN", err))
			return
		}
		done <- do()
	})
	return <-done
}

// ownThread calls do on a thread that is thrown away afterwards. It is not the
// main thread: that cannot be thrown away, and /proc/self is what it is.
func ownThread(do func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		do()
		return // locked still, and so the thread ends with its goroutine
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		do()
	}()
	<-done // holding the main thread, so that the other got one of its own
	runtime.UnlockOSThread()
}
