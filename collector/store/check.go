package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// quarantineDir is where damaged parts lie, for people to look at. Nothing here
// reads it again.
const quarantineDir = "quarantine"

// Loss is a part of the data that could not be used.
type Loss struct {
	What string // "block 01JB…", "wal from segment 7"
	Why  error
	// From and To are what it covered. For a block these are sample times, for
	// a log the times at which it was written. Zero if not known; if they are
	// equal, only the end is known.
	From, To time.Time
	Bytes    int64
	Kept     string // where it lies now; empty if it is still where it was, or could not be kept
	// CutShort says that it is only the end of the log, which a kill or a failed
	// write has cut short: nothing that a Sync had covered was in it.
	CutShort bool
}

// check looks at everything the TSDB would refuse to start with, or would
// answer no query over, and moves it into quarantine. Blocks that are in sound
// are believed, and those found to be sound are added.
func check(ctx context.Context, dir string, sound map[string]bool) ([]Loss, error) {
	losses, err := checkBlocks(ctx, dir, sound)
	if err != nil {
		return losses, err
	}
	logs, err := checkLogs(dir)
	return append(losses, logs...), err
}

// checkBlocks reads the index of every block, so its time grows with the data:
// some two seconds for a million series.
func checkBlocks(ctx context.Context, dir string, sound map[string]bool) ([]Loss, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, err := ulid.ParseStrict(e.Name()); err == nil && e.IsDir() && !sound[e.Name()] {
			names = append(names, e.Name())
		}
	}
	damage := make([]error, len(names))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		g.Go(func() error {
			damage[i] = verifyBlock(ctx, filepath.Join(dir, name))
			return nil
		})
	}
	_ = g.Wait() // each has left its error in damage
	if err := ctx.Err(); err != nil {
		return nil, err // then that is what they complain of
	}

	var losses []Loss
	for i, name := range names {
		if damage[i] == nil {
			sound[name] = true
			continue
		}
		l, err := setBlockAside(dir, name, damage[i])
		if err != nil {
			return losses, err
		}
		losses = append(losses, l)
	}
	return losses, nil
}

func setBlockAside(dir, name string, why error) (Loss, error) {
	l := Loss{What: "block " + name, Why: why}
	l.From, l.To = blockTimes(filepath.Join(dir, name))
	l.Bytes = size(filepath.Join(dir, name))
	var err error
	l.Kept, err = quarantine(dir, name)
	return l, err
}

// file is a file whose name is a number.
type file struct {
	n    int
	name string
	info fs.FileInfo
}

func segmentName(n int) string { return fmt.Sprintf("%08d", n) }

// numbered lists the files of a directory whose names are numbers, in order.
// A directory that is not there has none.
func numbered(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, e.Name())) // what a link points to, in a shadow
		if err != nil {
			return nil, err
		}
		files = append(files, file{n, e.Name(), info})
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.n, b.n) })
	return files, nil
}

// cutAtHole sets aside the files behind the first number that is missing,
// counted from the given one.
func cutAtHole(dir, sub string, files []file, from int) ([]Loss, error) {
	next := from
	for i, f := range files {
		if f.n < from {
			continue
		}
		if f.n != next {
			return setAside(dir, sub, files[i:], fmt.Errorf("%s is missing", filepath.Join(sub, segmentName(next))))
		}
		next++
	}
	return nil, nil
}

// setAside moves the files of a subdirectory into quarantine.
func setAside(dir, sub string, files []file, why error) ([]Loss, error) {
	last := files[len(files)-1]
	l := Loss{
		What: fmt.Sprintf("%s from segment %d", sub, files[0].n),
		Why:  why, From: files[0].info.ModTime(), To: last.info.ModTime(),
	}
	for _, f := range files {
		l.Bytes += f.info.Size()
		kept, err := quarantine(dir, filepath.Join(sub, f.name))
		if err != nil {
			return []Loss{l}, err
		}
		l.Kept = filepath.Dir(kept)
	}
	return []Loss{l}, nil
}

// quarantine moves a part of the data directory away and returns where to.
func quarantine(dir, part string) (string, error) {
	return moveAside(dir, filepath.Join(dir, part), part)
}

// moveAside moves path into quarantine under the name of the part it is or was.
// It never overwrites what an earlier accident has left there.
func moveAside(dir, path, part string) (string, error) {
	to := filepath.Join(dir, quarantineDir, part)
	for n := 1; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = filepath.Join(dir, quarantineDir, fmt.Sprintf("%s.%d", part, n))
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return "", err
	}
	if err := os.Rename(path, to); err != nil {
		return "", fmt.Errorf("set damaged data aside: %w", err)
	}
	return to, errors.Join(durable.SyncDir(filepath.Dir(path)), durable.SyncDir(filepath.Dir(to)))
}

// size is the bytes of all files below path, as far as they can be had.
func size(path string) int64 {
	var sum int64
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}
