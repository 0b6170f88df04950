package node

import (
	"errors"
	"io/fs"
	"syscall"
)

// maxFile is more than any of these files can be: /proc/stat of 8192 CPUs with
// 100,000 interrupts is below 2 MiB.
const maxFile = 16 << 20

// patience is how many readings go by before a file that this kernel does not
// have is looked for again: modules are loaded, but seldom.
const patience = 12

// file is a kernel file that stays open between readings. That is 25 times
// cheaper than os.ReadFile, whose poller alone costs four system calls.
type file struct {
	path string
	fd   int
	open bool

	missing error // what it was like to look for it
	wait    int   // readings until it is looked for again
}

// read returns the whole content of f, in memory that the next read reuses.
func (r *Reader) read(f *file) ([]byte, error) {
	if err := f.ensureOpen(); err != nil {
		return nil, err
	}
	data, err := r.fill(f.fd)
	if err != nil {
		f.close()
		return nil, &fs.PathError{Op: "read", Path: f.path, Err: err}
	}
	return data, nil
}

func (f *file) ensureOpen() error {
	if f.open {
		return nil
	}
	if f.wait > 0 {
		f.wait--
		return f.missing
	}
	fd, err := syscall.Open(f.path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		err = &fs.PathError{Op: "open", Path: f.path, Err: err}
		if errors.Is(err, fs.ErrNotExist) {
			f.missing, f.wait = err, patience-1
		}
		return err
	}
	f.fd, f.open = fd, true
	return nil
}

// fill reads until a read yields nothing. A short one is not the end: files
// made of records, such as net/dev, come a page at a time.
func (r *Reader) fill(fd int) ([]byte, error) {
	n := 0
	for {
		if n == len(r.buf) {
			if n >= maxFile {
				return nil, syscall.EFBIG
			}
			r.buf = append(r.buf, make([]byte, len(r.buf))...)
		}
		got, err := pread(fd, r.buf[n:], int64(n))
		if err != nil {
			return nil, err
		}
		if got == 0 {
			return r.buf[:n], nil
		}
		n += got
	}
}

func pread(fd int, p []byte, off int64) (int, error) {
	for {
		n, err := syscall.Pread(fd, p, off)
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

func (f *file) close() {
	if f.open {
		_ = syscall.Close(f.fd) // nothing was written to it
		f.open = false
	}
}
