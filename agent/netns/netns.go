// Package netns reads what the kernel counts in the network namespaces of
// processes: the traffic of their interfaces, and their sockets.
//
// It looks into a namespace through a process inside and never holds it. What
// stays open is the process' own folder of /proc, which keeps neither the
// process nor its namespace alive and, like a pidfd, never turns into that of
// another process with the same number. A descriptor of net/dev would be four
// times cheaper to read, but keeps the namespace of a removed container and
// goes on to tell of its loopback, without an error.
package netns

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	// ErrGone says that a process has ended, and what it was in is out of reach.
	ErrGone = errors.New("process is gone")
	// ErrFormat says that a file does not read as the kernel writes it.
	ErrFormat = errors.New("unexpected format")
)

// ID tells a network namespace from all others that exist at the same time. It
// is the inode of its net/dev: the kernel makes these files anew for each
// namespace and, unlike /proc/PID/ns/net, shows them to those who may not trace
// the process. 0 stands for none.
type ID uint64

// Names of files below /proc/PID/net, ended as the kernel wants them.
const (
	devName      = "dev\x00"
	sockstatName = "sockstat\x00"
)

// mostBytes is what is read of a file, some 500 interfaces. Who may make
// interfaces in a namespace may make as many as he likes.
const mostBytes = 64 << 10

// Reader reads namespaces. It shares memory between its readings, so that one
// goroutine at a time may use it.
type Reader struct {
	proc        string
	ownsSockets bool // the kernel counts them by namespace
	buf         []byte
	stat        unix.Stat_t
}

// New makes a reader of the processes below proc, "/proc" if empty.
func New(proc string) *Reader {
	return &Reader{
		proc:        cmp.Or(proc, "/proc"),
		ownsSockets: countsSockets(release()),
		buf:         make([]byte, mostBytes),
	}
}

// Process is a process through which its namespace is read.
type Process struct {
	PID     int
	Started uint64 // clock ticks since the machine started
	Network ID     // it was in when it was opened

	dir int // its folder "net"
}

// Open opens a process. The error wraps ErrGone if it has ended. The caller
// closes what it returns.
func (r *Reader) Open(pid int) (*Process, error) {
	p, err := r.open(strconv.Itoa(pid))
	if err != nil {
		return nil, err
	}
	p.PID = pid
	if p.Started, err = r.started(pid); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Node is the network namespace of the node: that of its first process, or the
// reader's own where that one is hidden.
func (r *Reader) Node() (ID, error) {
	p, err := r.open("1")
	if err != nil {
		var own error
		if p, own = r.open("self"); own != nil {
			return 0, errors.Join(err, own)
		}
	}
	defer p.Close()
	return p.Network, nil
}

func (r *Reader) open(name string) (*Process, error) {
	path := filepath.Join(r.proc, name, "net")
	dir, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: gone(err)}
	}
	p := &Process{dir: dir}
	fd, err := r.enter(p, devName, &p.Network)
	if err != nil {
		p.Close()
		return nil, &os.PathError{Op: "open", Path: filepath.Join(path, "dev"), Err: err}
	}
	unix.Close(fd)
	return p, nil
}

// Close gives back the descriptor of p, if there is a p.
func (p *Process) Close() {
	if p != nil && p.dir >= 0 {
		unix.Close(p.dir)
		p.dir = -1
	}
}

// Read reads the interfaces of the namespace that p is in now, into memory that
// into has. The error wraps ErrGone if p has ended.
func (r *Reader) Read(p *Process, into *Reading) error {
	fd, err := r.enter(p, devName, &into.Network)
	if err != nil {
		return err
	}
	data, err := r.fill(fd)
	unix.Close(fd)
	if err != nil {
		return fmt.Errorf("read net/dev of process %d: %w", p.PID, err)
	}
	if err := parseDev(data, into); err != nil {
		return fmt.Errorf("net/dev of process %d: %w", p.PID, err)
	}
	return nil
}

// enter opens a file of the namespace that p is in and tells which that is.
// That comes from the descriptor, so that it is the namespace that is read.
func (r *Reader) enter(p *Process, name string, id *ID) (int, error) {
	fd, err := openAt(p.dir, name)
	if err != nil {
		return -1, fmt.Errorf("open net/%s of process %d: %w", name[:len(name)-1], p.PID, gone(err))
	}
	if err := unix.Fstat(fd, &r.stat); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("stat net/%s of process %d: %w", name[:len(name)-1], p.PID, err)
	}
	*id = ID(r.stat.Ino)
	return fd, nil
}

// gone makes an error of what the kernel says of processes that have ended, and
// of those that have not been reaped yet.
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// openAt opens a file for reading. The wrappers of package unix copy the name to
// the heap for each call; this one wants it with a zero at its end.
func openAt(dir int, name string) (int, error) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(unsafe.StringData(name))),
			unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// fill reads until a read yields nothing, as these files come a page at a time,
// or there is no more room.
func (r *Reader) fill(fd int) ([]byte, error) {
	n := 0
	for n < len(r.buf) {
		got, err := unix.Read(fd, r.buf[n:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case got == 0:
			return r.buf[:n], nil
		default:
			n += got
		}
	}
	return r.buf[:n], nil
}
