package gpu

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The protocol is one byte for a request and one frame for its answer: the
// length in four bytes, big endian, then JSON. A library that prints to the
// child's output breaks it, and a length out of bounds tells.

// maxFrame bounds an answer: 16 devices with a thousand processes each fit.
const maxFrame = 4 << 20

const request = '?'

var errFrame = errors.New("broken frame")

// answer is what the child says to a request. Only one of its parts is there.
type answer struct {
	Snapshot *Snapshot `json:",omitempty"`
	Events   []xidEvent
	Absent   string `json:",omitempty"` // why this node has nothing to read; the child ends
	Failed   string `json:",omitempty"` // what went wrong; the child ends
}

// xidEvent is an error that the driver reported since the answer before.
type xidEvent struct {
	UUID string
	Code uint64
}

func writeFrame(w io.Writer, a *answer) error {
	frame, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	if len(frame) > maxFrame {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", errFrame, len(frame), maxFrame)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	return err
}

func readFrame(r io.Reader) (*answer, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxFrame {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", errFrame, n, maxFrame)
	}
	frame, err := io.ReadAll(io.LimitReader(r, int64(n))) // grows as data comes, whatever the length claims
	if err != nil {
		return nil, err
	}
	if len(frame) < int(n) {
		return nil, io.ErrUnexpectedEOF
	}
	a := new(answer)
	if err := json.Unmarshal(frame, a); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	return a, nil
}
