package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

const (
	placesName = "places.json"
	lockName   = "lock"
)

// places is what a spool notes beside its segments: up to where all was on
// stable storage, and up to where each reader has dealt with it.
type places struct {
	Version int              `json:"version"`
	Next    Place            `json:"next"`
	Readers map[string]Place `json:"readers"`
}

func (p places) equal(o places) bool { return p.Next == o.Next && maps.Equal(p.Readers, o.Readers) }

// readPlaces returns none where there are none, or none that can be read.
func readPlaces(dir string) (places, error) {
	data, err := os.ReadFile(filepath.Join(dir, placesName))
	if errors.Is(err, fs.ErrNotExist) {
		return places{}, nil
	}
	if err != nil {
		return places{}, err
	}
	var p places
	if err := json.Unmarshal(data, &p); err != nil {
		return places{}, fmt.Errorf("%s: %w", placesName, err)
	}
	return p, nil
}

// Save notes how far each reader has come, and deletes what all have dealt with.
// Without it, readers begin after a kill where they were when it was last called.
func (s *Spool) Save() error {
	s.mu.Lock()
	p := places{Version: formatVersion, Next: s.durable, Readers: make(map[string]Place, len(s.readers))}
	for name, r := range s.readers {
		p.Readers[name] = r.committed
	}
	old, closed := s.saved, s.closed
	s.mu.Unlock()
	if closed || p.equal(old) {
		return nil
	}
	data, err := json.Marshal(p)
	if err == nil {
		err = durable.Replace(filepath.Join(s.opts.Dir, placesName), data)
	}
	if err != nil {
		return fmt.Errorf("note the places in forward spool: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = p
	s.release()
	return nil
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
			return nil, fmt.Errorf("in use by process %s: stop that collector, or give this one a directory of its own",
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

// moveAside makes way for a new spool without deleting what a newer version has
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
