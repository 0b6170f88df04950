package engine

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// network is a network namespace with nothing in it but a loopback. In it an
// engine can have its bridges, its gossip port and its VXLAN without meeting
// those of another engine, and reach no registry. The kernel removes it with
// the last process inside; this process holds on to it by a descriptor.
type network struct{ ns *os.File }

func newNetwork() (*network, error) {
	type result struct {
		n   *network
		err error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		n, err := unshare()
		made <- result{n, err}
	}()
	r := <-made
	return r.n, r.err
}

// unshare moves the calling thread into a new network.
func unshare() (*network, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("unshare network: %w", err)
	}
	if err := up("lo"); err != nil {
		return nil, fmt.Errorf("set loopback up: %w", err)
	}
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	return &network{ns}, nil
}

// enter moves the calling thread into the network; into none if n is nil.
func (n *network) enter() error {
	if n == nil {
		return nil
	}
	if err := unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network: %w", err)
	}
	return nil
}

// Close lets go of the network.
func (n *network) Close() error { return n.ns.Close() }

// up sets an interface up; see netdevice(7).
func up(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
		return err
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}
