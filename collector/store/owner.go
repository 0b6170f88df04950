package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// ownerFile is locked while a process has the directory open. Until that
// process closes it cleanly the file says who it is:
//
//	pid 4711 on node-a since 2026-11-05T10:12:13Z
//
// Afterwards it is empty. The TSDB has a lock file of its own, which says
// neither who holds it nor how its last holder ended.
const ownerFile = "owner"

// owner is the right to a data directory.
type owner struct {
	file    *os.File
	unclean bool // whoever had it before did not close it
	signed  bool // the file says that we have it
}

// claim makes the directory if need be and takes it, or says who has it. Nothing
// is written yet but what must be new.
func claim(dir string) (*owner, error) {
	path := filepath.Join(dir, ownerFile)
	// A log without a word about its owner comes from elsewhere, say a copy or
	// a Prometheus. Then nobody knows, and unclean is the careful answer.
	_, err := os.Stat(path)
	orphan := errors.Is(err, fs.ErrNotExist) && hasLog(dir)

	err = os.MkdirAll(dir, 0o750)
	if err != nil {
		return nil, unwritable(dir, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if errors.Is(err, unix.EROFS) { // a lock needs no more than that
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, unwritable(dir, err)
	}
	o := &owner{file: f, unclean: orphan}
	if err := o.take(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return o, nil
}

func unwritable(dir string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) && p.Path == dir {
		err = p.Err // the path is named already
	}
	if lacksRoom(err) {
		return fmt.Errorf("data directory %s cannot be written: %w; "+
			"there is nothing yet that could be read: give it room, or choose another directory", dir, err)
	}
	return fmt.Errorf("data directory %s cannot be written: %w; "+
		"give it to the user that runs the collector (uid %d), or choose another directory", dir, err, os.Getuid())
}

func (o *owner) take(dir string) error {
	locked := unix.Flock(int(o.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	before, err := io.ReadAll(io.LimitReader(o.file, 4096))
	if err != nil {
		return fmt.Errorf("read owner: %w", err)
	}
	switch {
	case errors.Is(locked, unix.EWOULDBLOCK):
		return fmt.Errorf("data directory %s is in use by another collector (%s); "+
			"stop that one, or give this one a directory of its own", dir, strings.TrimSpace(string(before)))
	case locked != nil:
		return fmt.Errorf("lock %s: %w; the file system must support flock", o.file.Name(), locked)
	}
	o.unclean = o.unclean || len(before) > 0
	return nil
}

// sign writes who we are and makes sure that it stays written: the next process
// must find it even if this one dies at once.
func (o *owner) sign() error {
	if o.signed {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	if err := o.write(fmt.Sprintf("pid %d on %s since %s\n", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))); err != nil {
		return fmt.Errorf("write owner: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(o.file.Name())); err != nil {
		return fmt.Errorf("write owner: %w", err)
	}
	o.signed = true
	return nil
}

// write replaces what the file says. The file that is locked may have been opened
// while nothing could be written.
func (o *owner) write(text string) error {
	f, err := os.OpenFile(o.file.Name(), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// release marks the directory as cleanly left and gives it back.
func (o *owner) release() error {
	if err := o.write(""); err != nil {
		return errors.Join(fmt.Errorf("close store: write owner: %w", err), o.file.Close())
	}
	return o.file.Close()
}

// abandon gives the directory back without that mark.
func (o *owner) abandon() error { return o.file.Close() }

// hasLog tells whether there is a write-ahead log.
func hasLog(dir string) bool {
	segments, err := numbered(filepath.Join(dir, "wal"))
	return err == nil && len(segments) > 0
}
