package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

const placesName = "places.json"

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
		err = durable.Replace(filepath.Join(s.opts.Dir, placesName), data, 0o600)
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
