package records

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const lockName = "lock"

// Claim makes the directory of a spool this process's own until the file is closed.
// The kernel lets go of it when the process dies.
func Claim(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(f.Name())
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("in use by process %s: stop that one, or choose another directory", strings.TrimSpace(string(owner)))
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	// Who owns it is for people; the lock holds without.
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}

// MoveAside makes way for a new spool without deleting what a newer version has
// left, and returns where that is now.
func MoveAside(dir string, at time.Time) (string, error) {
	aside := filepath.Join(dir, "aside-"+at.UTC().Format("20060102T150405.000Z"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Name() != lockName && !e.IsDir() {
			err = errors.Join(err, os.Rename(filepath.Join(dir, e.Name()), filepath.Join(aside, e.Name())))
		}
	}
	return aside, err
}
