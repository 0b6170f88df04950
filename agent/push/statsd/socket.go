package statsd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

// kernelBuffer is asked for, so that a burst waits rather than is lost. The
// kernel gives no more than net.core.rmem_max.
const kernelBuffer = 4 << 20 // bytes

// socket is a bound socket for datagrams.
type socket struct {
	conn interface {
		net.Conn
		SetReadBuffer(bytes int) error
		SyscallConn() (syscall.RawConn, error)
	}
	// read receives a datagram and what the kernel says of it.
	read  func(datagram, control []byte) (n, oob int, err error)
	addr  string
	close func() error
}

func listenUDP(address string, anywhere bool) (socket, error) {
	if err := push.Local(flag, address, anywhere); err != nil {
		return socket{}, err
	}
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return socket{}, err
	}
	c, err := net.ListenUDP("udp", at)
	if err != nil {
		return socket{}, err
	}
	s := socket{conn: c, addr: c.LocalAddr().String(), close: closing(c, "")}
	s.read = func(datagram, control []byte) (int, int, error) {
		n, oob, _, _, err := c.ReadMsgUDPAddrPort(datagram, control)
		return n, oob, err
	}
	return s, s.prepare(unix.SO_RXQ_OVFL)
}

// listenUnix makes a socket that every process may send to, for containers run as
// anyone. A file that an agent left behind when it was killed is replaced.
func listenUnix(path string) (socket, error) {
	at := &net.UnixAddr{Name: path, Net: "unixgram"}
	c, err := net.ListenUnixgram("unixgram", at)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(path) {
		if err := os.Remove(path); err != nil {
			return socket{}, err
		}
		c, err = net.ListenUnixgram("unixgram", at)
	}
	if err != nil {
		return socket{}, err
	}
	s := socket{conn: c, addr: scheme + path, close: closing(c, path)}
	s.read = func(datagram, control []byte) (int, int, error) {
		n, oob, _, _, err := c.ReadMsgUnix(datagram, control)
		return n, oob, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return socket{}, errors.Join(err, s.close())
	}
	return s, s.prepare(unix.SO_PASSCRED)
}

// abandoned tells whether path is a socket that nobody has open any more.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// closing closes once, and removes the file if there is one.
func closing(c net.Conn, path string) func() error {
	return sync.OnceValue(func() error {
		err := c.Close()
		if path != "" {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	})
}

// prepare has the kernel say something with each datagram. If it cannot, the
// socket is closed.
func (s *socket) prepare(option int) error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return errors.Join(err, s.close())
	}
	var refused error
	err = raw.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1) })
	if err = errors.Join(err, refused, s.conn.SetReadBuffer(kernelBuffer)); err != nil {
		return fmt.Errorf("prepare the socket: %w", errors.Join(err, s.close()))
	}
	return nil
}

// said is what the kernel says of a datagram.
type said struct {
	pid      int    // of the sender; 0 if it does not say, or it is of another pid namespace
	lost     uint32 // datagrams that there was no room for since the socket was made
	overflow bool   // lost is known
}

// readControl reads SCM_CREDENTIALS (unix(7)) and SO_RXQ_OVFL (socket(7)), without
// allocating.
func readControl(b []byte) said {
	var s said
	for len(b) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			break
		}
		switch {
		case h.Level != unix.SOL_SOCKET:
		case h.Type == unix.SCM_CREDENTIALS && len(data) >= unix.SizeofUcred:
			s.pid = int(int32(binary.NativeEndian.Uint32(data)))
		case h.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			s.lost, s.overflow = binary.NativeEndian.Uint32(data), true
		}
		b = rest
	}
	return s
}
