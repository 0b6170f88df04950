package netns

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// Sockets is how many sockets of all kinds there are in the namespace that p is
// in. It is not known (ok is false) on kernels before 4.16, which tell every
// namespace how many the whole machine has. The error wraps ErrGone if p has
// ended.
func (r *Reader) Sockets(p *Process) (n uint64, ok bool, err error) {
	if !r.ownsSockets {
		return 0, false, nil
	}
	fd, err := openAt(p.dir, sockstatName)
	if err != nil {
		return 0, false, fmt.Errorf("open net/sockstat of process %d: %w", p.PID, gone(err))
	}
	data, err := r.fill(fd)
	unix.Close(fd)
	if err == nil {
		n, err = parseSockets(data)
	}
	if err != nil {
		return 0, false, fmt.Errorf("net/sockstat of process %d: %w", p.PID, err)
	}
	return n, true, nil
}

// parseSockets reads the first line of net/sockstat:
//
//	sockets: used 19
func parseSockets(data []byte) (uint64, error) {
	line, _, whole := bytes.Cut(data, []byte("\n"))
	digits, found := bytes.CutPrefix(line, []byte("sockets: used "))
	n, ok := number(digits)
	if !whole || !found || !ok {
		return 0, fmt.Errorf("%q: %w", abridged(line), ErrFormat)
	}
	return n, nil
}

// countsSockets tells whether a kernel counts sockets by namespace: since commit
// 648845ab7e20, "sock: Move the socket inuse to namespace".
func countsSockets(release string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 4 || major == 4 && minor >= 16
}

// release is the kernel's version, such as "6.1.0-37-amd64".
func release() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}
