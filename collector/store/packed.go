package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// Late samples are in two places: in their log, and packed into chunks. When it
// packs some, the TSDB writes a mark into the log; when it reads the log and comes
// to a mark, it forgets what it has read of the series, for that is packed
// (loadWBL in its head_wal.go). But it keeps the last 4 MiB of packed chunks in
// memory, where a kill takes them along, and believes a mark whenever any chunk
// that was packed later is there: those of the lives since, too. Marks of a series
// that has come back under another number, and those of a block that was being
// made, are as wrong. Whatever they hide is lost without a word.
//
// The log has all late samples that are in no block. So it is freed of its marks,
// and what is packed goes before the TSDB reads it, which then packs anew. Where
// nothing came late, and mostly nothing has since the last block, all stays.

// unpack makes the log of late samples the only place where they are.
func unpack(dir string) error {
	segments, err := numbered(filepath.Join(dir, wblDir))
	if err != nil {
		return err
	}
	segments = slices.DeleteFunc(segments, func(s file) bool { return s.info.Size() == 0 })
	if len(segments) == 0 {
		return nil
	}
	if err := dropHeadChunks(dir); err != nil {
		return err
	}
	lost, err := nameless(dir, segments)
	if err != nil {
		return fmt.Errorf("whose samples %s has: %w", wblDir, err)
	}
	for _, s := range segments {
		if err := unmark(dir, s, lost); err != nil {
			return fmt.Errorf("free %s of its marks: %w", filepath.Join(wblDir, s.name), err)
		}
	}
	return nil
}

// unmark writes a segment anew without its marks and the samples of series that are
// lost, if it has any. One that is corrupt stays: the TSDB cuts it, and is then
// opened once more.
func unmark(dir string, s file, lost numbers) error {
	path, aside := filepath.Join(dir, wblDir, s.name), filepath.Join(dir, keepDir, "unmarked")
	late := newLines()
	useless := 0
	err := eachRecord(path, func(r []byte, mark bool) error {
		if err := late.read(r); err != nil {
			return err
		}
		if mark || late.of(lost) {
			useless++
		}
		return nil
	})
	if _, corrupt := errors.AsType[*wlog.CorruptionErr](err); corrupt || err == nil && useless == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	// It is not longer than it was; but were it, it must not become two.
	const page = 32 << 10
	log, err := wlog.NewSize(nil, nil, aside, (2*int(s.info.Size())/page+1)*page, compression.Snappy)
	if err != nil {
		return err
	}
	err = eachRecord(path, func(r []byte, mark bool) error {
		if mark {
			return nil
		}
		if err := late.read(r); err != nil {
			return err
		}
		if late.of(lost) {
			if r = late.without(lost); r == nil {
				return nil
			}
		}
		return log.Log(r)
	})
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	made, err := numbered(aside)
	if err != nil {
		return err
	}
	if len(made) != 1 {
		return fmt.Errorf("it has become %d", len(made))
	}
	written := filepath.Join(aside, made[0].name)
	if err := os.Chtimes(written, s.info.ModTime(), s.info.ModTime()); err != nil {
		return err
	}
	if err := syncFile(written); err != nil {
		return err
	}
	if err := os.Rename(written, path); err != nil {
		return err
	}
	return errors.Join(durable.SyncDir(filepath.Dir(path)), os.RemoveAll(aside))
}

// eachRecord calls do with each record of a segment, which is good until do
// returns, and with whether it is a mark.
func eachRecord(path string, do func(r []byte, mark bool) error) (err error) {
	segment, err := wlog.OpenReadSegment(path)
	if err != nil {
		return err
	}
	buffered := wlog.NewSegmentBufReader(segment)
	defer func() { err = errors.Join(err, buffered.Close()) }()
	decoder := record.NewDecoder(labels.NewSymbolTable(), nil)
	r := wlog.NewReader(buffered)
	for r.Next() {
		if err := do(r.Record(), decoder.Type(r.Record()) == record.MmapMarkers); err != nil {
			return err
		}
	}
	return r.Err()
}
