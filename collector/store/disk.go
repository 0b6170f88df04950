package store

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// volume is what is left of a file system.
type volume struct {
	free, total        int64 // bytes; what the system keeps for root is not free
	freeInodes, inodes int64 // both 0 where the file system makes them as they are needed
}

func statfs(dir string) (volume, error) {
	var s unix.Statfs_t
	err := unix.Statfs(dir, &s)
	for errors.Is(err, unix.EINTR) {
		err = unix.Statfs(dir, &s)
	}
	if err != nil {
		return volume{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return volume{
		free: int64(s.Bavail) * s.Frsize, total: int64(s.Blocks) * s.Frsize,
		freeInodes: int64(s.Ffree), inodes: int64(s.Files),
	}, nil
}

// lacksRoom tells whether an error means that the file system takes no more, for
// now: full, over a quota, or read-only.
func lacksRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS)
}

// probeFile comes and goes.
const probeFile = "probe"

// probe tells whether the file system takes what is written, down to stable
// storage. The free space alone does not say: there are quotas, and disks that
// have failed.
func probe(dir string) (err error) {
	path := filepath.Join(dir, probeFile)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, os.Getpagesize()))
	if err == nil {
		err = f.Sync()
	}
	gone := os.Remove(path)
	if errors.Is(gone, os.ErrNotExist) { // somebody else probes at the same time
		gone = nil
	}
	return errors.Join(err, f.Close(), gone)
}

// ballastFile holds room that is thrown away when there is no other left.
const ballastFile = "ballast"

// ballast is that file. Its owner must not call two methods at a time.
type ballast struct {
	path string
	size int64 // what it should hold; 0 if there shall be none
	held int64 // what it does hold
}

// newBallast looks at what is there of it. One of another size is of other
// settings, or was cut short: it goes.
func newBallast(dir string, size int64) (ballast, error) {
	b := ballast{path: filepath.Join(dir, ballastFile), size: size}
	var s unix.Stat_t
	err := unix.Stat(b.path, &s)
	switch {
	case errors.Is(err, unix.ENOENT):
		return b, nil
	case err != nil:
		return b, &os.PathError{Op: "stat", Path: b.path, Err: err}
	case s.Size == size && s.Blocks*512 >= size && size > 0:
		b.held = size
		return b, nil
	}
	b.held = s.Blocks * 512
	return b, b.release()
}

// missing is how much of the free space it would take to make it.
func (b *ballast) missing() int64 { return max(0, b.size-b.held) }

// release gives its room back. Removing needs no space, except on file systems
// that copy on write, and they keep some for that.
func (b *ballast) release() error {
	err := os.Remove(b.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("release ballast: %w", err)
	}
	b.held = 0
	return nil
}

// make takes the room, or none of it.
func (b *ballast) make() (err error) {
	if b.missing() == 0 {
		return nil
	}
	f, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make ballast: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, b.size)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		// What can be compressed might take no room at all.
		_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), b.size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("make ballast of %s: %w", inBytes(b.size), err), b.release())
	}
	b.held = b.size
	return nil
}
