package scaler

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/durable"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// absence is for how long the past of a policy is kept that is not there: those in
// labels come later than others, and a service may be away for an update.
const absence = 24 * time.Hour

// memoryVersion is the version of the file. Another is not read.
const memoryVersion = 1

// memory is the past of every policy, kept in one file over restarts. What
// cannot be read is forgotten, and a policy without a past shrinks nothing until
// it has watched for a whole window. Its methods may be called concurrently.
type memory struct {
	path string // empty: nothing is kept

	saving sync.Mutex // held while the file is written
	writes int        // of the file, guarded by saving

	mu     sync.Mutex
	past   map[string]past   // by policy
	seen   map[string]target // by target
	broken brokenFile
	behind bool // this has what the file has not
	clean  bool // nothing comes any more
	crash  bool // what was read is of a process that did not end as it should
}

// past is what one policy goes by. It counts for exactly the policy that made
// it: numbers wanted under other targets mean nothing.
type past struct {
	Policy string       `json:"policy"` // hash of the policy
	State  decide.State `json:"state"`
}

// target is what was learnt of one target, whatever its policy said.
type target struct {
	Boots []time.Duration `json:"boots,omitempty"` // what the last replicas took to be ready
	Nodes []string        `json:"nodes,omitempty"` // on which replicas were last heard
}

type memoryFile struct {
	Version int `json:"version"`
	// Clean tells that this was written at the end of a scaler: nothing came after.
	Clean  bool              `json:"clean,omitempty"`
	Past   map[string]past   `json:"past"`
	Seen   map[string]target `json:"seen,omitempty"`
	Broken brokenFile        `json:"broken,omitzero"`
}

// openMemory reads the file at path. One that is damaged is left aside with a
// warning and overwritten later.
func openMemory(path string, log *slog.Logger) *memory {
	m := &memory{path: path, past: make(map[string]past), seen: make(map[string]target)}
	if path == "" {
		return m
	}
	if err := durable.DropTorn(path); err != nil {
		log.Warn("what a crash has left beside the state cannot be removed", "file", path, "err", err)
	}
	file, err := readMemory(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		log.Warn("state unreadable, every policy starts afresh and will not shrink for a whole window", "file", path, "err", err)
	default:
		if file.Past != nil {
			m.past = file.Past
		}
		if file.Seen != nil {
			m.seen = file.Seen
		}
		m.broken, m.crash = file.Broken, !file.Clean
		m.behind = file.Clean // from now on a crash would be one
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

// recall returns the past of app, or a fresh start, of which after an edit no more is
// known than how there came to be no replica. After a crash it is told that it may
// have missed something.
func (m *memory) recall(app policy.App, now time.Time) decide.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.past[app.Name]
	switch {
	case !ok || p.State.Version != decide.StateVersion:
		return decide.State{}
	case p.Policy != app.Fingerprint():
		return p.State.Edited()
	}
	state := p.State.Clone()
	if m.crash {
		state.Lost(now)
	}
	return state
}

// remember keeps the past of a policy; save writes it.
func (m *memory) remember(name, fingerprint string, s decide.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.past[name] = past{fingerprint, s}
	m.behind = true
}

// learnt is what is known of a target.
func (m *memory) learnt(t policy.Target) target {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[t.String()]
}

// learn keeps what was learnt of a target; the slices belong to the memory then.
func (m *memory) learn(name string, t target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[name] = t
	m.behind = true
}

// breaks keeps what a breaker has to outlive.
func (m *memory) breaks(f brokenFile) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = f
	m.behind = true
}

// retain drops the past of policies that have not been there for long, and of their
// targets.
func (m *memory) retain(apps []policy.App, now time.Time) {
	names, targets := make(map[string]bool, len(apps)), make(map[string]bool, len(apps))
	for _, app := range apps {
		names[app.Name], targets[app.Target.String()] = true, true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.past) + len(m.seen)
	maps.DeleteFunc(m.past, func(name string, p past) bool { return !names[name] && now.Sub(p.State.At) > absence })
	for _, p := range m.past {
		targets[p.State.Target] = true
	}
	maps.DeleteFunc(m.seen, func(name string, _ target) bool { return !targets[name] })
	m.behind = m.behind || len(m.past)+len(m.seen) < n
}

// end is the last save.
func (m *memory) end() error {
	m.mu.Lock()
	m.clean, m.behind = true, true
	m.mu.Unlock()
	return m.save()
}

// save writes the file if it is behind. It is replaced as a whole, so that a
// crash leaves the old one or the new one. Who comes while another writes finds
// that the next one writes for all that wait.
func (m *memory) save() error {
	if m.path == "" {
		return nil
	}
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	if !m.behind {
		m.mu.Unlock()
		return nil
	}
	// What the maps hold never changes, so it can be written beside the loops.
	file := memoryFile{memoryVersion, m.clean, maps.Clone(m.past), maps.Clone(m.seen), m.broken}
	m.behind = false
	m.mu.Unlock()

	m.writes++
	data, err := json.Marshal(file)
	if err == nil {
		err = durable.Replace(m.path, data, 0o600)
	}
	if err != nil {
		m.mu.Lock()
		m.behind = true
		m.mu.Unlock()
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}
