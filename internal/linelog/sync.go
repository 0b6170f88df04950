package linelog

import (
	"errors"
	"os"
	"slices"
	"sync"
)

// disk is how far the lines are safe from a power cut. Its mutex is taken before
// that of the log, which nobody holds while a file is synced.
type disk struct {
	sync.Mutex
	fsync  func(*os.File) error
	synced int64 // as many of what was appended
	failed int64 // as many had been appended when that failed last
	err    error // of that
}

// Sync makes what was appended survive a power cut. Appending goes on meanwhile,
// and all who wait share the next turn of the disk.
func (l *Log) Sync() error {
	l.mu.Lock()
	mine := l.appended
	l.mu.Unlock()
	l.disk.Lock()
	defer l.disk.Unlock()
	if mine > max(l.disk.synced, l.disk.failed) {
		_ = l.flush()
	}
	if mine <= l.disk.failed {
		return l.disk.err // the disk does not tell again what it has lost
	}
	return nil
}

// flush syncs all files, and closes those that are full.
func (l *Log) flush() error {
	l.mu.Lock()
	full, last, appended := l.full, l.file, l.appended
	l.full = nil
	l.mu.Unlock()
	var errs []error
	for _, file := range full {
		errs = append(errs, l.disk.fsync(file), file.Close())
	}
	if last != nil {
		errs = append(errs, l.disk.fsync(last)) // whoever closes it waits for disk
	}
	err := errors.Join(errs...)
	if err != nil {
		l.disk.failed, l.disk.err = appended, err
	} else {
		l.disk.synced = appended
	}
	return err
}

// Close ends the writing. Reading goes on working.
func (l *Log) Close() error {
	l.beside.Wait()
	l.mu.Lock()
	l.collect(true)
	l.retire()
	l.mu.Unlock()
	l.disk.Lock()
	defer l.disk.Unlock()
	return l.flush()
}

// retire ends the writing to the last segment.
func (l *Log) retire() {
	if l.file != nil {
		l.full = append(l.full, l.file)
		l.file = nil
	}
}

// tidy packs and syncs, beside, the segments that are full. It is one at a time:
// if the one before it takes as long as it takes to fill a segment, it is waited for.
func (l *Log) tidy() {
	l.collect(true)
	full := slices.DeleteFunc(slices.Clone(l.list[:len(l.list)-1]), func(s Segment) bool {
		return !l.opts.Pack || s.packed || s.Size < leastPacked
	})
	if len(full) == 0 && len(l.full) == 0 {
		return
	}
	packing := make(chan []Segment, 1)
	l.packing = packing
	l.beside.Go(func() {
		var done []Segment
		for _, seg := range full {
			// One for which there is no room stays as it is, until the next time.
			if p, _ := seg.pack(l.disk.fsync); p.packed {
				done = append(done, p)
			}
		}
		packing <- done
		l.disk.Lock()
		defer l.disk.Unlock()
		_ = l.flush() // Sync will tell
	})
}

// collect takes over what was packed beside, and waits for it if it must.
func (l *Log) collect(wait bool) {
	if l.packing == nil || !wait && len(l.packing) == 0 {
		return
	}
	for _, p := range <-l.packing {
		if i := slices.IndexFunc(l.list, func(s Segment) bool { return s.Number == p.Number }); i >= 0 {
			l.list[i] = p
		} else {
			_ = p.remove() // it was dropped meanwhile
		}
	}
	l.packing = nil
}
