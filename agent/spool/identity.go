package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

const (
	identityName = "identity"
	lockName     = "lock"
)

// identity is what makes the numbers of a spool's batches unique. It is a file
// of three lines:
//
//	plimsoll-spool 1
//	0190b2a4-7f7c-4d0a-a3bd-6a1f2f0c9f11
//	open 7c0e1a52-…
//
// the format's version, the random UUID, and whether the spool was closed
// ("closed") or on which boot of the machine it is or was in use.
type identity struct {
	version int
	id      string
	state   string
}

func (i identity) closed() bool { return i.state == "closed" }

// lost tells whether the last second may have been lost with the machine: a
// process that is killed leaves what it wrote to the kernel, which forgets it
// only when the machine goes down.
func (i identity) lost(bootID string) bool {
	return !i.closed() && bootID != "" && i.state != "open "+bootID
}

// readIdentity returns the zero identity where there is none, or none that
// can be read.
func readIdentity(dir string) (identity, error) {
	data, err := os.ReadFile(filepath.Join(dir, identityName))
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, nil
	}
	if err != nil {
		return identity{}, err
	}
	var i identity
	if _, err := fmt.Sscanf(string(data), "plimsoll-spool %d\n", &i.version); err != nil {
		return identity{}, nil
	}
	lines := strings.Split(string(data), "\n")
	if i.version == formatVersion && len(lines) >= 3 && uuid.Validate(lines[1]) == nil {
		i.id, i.state = lines[1], lines[2]
	}
	return i, nil
}

// write puts the identity in place as a whole or not at all.
func (i identity) write(dir string) error {
	return durable.Replace(filepath.Join(dir, identityName), fmt.Appendf(nil, "plimsoll-spool %d\n%s\n%s\n", formatVersion, i.id, i.state))
}

// lock makes dir this process's own until the file is closed. The kernel lets
// go of it when the process dies.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(f.Name())
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("in use by process %s: stop that agent, or give this one a spool directory of its own",
				strings.TrimSpace(string(owner)))
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	// Who owns it is for people; the lock holds without.
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}

// moveAside makes way for a new spool without deleting what a newer agent has
// left, and returns where that is now.
func moveAside(dir string, at time.Time) (string, error) {
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
