//go:build e2e

package power

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// A disk has a cache of its own, which it loses with the power. So this one is
// served by the test: what was written since the last flush goes with the power,
// or some of it, in any order, as with real ones.
//
// It speaks as much of the protocol of network block devices as QEMU needs:
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md.
type disk struct {
	mu      sync.Mutex
	stable  []byte  // what a power cut leaves
	seen    []byte  // what is read: all writes in it
	cached  []write // since the last flush
	flushes int
	dead    bool
}

type write struct {
	at   uint64
	data []byte
}

// block is what a disk writes as a whole.
const block = 4096

func newDisk(content []byte) *disk {
	return &disk{stable: content, seen: append([]byte(nil), content...)}
}

// cut takes the power away and says how many blocks had not been flushed and how
// many of them are lost.
func (d *disk) cut(random *rand.Rand) (unflushed, lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	for _, w := range d.cached {
		for i := 0; i < len(w.data); i += block {
			unflushed++
			if random.IntN(2) == 0 {
				lost++
				continue
			}
			copy(d.stable[w.at+uint64(i):], w.data[i:min(i+block, len(w.data))])
		}
	}
	return unflushed, lost
}

// listen serves the disk until the test ends, and returns the socket's path.
func (d *disk) listen(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "disk")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer c.Close()
				if err := d.serve(c); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
					t.Logf("disk: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
	})
	return path
}

const (
	optionMagic  = 0x49484156454F5054 // "IHAVEOPT"
	answerMagic  = 0x3e889045565a9
	requestMagic = 0x25609513
	replyMagic   = 0x67446698

	optionGo       = 7
	answerAck      = 1
	answerInfo     = 3
	answerNoOption = 1<<31 + 1

	opRead, opWrite, opEnd, opFlush = 0, 1, 2, 3

	canFlush = 1<<0 | 1<<2
)

// serve agrees on the options and then does what it is asked for.
func (d *disk) serve(c net.Conn) error {
	order := binary.BigEndian
	hello := append([]byte("NBDMAGICIHAVEOPT"), 0, 1|2)
	if _, err := c.Write(hello); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c, 4); err != nil { // what the client can
		return err
	}
	for {
		var option struct {
			Magic     uint64
			Kind, Len uint32
		}
		if err := binary.Read(c, order, &option); err != nil {
			return err
		}
		if option.Magic != optionMagic {
			return fmt.Errorf("option begins with %x", option.Magic)
		}
		if _, err := io.CopyN(io.Discard, c, int64(option.Len)); err != nil {
			return err
		}
		answer := func(kind uint32, data []byte) error {
			head := order.AppendUint64(nil, answerMagic)
			head = order.AppendUint32(order.AppendUint32(order.AppendUint32(head, option.Kind), kind), uint32(len(data)))
			_, err := c.Write(append(head, data...))
			return err
		}
		if option.Kind != optionGo {
			if err := answer(answerNoOption, nil); err != nil {
				return err
			}
			continue
		}
		info := order.AppendUint64([]byte{0, 0}, uint64(len(d.stable)))
		if err := errors.Join(answer(answerInfo, order.AppendUint16(info, canFlush)), answer(answerAck, nil)); err != nil {
			return err
		}
		return d.work(c)
	}
}

func (d *disk) work(c net.Conn) error {
	for {
		var r struct {
			Magic      uint32
			Flags, Op  uint16
			Handle, At uint64
			Len        uint32
		}
		if err := binary.Read(c, binary.BigEndian, &r); err != nil {
			return err
		}
		if r.Magic != requestMagic || r.At+uint64(r.Len) > uint64(len(d.stable)) {
			return fmt.Errorf("request %+v makes no sense", r)
		}
		var data []byte
		if r.Op == opWrite {
			data = make([]byte, r.Len)
			if _, err := io.ReadFull(c, data); err != nil {
				return err
			}
		}
		if r.Op == opEnd {
			return nil
		}
		read, alive := d.do(r.Op, r.At, r.Len, data)
		if !alive { // nobody is told any more whether anything was done
			_, err := io.Copy(io.Discard, c)
			return err
		}
		reply := binary.BigEndian.AppendUint32(nil, replyMagic)
		reply = binary.BigEndian.AppendUint64(append(reply, 0, 0, 0, 0), r.Handle)
		if _, err := c.Write(append(reply, read...)); err != nil {
			return err
		}
	}
}

// do reads, writes or flushes.
func (d *disk) do(op uint16, at uint64, n uint32, data []byte) (read []byte, alive bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, false
	}
	switch op {
	case opRead:
		return append([]byte(nil), d.seen[at:at+uint64(n)]...), true
	case opWrite:
		copy(d.seen[at:], data)
		d.cached = append(d.cached, write{at, data})
	case opFlush:
		for _, w := range d.cached {
			copy(d.stable[w.at:], w.data)
		}
		d.cached = nil
		d.flushes++
	}
	return nil, true
}
