package cgroup

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openAt opens a file for reading. The wrappers of package unix copy the path
// to the heap for each call; this one puts it together in a buffer.
func (f *FS) openAt(dir int, parent, name string) (int, error) {
	f.join(parent, name)
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&f.path[0])),
			unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
		switch {
		case errno == 0:
			return int(fd), nil
		case errno == unix.EINTR:
		case (errno == unix.EMFILE || errno == unix.ENFILE) && f.spare >= 0:
			f.dropSpare() // and try with that one
		default:
			return -1, errno
		}
	}
}

// exists tells whether there is such a folder or file below dir.
func (f *FS) exists(dir int, path string) bool {
	f.join(path, ".")
	_, _, errno := unix.Syscall(unix.SYS_FACCESSAT, uintptr(dir), uintptr(unsafe.Pointer(&f.path[0])), unix.F_OK)
	return errno == 0
}

// join makes f.path the path of a file, as the kernel wants it.
func (f *FS) join(parent, name string) {
	f.path = append(f.path[:0], parent...)
	if parent != "" {
		f.path = append(f.path, '/')
	}
	f.path = append(f.path, name...)
	f.path = append(f.path, 0)
}

// pread reads a file from its start, which makes the kernel write it anew. One
// call gets all of it, because the kernel writes these files in one piece, as
// long as there is room.
func (f *FS) pread(fd int) ([]byte, error) {
	for {
		n, err := unix.Pread(fd, f.content, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case n < len(f.content) || n >= maxContent:
			return f.content[:n], nil
		default: // perhaps more: io.stat of a thousand devices
			f.content = make([]byte, 2*n)
		}
	}
}

// maxContent bounds what is read of a file.
const maxContent = 1 << 20

// keepSpare holds one descriptor back. It is what a file is opened with when
// the process has no other left, so that a shortage costs time and no samples.
func (f *FS) keepSpare() {
	if f.spare >= 0 || len(f.hierarchies) == 0 {
		return
	}
	fd, err := unix.FcntlInt(uintptr(f.hierarchies[0].fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		f.spare = fd
	}
}

func (f *FS) dropSpare() {
	if f.spare >= 0 {
		unix.Close(f.spare)
		f.spare = -1
	}
}
