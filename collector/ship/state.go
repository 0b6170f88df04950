package ship

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// StateFile is where the blocks are noted that have been copied, in the
// directory of the store. Name and format are those of Thanos' sidecar, which
// ignores the keys that only we know.
const StateFile = "thanos.shipper.json"

const stateVersion = 1

// record is the file.
type record struct {
	Version int `json:"version"`
	// Uploaded are the blocks in the bucket, whether as they were or merged, of
	// which there is something in the directory: they or what they went into.
	Uploaded []ulid.ULID `json:"uploaded"`
	// Complete says that Uploaded names everything of the directory that is in
	// the bucket. The sidecar forgets a block once it has been merged.
	Complete bool `json:"plimsoll_complete,omitempty"`
	// Uploading are blocks that were begun and may be in the bucket in part.
	Uploading []ulid.ULID `json:"plimsoll_uploading,omitempty"`
}

// state is what is known of the bucket without asking it.
type state struct {
	path string

	mu       sync.Mutex
	uploaded map[ulid.ULID]bool
	whole    bool // see record.Complete
	begun    map[ulid.ULID]bool
	written  []byte // as the file is
}

// readState always returns a state. One that could not be read knows nothing.
func readState(path string) (*state, error) {
	s := &state{path: path, uploaded: map[ulid.ULID]bool{}, begun: map[ulid.ULID]bool{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	r, err := parseState(data)
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	for _, id := range r.Uploaded {
		s.uploaded[id] = true
	}
	for _, id := range r.Uploading {
		s.begun[id] = true
	}
	s.whole = r.Complete
	return s, nil
}

func parseState(data []byte) (record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, err
	}
	if r.Version != stateVersion {
		return record{}, fmt.Errorf("version is %d, want %d", r.Version, stateVersion)
	}
	return r, nil
}

// covers tells whether all samples of a block are in the bucket.
func (s *state) covers(meta *tsdb.BlockMeta) bool {
	if meta.Stats.NumSamples == 0 || meta.Compaction.Deletable {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range sources(meta) {
		if !s.uploaded[id] {
			return false
		}
	}
	return true
}

// sources are the blocks of the head that a block was made of.
func sources(meta *tsdb.BlockMeta) []ulid.ULID {
	if len(meta.Compaction.Sources) == 0 {
		return []ulid.ULID{meta.ULID}
	}
	return meta.Compaction.Sources
}

func (s *state) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole
}

// know adds what the bucket was found to hold.
func (s *state) know(ids map[ulid.ULID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range ids {
		s.uploaded[id] = true
	}
	s.whole = true
}

// add notes a block that is in the bucket.
func (s *state) add(meta *tsdb.BlockMeta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploaded[meta.ULID] = true
	for _, id := range sources(meta) {
		s.uploaded[id] = true
	}
	delete(s.begun, meta.ULID)
}

// begin notes that a block may be in the bucket in part.
func (s *state) begin(id ulid.ULID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[id] = true
}

// end notes that nothing of a block is in the bucket.
func (s *state) end(id ulid.ULID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.begun, id)
}

// partial are the blocks that may be in the bucket in part.
func (s *state) partial() []ulid.ULID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sorted(s.begun)
}

func sorted(ids map[ulid.ULID]bool) []ulid.ULID {
	return slices.SortedFunc(maps.Keys(ids), ulid.ULID.Compare)
}

// keep forgets the blocks of which the directory has nothing any more.
func (s *state) keep(blocks []block) {
	left := ofAll(blocks)
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.uploaded, func(id ulid.ULID, _ bool) bool { return !left[id] })
}

// write brings the file up to date, in one step.
func (s *state) write() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := json.MarshalIndent(record{
		Version: stateVersion, Uploaded: append([]ulid.ULID{}, sorted(s.uploaded)...), Complete: s.whole, Uploading: sorted(s.begun),
	}, "", "\t")
	if err != nil {
		return err
	}
	if bytes.Equal(data, s.written) {
		return nil
	}
	if err := durable.Replace(s.path, data, 0o644); err != nil {
		return fmt.Errorf("note what was copied: %w", err)
	}
	s.written = data
	return nil
}

// HoldBack is for a directory whose blocks Thanos' sidecar copies: it tells of a
// block whether the sidecar has not noted it in its file yet. Blocks that were
// merged already are not held back, for the sidecar leaves them out.
//
// Prometheus does the same where --storage.tsdb.delay-compact-file.path is
// given, except that a file that is not there holds nothing back: a sidecar
// that starts a little later than the store would miss late samples.
func HoldBack(file string) tsdb.BlockExcludeFilterFunc {
	return func(meta *tsdb.BlockMeta) bool {
		if meta.Compaction.Level > 1 {
			return false
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return true
		}
		r, err := parseState(data)
		return err != nil || !slices.Contains(r.Uploaded, meta.ULID)
	}
}
