package discover

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// watched are the changes asked for; see inotify(7).
const watched = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ONLYDIR

// change is one record of inotify.
type change struct {
	watch int32
	mask  uint32
	name  string
}

// notifier tells of directories that come and go in directories it watches.
// Only its changes channel may be used by more than one goroutine.
type notifier struct {
	root    string
	fd      int
	file    *os.File         // the same descriptor, to read from; it is non-blocking, so that Close ends a Read
	watches map[string]int32 // by path below root
	paths   map[int32]string

	changes chan []change // closed when no more can be read
	stop    chan struct{}
}

// newNotifier fails when the user has no inotify instance or descriptor left.
func newNotifier(root string) (*notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	n := &notifier{
		root:    root,
		fd:      fd,
		file:    os.NewFile(uintptr(fd), "inotify"),
		watches: map[string]int32{},
		paths:   map[int32]string{},
		changes: make(chan []change),
		stop:    make(chan struct{}),
	}
	go n.read()
	return n, nil
}

// Close ends the reading and waits for it.
func (n *notifier) Close() {
	close(n.stop)
	_ = n.file.Close()
	for range n.changes {
	}
}

func (n *notifier) read() {
	defer close(n.changes)
	buf := make([]byte, 64<<10)
	for {
		size, err := n.file.Read(buf)
		if err != nil {
			return
		}
		select {
		case n.changes <- parseChanges(buf[:size]):
		case <-n.stop:
			return
		}
	}
}

// watch starts to watch a directory. To do so again does no harm, and catches
// that another directory took the place of the one watched before.
func (n *notifier) watch(dir string) error {
	descriptor, err := unix.InotifyAddWatch(n.fd, filepath.Join(n.root, dir), watched)
	if err != nil {
		return err
	}
	watch := int32(descriptor)
	if old, ok := n.watches[dir]; ok && old != watch {
		delete(n.paths, old)
	}
	n.watches[dir], n.paths[watch] = watch, dir
	return nil
}

// forget ends the watch of a directory, which the kernel has ended already if
// the directory is gone.
func (n *notifier) forget(dir string) {
	if watch, ok := n.watches[dir]; ok {
		_, _ = unix.InotifyRmWatch(n.fd, uint32(watch))
		delete(n.paths, watch)
		delete(n.watches, dir)
	}
}

// parseChanges parses what a read of inotify yields, records of
//
//	int32 watch, uint32 mask, uint32 cookie, uint32 len, char name[len]
//
// in the byte order of the machine, the name padded with zeros.
func parseChanges(buf []byte) []change {
	var all []change
	for len(buf) >= unix.SizeofInotifyEvent {
		c := change{
			watch: int32(binary.NativeEndian.Uint32(buf)),
			mask:  binary.NativeEndian.Uint32(buf[4:]),
		}
		size := binary.NativeEndian.Uint32(buf[12:])
		buf = buf[unix.SizeofInotifyEvent:]
		if uint64(size) > uint64(len(buf)) {
			return all // cut short, which the kernel never does
		}
		name, _, _ := bytes.Cut(buf[:size], []byte{0})
		c.name = string(name)
		buf = buf[size:]
		all = append(all, c)
	}
	return all
}
