package scaler

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/plimsoll-io/plimsoll/internal/durable"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

// handVersion is the version of the file. Another is not read.
const handVersion = 1

type handFile struct {
	Version int    `json:"version"`
	Acts    []held `json:"acts"`
}

// loadHands reads the file. What cannot be read is told as an error, since a person
// relies on it, and is put aside.
func loadHands(h *hands) *hands {
	h.acts, h.listeners = make(map[aim]held), make(map[chan struct{}]struct{})
	if h.path == "" {
		return h
	}
	if err := durable.DropTorn(h.path); err != nil {
		h.log.Warn("what a crash has left beside it cannot be removed", "file", h.path, "err", err)
	}
	acts, err := readHands(h.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		aside := h.path + ".unreadable"
		err = errors.Join(err, os.Rename(h.path, aside))
		h.log.Error("pauses and overrides unreadable, none counts any more; give them again", "file", aside, "err", err)
	}
	for _, a := range acts {
		h.put(a.Act, a.Lasts)
	}
	return h
}

func readHands(path string) ([]held, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file handFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if file.Version != handVersion {
		return nil, fmt.Errorf("version %d, this program knows %d", file.Version, handVersion)
	}
	return file.Acts, nil
}

func (h *hands) list() []held {
	return slices.SortedFunc(maps.Values(h.acts), func(a, b held) int {
		return cmp.Or(strings.Compare(a.Policy, b.Policy), strings.Compare(string(a.Verb), string(b.Verb)))
	})
}

// sweep forgets what is over, and writes the file if it is behind. It is replaced
// as a whole, so that a crash leaves the old one or the new one. Who comes while
// another writes finds that the next one writes for all that wait.
func (h *hands) sweep() error {
	h.saving.Lock()
	defer h.saving.Unlock()
	data, err := h.unsaved()
	if err == nil && data != nil {
		err = h.replace(h.path, data, 0o600)
	}
	if err != nil {
		h.mu.Lock()
		h.behind = true
		h.mu.Unlock()
		return fmt.Errorf("save pauses and overrides: %w", err)
	}
	return nil
}

// unsaved forgets what is over, and is what the file is to be; nil if it is that.
func (h *hands) unsaved() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for of, a := range h.acts {
		if h.remains(a) > 0 {
			continue
		}
		delete(h.acts, of)
		h.behind = true
		if a.Verb == journal.VerbPause || a.Verb == journal.VerbOverride {
			h.log.Info("what was told by hand is over", "act", string(a.Verb), "policy", a.Policy, "by", a.By)
		}
	}
	h.metrics.show(h.acts)
	if h.path == "" || !h.behind {
		return nil, nil
	}
	h.behind = false
	return json.Marshal(handFile{handVersion, h.list()})
}
