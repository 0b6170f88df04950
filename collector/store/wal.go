package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// The logs below a data directory.
const (
	walDir        = "wal"         // all samples since the last block
	wblDir        = "wbl"         // those of them that came out of order
	headChunksDir = "chunks_head" // samples of the logs, packed so as to save memory
)

// checkLogs makes sure that the logs have no holes. What is inside a segment the
// TSDB checks by itself.
//
// A log is cut at its first hole, though some of what follows could be read. The
// number of each agent's last frame stands in the log beside its samples: with
// the cut it steps back, and the agents send again what is missing. What was
// kept behind a hole would hide it.
func checkLogs(dir string) ([]Loss, error) {
	losses, err := checkWAL(dir)
	if err != nil {
		return losses, err
	}
	if len(losses) > 0 {
		if err := dropHeadChunks(dir); err != nil {
			return losses, err
		}
	}
	for _, sub := range []string{wblDir, headChunksDir} {
		l, err := checkSequence(dir, sub)
		losses = append(losses, l...)
		if err != nil {
			return losses, err
		}
	}
	return losses, nil
}

// checkWAL makes sure that the log starts where its checkpoint ends, or at
// segment 0 if there is none, and goes on from there.
func checkWAL(dir string) ([]Loss, error) {
	from, losses, err := checkCheckpoint(dir)
	if err != nil {
		return losses, err
	}
	segments, err := numbered(filepath.Join(dir, walDir))
	if err != nil {
		return losses, err
	}
	var l []Loss
	if len(losses) > 0 && len(segments) > 0 {
		l, err = setAside(dir, walDir, segments, errors.New("of no use without its checkpoint"))
	} else {
		l, err = cutAtHole(dir, walDir, segments, from)
	}
	losses = append(losses, l...)
	if err != nil || from == 0 {
		return losses, err
	}
	if n := len(segments); len(l) == 0 && (n == 0 || segments[n-1].n < from) {
		losses = append(losses, Loss{What: "wal from segment " + segmentName(from), Why: errors.New("all segments behind the checkpoint are missing")})
	}
	if len(losses) == 0 {
		return nil, nil
	}
	// The TSDB numbers its next segment after the last one there is. Were there
	// none behind the checkpoint, it would start below it, and at the next start
	// not read what it writes now.
	f, err := os.OpenFile(filepath.Join(dir, walDir, segmentName(from)), os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return losses, err
	}
	return losses, f.Close()
}

// checkCheckpoint reads the last checkpoint and returns the segment that follows
// it. A checkpoint names the series of all that follows, so that without it the
// segments are of no use: a damaged one goes, and they with it.
func checkCheckpoint(dir string) (int, []Loss, error) {
	path, n, err := wlog.LastCheckpoint(filepath.Join(dir, walDir))
	if errors.Is(err, record.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	why := readCheckpoint(path)
	if why == nil {
		return n + 1, nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, nil, err
	}
	l := Loss{What: walDir + " " + filepath.Base(path), Why: why, Bytes: size(path), From: info.ModTime(), To: info.ModTime()}
	l.Kept, err = quarantine(dir, filepath.Join(walDir, filepath.Base(path)))
	return 0, []Loss{l}, err
}

func readCheckpoint(path string) (err error) {
	segments, err := wlog.NewSegmentsReader(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, segments.Close()) }()
	r := wlog.NewReader(segments)
	for r.Next() {
	}
	return r.Err()
}

// checkSequence makes sure that the files of a subdirectory follow one another.
func checkSequence(dir, sub string) ([]Loss, error) {
	files, err := numbered(filepath.Join(dir, sub))
	if err != nil || len(files) == 0 {
		return nil, err
	}
	if sub == headChunksDir {
		for i, f := range files[:len(files)-1] { // the TSDB repairs the last one
			if why := checkMagic(filepath.Join(dir, sub, f.name)); why != nil {
				return setAside(dir, sub, files[i:], why)
			}
		}
	}
	return cutAtHole(dir, sub, files, files[0].n)
}

func checkMagic(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	want := binary.BigEndian.AppendUint32(nil, chunks.MagicHeadChunks)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("%s does not begin as it should", filepath.Base(path))
	}
	return nil
}

// dropHeadChunks removes the packed chunks after the log has been cut. They say
// by number whose they are, and the numbers of series that went with the cut
// will be given to others. The logs have all their samples that are left.
func dropHeadChunks(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, headChunksDir)); err != nil {
		return fmt.Errorf("remove %s: %w", headChunksDir, err)
	}
	return nil
}
