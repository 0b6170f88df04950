package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// Journal is where changes are appended. Its methods may be called concurrently.
type Journal struct {
	path string

	mu       sync.Mutex
	file     *os.File  // the last segment; nil if it could not be made, or is of no use any more
	size     int64     // of file
	older    []segment // before it
	past     int64     // bytes in older
	appended uint64    // records, counted
	synced   uint64    // of appended
	lost     uint64    // records that could not be written, counted
	covered  uint64    // of lost, by a snapshot
	err      error     // why the last of them was lost
	buf      []byte

	syncing sync.Mutex // one flush or rotation at a time; before mu
	number  int        // of the last segment; syncing's
}

// Replay calls each for every record that a journal holds, the oldest first, and
// tells what could not be read. It changes nothing.
func Replay(path string, each func(data []byte)) (Damage, error) {
	_, damage, err := replay(path, each)
	return damage, err
}

func replay(path string, each func([]byte)) ([]segment, Damage, error) {
	var damage Damage
	segments, err := list(path)
	for i := range segments {
		var more Damage
		if more, err = read(segments[i].path, each); err != nil {
			break
		}
		segments[i].damaged = more.found()
		damage.add(more)
	}
	if err != nil {
		return nil, damage, fmt.Errorf("read journal: %w", err)
	}
	return segments, damage, nil
}

func read(path string, each func([]byte)) (Damage, error) {
	f, err := os.Open(path)
	if err != nil {
		return Damage{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return Damage{}, err
	}
	return decode(f, info.Size(), each)
}

// Open begins a new segment behind those that there are, which it reads with
// each as Replay does. If the segment cannot be made, the journal is usable all
// the same: what is appended counts as lost until there is one.
func Open(path string, each func(data []byte)) (*Journal, Damage, error) {
	segments, damage, err := replay(path, each)
	if err != nil {
		return nil, damage, err
	}
	j := &Journal{path: path, older: segments}
	for _, s := range segments {
		j.number = s.number
		if info, err := os.Stat(s.path); err == nil {
			j.past += info.Size()
		}
	}
	if j.file, err = j.begin(); err != nil {
		j.lose(err)
	}
	return j, damage, nil
}

// begin makes the next segment. It belongs to who holds syncing.
func (j *Journal) begin() (*os.File, error) {
	j.number++
	f, err := os.OpenFile(name(j.path, j.number), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := durable.SyncDir(filepath.Dir(j.path)); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

func (j *Journal) lose(err error) {
	j.lost++
	j.err = err
}

// Append writes a change so that it survives the process. An error says that it
// did not; then the change is lost unless a snapshot covers it, and Sync fails
// until one does.
func (j *Journal) Append(data []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.append(data)
	if err != nil {
		j.lose(err)
	}
	return err
}

// Lose notes that a change was not even tried to append, and why, as if Append
// had failed with that. It returns the reason.
func (j *Journal) Lose(why error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lose(why)
	return why
}

func (j *Journal) append(data []byte) error {
	switch {
	case len(data) == 0:
		return errors.New("a change of no bytes")
	case len(data) > maxRecord:
		return ErrTooLong
	case j.file == nil:
		return j.err
	}
	j.buf = encode(j.buf[:0], data)
	n, err := j.file.Write(j.buf)
	if err == nil {
		j.size += int64(n)
		j.appended++
		return nil
	}
	// Half a record would hide those behind it.
	if n > 0 && j.file.Truncate(j.size) != nil {
		j.size += int64(n)
		j.retire()
	}
	return err
}

// retire ends a segment that cannot be written to any more.
func (j *Journal) retire() {
	_ = j.file.Close()
	j.past += j.size
	j.older = append(j.older, segment{path: j.file.Name()})
	j.file = nil
}

// Sync returns once all that was appended before it survives a power cut. Calls
// at one time share a flush. It fails, and says why, while something was lost.
func (j *Journal) Sync() error {
	j.mu.Lock()
	want := j.appended
	j.mu.Unlock()

	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	upTo, file := j.appended, j.file
	flushed := j.synced >= want
	j.mu.Unlock()

	var err error
	if !flushed && file != nil {
		err = file.Sync()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case err != nil:
		// The kernel forgets what it could not flush: only a snapshot helps.
		j.lose(err)
		if j.file == file {
			j.retire()
		}
	case !flushed && file != nil:
		j.synced = max(j.synced, upTo)
	}
	return j.missing()
}

// Err is nil if all that was appended is in the journal or in a snapshot.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.missing()
}

func (j *Journal) missing() error {
	if j.lost == j.covered {
		return nil
	}
	return j.err
}

// Size is the bytes of all segments.
func (j *Journal) Size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.past + j.size
}

// Rotate begins a new segment with some records. A snapshot that is made after
// it returns covers all segments before; once that is on disk, drop removes
// them. If no segment can be made, the present one goes on; then a snapshot
// covers what was lost, but nothing is removed.
func (j *Journal) Rotate(head ...[]byte) (drop func() error, err error) {
	return j.RotateWith(func(begin func(head ...[]byte)) { begin(head...) })
}

// RotateWith is Rotate for a head that must be just as old as the segment: around
// calls begin once, under whatever lock keeps the head from changing. Nothing is
// flushed meanwhile. It is not called if no segment can be made.
func (j *Journal) RotateWith(around func(begin func(head ...[]byte))) (drop func() error, err error) {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	next, err := j.begin()
	if err != nil {
		lost := j.losses(nil)
		return func() error { j.cover(lost); return nil }, fmt.Errorf("begin a segment: %w", err)
	}
	var (
		old    []segment
		before *os.File
		upTo   uint64
	)
	around(func(head ...[]byte) { old, before, upTo = j.swap(next, head) })
	if before != nil {
		err = errors.Join(before.Sync(), before.Close())
	}
	if err == nil {
		j.mu.Lock()
		j.synced = max(j.synced, upTo)
		j.mu.Unlock()
	}
	lost := j.losses(err)
	return func() error { j.cover(lost); return j.drop(old) }, err
}

// swap makes next the segment that is written to. It returns those before, the
// file of the last of them, and how many records were appended by then.
func (j *Journal) swap(next *os.File, head [][]byte) (old []segment, before *os.File, upTo uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before, upTo = j.file, j.appended
	if before != nil {
		j.older = append(j.older, segment{path: before.Name()})
		j.past += j.size
	}
	old = j.older[:len(j.older):len(j.older)]
	j.file, j.size = next, 0
	for _, data := range head {
		if err := j.append(data); err != nil {
			j.lose(err)
		}
	}
	return old, before, upTo
}

// losses counts what was lost, and one more if there is an error. All of it is
// in a snapshot made later: a change is made before it is appended.
func (j *Journal) losses(err error) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.lose(err)
	}
	return j.lost
}

// cover notes that a snapshot holds what was lost up to then.
func (j *Journal) cover(lost uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.covered = max(j.covered, lost)
}

// drop removes segments. One that an older drop has removed is no trouble.
func (j *Journal) drop(old []segment) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range old {
		at := slices.Index(j.older, s)
		if at < 0 {
			continue
		}
		info, err := os.Stat(s.path)
		if err == nil {
			err = s.remove(j.path)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a segment that a snapshot covers: %w", err)
		}
		if info != nil {
			j.past -= info.Size()
		}
		j.older = slices.Delete(slices.Clone(j.older), at, at+1)
	}
	return nil
}

// Close flushes and ends the journal.
func (j *Journal) Close() error {
	err := j.Sync()
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		err = errors.Join(err, j.file.Close())
		j.file = nil
	}
	if j.err == nil {
		j.err = errors.New("the journal is closed")
	}
	return err
}
