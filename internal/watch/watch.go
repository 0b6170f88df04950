// Package watch tells when the content of files has changed. It reads them every
// few seconds instead of asking the kernel to be told: configuration is small,
// and a poll sees alike an editor that writes in place, one that renames, the
// links that Kubernetes exchanges for a ConfigMap, and a network file system.
package watch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Options say what to watch.
type Options struct {
	// Patterns are the names of files, which may have wildcards and need not
	// exist. They are asked for at each look, since a file may name others.
	Patterns func() []string
	// Changed is called when what is in the files has become something else,
	// and has been so at two looks: a file that is just being written is not
	// read half. Its error is not the watcher's concern; it is called again
	// only when the files change again.
	Changed func()
	// Interval is the time between looks; 2 s by default.
	Interval time.Duration
}

// maxBytes bounds what is read of a file. Beyond that it is its size and its
// time that count.
const maxBytes = 16 << 20

// Watcher looks at files.
type Watcher struct {
	opts Options
	seen [sha256.Size]byte // when Changed was last called, or New
	last [sha256.Size]byte // at the last look
}

// New takes what is in the files now as known.
func New(opts Options) (*Watcher, error) {
	if opts.Patterns == nil || opts.Changed == nil {
		return nil, errors.New("a watcher needs files to watch and something to call")
	}
	opts.Interval = cmp.Or(opts.Interval, 2*time.Second)
	now := sum(opts.Patterns())
	return &Watcher{opts: opts, seen: now, last: now}, nil
}

// Run looks until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(w.opts.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.look()
		}
	}
}

func (w *Watcher) look() {
	now := sum(w.opts.Patterns())
	still := now == w.last
	w.last = now
	if now == w.seen || !still {
		return
	}
	// If it changes again while it is read, or names other files now, the next
	// looks find another sum than this one.
	w.seen = now
	w.opts.Changed()
}

// sum is a checksum of the names and contents of files.
func sum(patterns []string) [sha256.Size]byte {
	h := sha256.New()
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			names = []string{pattern}
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(h, "%d %s\n", len(name), name)
			add(h, name)
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// add adds the content of a file, or why there is none.
func add(h io.Writer, name string) {
	info, err := os.Stat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxBytes) { // to open a pipe would wait
		fmt.Fprintf(h, "~ %v %d %d\n", info.Mode(), info.Size(), info.ModTime().UnixNano())
		return
	}
	data, err := os.ReadFile(name)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		fmt.Fprintf(h, "- %v\n", err)
		return
	}
	fmt.Fprintf(h, "%d %x\n", len(data), sha256.Sum256(data))
}
