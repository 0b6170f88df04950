package disk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrLimit says that a walk ended at one of its limits, so that there is more than
// it has counted.
var ErrLimit = errors.New("there is more than a walk may look at")

// Limits bound a walk.
type Limits struct {
	Entries uint64        // names looked at; 2 million if 0
	Rate    uint64        // of them in a second; 25,000 if 0
	Depth   int           // of directories, each of which takes a descriptor; 128 if 0
	Links   int           // files with several names, which are remembered; 131,072 if 0, about 2 MB
	Time    time.Duration // 5 minutes if 0
}

// Walker counts what is in directories, one after the other. It keeps its memory,
// so that a walk allocates next to nothing. One goroutine at a time may use it.
type Walker struct {
	limits  Limits
	buffers [][]byte // for the names in a directory, by its depth
	status  unix.Statx_t
}

// NewWalker returns a walker that has not been anywhere yet.
func NewWalker(limits Limits) *Walker {
	limits.Entries = cmp.Or(limits.Entries, 2_000_000)
	limits.Rate = cmp.Or(limits.Rate, 25_000)
	limits.Depth = cmp.Or(limits.Depth, 128)
	limits.Links = cmp.Or(limits.Links, 1<<17)
	limits.Time = cmp.Or(limits.Time, 5*time.Minute)
	return &Walker{limits: limits}
}

// Walk counts a directory and all that is below it on the same file system. dir
// is its path in the tree that is at root. No symbolic link is followed below
// dir, and none on the way there leads out of root. What comes and goes meanwhile
// is counted or not.
//
// The error wraps ErrLimit where the walk was too long, and the usage is part of
// the truth then, as it is with any other error. The walk ends soon after ctx
// does, unless the file system does not answer: nothing can end that.
func (w *Walker) Walk(ctx context.Context, root, dir string) (Usage, error) {
	top, err := openBelow(root, dir)
	if err != nil {
		return Usage{}, fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(top)
	v := visit{Walker: w, ctx: ctx, began: time.Now(), timer: time.NewTimer(0), flags: unix.O_NOATIME}
	defer v.timer.Stop()
	if err := v.begin(top); err != nil {
		return v.usage, fmt.Errorf("%s: %w", dir, err)
	}
	if err := v.directory(top, 0); err != nil {
		return v.usage, fmt.Errorf("%s: %w", dir, err)
	}
	return v.usage, nil
}

// openBelow opens a directory in the tree at root, as if root were "/".
func openBelow(root, dir string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	tree, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(tree)
	fd, err := unix.Openat2(tree, dir, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // before 5.6, or an old seccomp profile
		return unix.Open(filepath.Join(root, dir), flags, 0)
	}
	return fd, err
}

// visit is one walk.
type visit struct {
	*Walker
	ctx   context.Context
	began time.Time
	timer *time.Timer
	flags int // to open directories with

	usage        Usage
	major, minor uint32 // of the device that it does not leave
	links        map[uint64]struct{}
}

// begin takes in the directory itself and its file system.
func (v *visit) begin(top int) error {
	if err := v.stat(top, nil); err != nil {
		return err
	}
	v.major, v.minor = v.status.Dev_major, v.status.Dev_minor
	v.usage.Entries++
	if err := v.count(); err != nil {
		return err
	}
	var space unix.Statfs_t
	if err := ignoringEINTR(func() error { return unix.Fstatfs(top, &space) }); err != nil {
		return fmt.Errorf("statfs: %w", err)
	}
	v.usage.Backing = Backing{
		Major: v.major, Minor: v.minor,
		SizeBytes: space.Blocks * uint64(space.Bsize),
		Files:     space.Files,
		FilesFree: space.Ffree,
	}
	return nil
}

// nameSize is room for the names in a directory, enough for 30 of the longest.
const nameSize = 8 << 10

// directory counts what is in an open directory. It asks for the names piece by
// piece, so that one with a million takes no more memory than another.
func (v *visit) directory(fd, depth int) error {
	if depth >= v.limits.Depth {
		return fmt.Errorf("directories %d deep: %w", v.limits.Depth, ErrLimit)
	}
	if depth == len(v.buffers) {
		v.buffers = append(v.buffers, make([]byte, nameSize))
	}
	buffer := v.buffers[depth]
	for {
		var n int
		err := ignoringEINTR(func() (err error) { n, err = unix.Getdents(fd, buffer); return err })
		if err != nil && !errors.Is(err, unix.ENOENT) { // it was removed meanwhile
			return fmt.Errorf("read a directory: %w", err)
		}
		if n <= 0 {
			return nil
		}
		for rest := buffer[:n]; len(rest) > 0; {
			e, size := parseEntry(rest)
			if size == 0 {
				return fmt.Errorf("read a directory: %w", errFormat)
			}
			rest = rest[size:]
			if e.itself() {
				continue
			}
			if err := v.entry(fd, e, depth); err != nil {
				return err
			}
		}
	}
}

// entry is a name in a directory.
type entry struct {
	kind byte   // a DT_ constant
	name []byte // with the 0 that ends it
}

// parseEntry reads a struct linux_dirent64; see getdents64(2). The size is 0 if it
// makes no sense.
func parseEntry(data []byte) (e entry, size int) {
	const kindAt, nameAt = 18, 19 // after inode and offset of 8 bytes, and the size of 2
	if len(data) <= nameAt {
		return e, 0
	}
	size = int(binary.NativeEndian.Uint16(data[16:]))
	if size <= nameAt || size > len(data) {
		return e, 0
	}
	length := bytes.IndexByte(data[nameAt:size], 0)
	if length <= 0 {
		return e, 0
	}
	return entry{data[kindAt], data[nameAt : nameAt+length+1]}, size
}

func (e entry) itself() bool { return string(e.name) == ".\x00" || string(e.name) == "..\x00" }

// entry counts what has a name in a directory.
func (v *visit) entry(fd int, e entry, depth int) error {
	if err := v.step(); err != nil {
		return err
	}
	if e.kind == unix.DT_DIR {
		return v.descend(fd, e, depth)
	}
	if err := v.stat(fd, e.name); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil // it was removed meanwhile
		}
		return err
	}
	if v.status.Mode&unix.S_IFMT == unix.S_IFDIR { // not every file system tells at once
		return v.descend(fd, e, depth)
	}
	return v.count()
}

func (v *visit) descend(parent int, e entry, depth int) error {
	fd, err := v.open(parent, e.name)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil // it was removed meanwhile, or something else has its name
	case err != nil:
		return fmt.Errorf("open a directory: %w", err)
	}
	defer unix.Close(fd)
	if err := v.stat(fd, nil); err != nil {
		return err
	}
	if v.status.Dev_major != v.major || v.status.Dev_minor != v.minor {
		return nil // something is mounted there
	}
	if err := v.count(); err != nil {
		return err
	}
	return v.directory(fd, depth+1)
}

// count adds the file whose status was read last, unless it was counted under
// another name.
func (v *visit) count() error {
	s := &v.status
	if s.Nlink > 1 && s.Mode&unix.S_IFMT != unix.S_IFDIR {
		if _, counted := v.links[s.Ino]; counted {
			return nil
		}
		if len(v.links) >= v.limits.Links {
			return fmt.Errorf("%d files with several names: %w", v.limits.Links, ErrLimit)
		}
		if v.links == nil {
			v.links = make(map[uint64]struct{})
		}
		v.links[s.Ino] = struct{}{}
	}
	v.usage.Bytes += s.Blocks * 512
	v.usage.Inodes++
	return nil
}

// stride is how many entries go by between looks at the clock.
const stride = 64

// step goes on to the next entry, not before its time and not beyond the limits.
func (v *visit) step() error {
	if v.usage.Entries >= v.limits.Entries {
		return fmt.Errorf("%d entries: %w", v.limits.Entries, ErrLimit)
	}
	v.usage.Entries++
	if v.usage.Entries%stride != 0 {
		return nil
	}
	passed := time.Since(v.began)
	if passed >= v.limits.Time {
		return fmt.Errorf("longer than %s: %w", v.limits.Time, ErrLimit)
	}
	wait := time.Duration(v.usage.Entries)*time.Second/time.Duration(v.limits.Rate) - passed
	if wait < pause {
		return v.ctx.Err()
	}
	v.timer.Reset(wait)
	select {
	case <-v.ctx.Done():
		return v.ctx.Err()
	case <-v.timer.C:
		return nil
	}
}

// pause is the shortest that it is worth to wait for.
const pause = 5 * time.Millisecond

// stat reads the status of a name in a directory, or with no name that of an open
// file. The wrappers of package unix copy a name to the heap for each call; the
// kernel's own has all it takes.
func (v *visit) stat(fd int, name []byte) error {
	const mask = unix.STATX_TYPE | unix.STATX_NLINK | unix.STATX_INO | unix.STATX_BLOCKS
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == nil {
		name, flags = []byte{0}, flags|unix.AT_EMPTY_PATH
	}
	for {
		_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&name[0])),
			uintptr(flags), mask, uintptr(unsafe.Pointer(&v.status)), 0)
		switch {
		case errno == 0 && v.status.Mask&mask != mask:
			return errors.New("statx: the file system does not tell how much a file takes")
		case errno == 0:
			return nil
		case errno != unix.EINTR:
			return fmt.Errorf("statx: %w", errno)
		}
	}
}

// open opens a directory by its name in another.
func (v *visit) open(parent int, name []byte) (int, error) {
	for {
		flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | v.flags
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(parent), uintptr(unsafe.Pointer(&name[0])), uintptr(flags), 0, 0, 0)
		switch {
		case errno == 0:
			return int(fd), nil
		case errno == unix.EINTR:
		case errno == unix.EPERM && v.flags != 0:
			v.flags = 0 // only root and owners may read without a trace
		default:
			return -1, errno
		}
	}
}

func ignoringEINTR(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
