package linelog

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// A packed segment is gzip in blocks, which zcat reads as one text. Each block is
// a member of its own and says in its header how long it is, so that they can be
// read from the last to the first:
//
//	1f 8b 08 04 …6 bytes… 08 00 'P' 'L' 04 00 <length, 4 bytes> …
const (
	blockText = 256 << 10 // of the text, before it is packed
	headBytes = 20        // of a block, up to the packed text
	lengthAt  = 16        // of the length in it
	packing   = ".new"    // what is not packed to its end

	// leastPacked is the least segment that is worth it.
	leastPacked = 64 << 10
)

// pack makes a packed segment of one that is not written to any more, and removes
// the other. Between the two, both are there; either is whole.
func (s Segment) pack(fsync func(*os.File) error) (Segment, error) {
	src, err := os.Open(s.path)
	if err != nil {
		return s, err
	}
	defer func() { _ = src.Close() }()
	info, err := src.Stat()
	if err != nil {
		return s, err
	}
	packed := s
	packed.path, packed.packed = s.path+".gz", true
	tmp, err := os.OpenFile(packed.path+packing, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return s, err
	}
	packed.Size, err = packInto(tmp, src)
	err = errors.Join(err, fsync(tmp), tmp.Close())
	if err == nil {
		err = errors.Join(os.Chtimes(tmp.Name(), s.Newest, s.Newest), os.Rename(tmp.Name(), packed.path))
	}
	if err != nil {
		return s, errors.Join(err, os.Remove(tmp.Name()))
	}
	return packed, os.Remove(s.path)
}

func packInto(w io.Writer, r io.Reader) (size int64, err error) {
	text := make([]byte, blockText)
	for {
		n, err := io.ReadFull(r, text)
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return size, err
		}
		block, err := packBlock(text[:n])
		if err != nil {
			return size, err
		}
		if _, err := w.Write(block); err != nil {
			return size, err
		}
		size += int64(len(block))
	}
}

func packBlock(text []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Extra = []byte{'P', 'L', 4, 0, 0, 0, 0, 0}
	_, err := z.Write(text)
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(b.Bytes()[lengthAt:], uint32(b.Len()))
	return b.Bytes(), nil
}

// blocks finds where the blocks of a packed file begin; the last is its end.
func blocks(file io.ReaderAt, size int64) (starts []int64, err error) {
	starts = []int64{0}
	for at := int64(0); at < size; {
		var head [headBytes]byte
		if _, err := file.ReadAt(head[:], at); err != nil {
			return nil, err
		}
		length := int64(binary.LittleEndian.Uint32(head[lengthAt:]))
		if !bytes.Equal(head[:4], []byte{0x1f, 0x8b, 8, 4}) || !bytes.Equal(head[10:lengthAt], []byte{8, 0, 'P', 'L', 4, 0}) ||
			length < headBytes || length > size-at {
			return nil, fmt.Errorf("at byte %d there is no block", at)
		}
		at += length
		starts = append(starts, at)
	}
	return starts, nil
}

// unpack is the text of the block between two offsets.
func unpack(file io.ReaderAt, from, to int64) ([]byte, error) {
	z, err := gzip.NewReader(io.NewSectionReader(file, from, to-from))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if n, err := io.Copy(&b, io.LimitReader(z, blockText+1)); err != nil {
		return nil, err
	} else if n > blockText {
		return nil, fmt.Errorf("the block at byte %d is longer than any of ours", from)
	}
	return b.Bytes(), nil
}
