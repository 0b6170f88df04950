package scaler

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// memoryVersion is the version of the file. Another is not read.
const memoryVersion = 1

// memory is the past of every policy, kept in one file over restarts. What
// cannot be read is forgotten, and a policy without a past shrinks nothing until
// it has watched for a whole window. Its methods may be called concurrently.
type memory struct {
	path string // empty: nothing is kept

	mu     sync.Mutex
	past   map[string]past // by policy
	behind bool            // past has what the file has not
}

// past is what one policy goes by. It counts for exactly the policy that made
// it: numbers wanted under other targets mean nothing.
type past struct {
	Policy string       `json:"policy"` // hash of the policy
	State  decide.State `json:"state"`
}

type memoryFile struct {
	Version int             `json:"version"`
	Past    map[string]past `json:"past"`
}

// openMemory reads the file at path. One that is damaged is left aside with a
// warning and overwritten later.
func openMemory(path string, log *slog.Logger) *memory {
	m := &memory{path: path, past: make(map[string]past)}
	if path == "" {
		return m
	}
	file, err := readMemory(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		log.Warn("state unreadable, every policy starts afresh and will not shrink for a whole window", "file", path, "err", err)
	case file.Past != nil:
		m.past = file.Past
	}
	return m
}

func readMemory(path string) (memoryFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return memoryFile{}, err
	}
	var file memoryFile
	if err := json.Unmarshal(data, &file); err != nil {
		return memoryFile{}, err
	}
	if file.Version != memoryVersion {
		return memoryFile{}, fmt.Errorf("version %d, this program knows %d", file.Version, memoryVersion)
	}
	return file, nil
}

// recall returns the past of app, or the zero State, which is a fresh start.
func (m *memory) recall(app policy.App) decide.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.past[app.Name]
	if !ok || p.Policy != fingerprint(app) || p.State.Version != decide.StateVersion {
		return decide.State{}
	}
	return p.State
}

// remember keeps the past of a policy; save writes it.
func (m *memory) remember(name, fingerprint string, s decide.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.past[name] = past{fingerprint, s}
	m.behind = true
}

// retain drops the past of policies that are no more.
func (m *memory) retain(apps []policy.App) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.past {
		if !slices.ContainsFunc(apps, func(app policy.App) bool { return app.Name == name }) {
			delete(m.past, name)
			m.behind = true
		}
	}
}

// save writes the file if it is behind. It is replaced as a whole, so that a
// crash leaves the old one or the new one.
func (m *memory) save() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.path == "" || !m.behind {
		return nil
	}
	data, err := json.Marshal(memoryFile{memoryVersion, m.past})
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if err := replaceFile(m.path, data); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	m.behind = false
	return nil
}

// replaceFile puts data at path: written beside it, flushed, renamed.
func replaceFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// fingerprint changes with anything in a policy.
func fingerprint(app policy.App) string {
	data, err := json.Marshal(app)
	if err != nil {
		return "" // an amount that is no number; no past fits such a policy
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
