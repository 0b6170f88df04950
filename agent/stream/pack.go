package stream

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// Frames smaller than this gain nothing from compression.
const packFrom = 1 << 10

// Packer makes requests of frames, compressed where it is worth it. It is for one
// goroutine.
type Packer struct {
	zstd *zstd.Encoder
	buf  []byte
}

// NewPacker returns a Packer.
func NewPacker() (*Packer, error) {
	z, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), // no goroutines: frames come one by one
		zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, fmt.Errorf("make a zstd encoder: %w", err)
	}
	return &Packer{zstd: z}, nil
}

// Pack returns the request that carries f, the size of f itself and of what
// will go over the wire, in bytes.
func (p *Packer) Pack(f *plimsollv1.Frame) (req *plimsollv1.PushRequest, frame, wire int, err error) {
	p.buf, err = proto.MarshalOptions{}.MarshalAppend(p.buf[:0], f)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("encode frame %d: %w", f.Seq, err)
	}
	if len(p.buf) >= packFrom {
		// Never reused: the transport may hold on to it after Send.
		z := p.zstd.EncodeAll(p.buf, make([]byte, 0, len(p.buf)/2))
		if len(z) < len(p.buf) {
			return &plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_FrameZstd{FrameZstd: z}}, len(p.buf), len(z), nil
		}
	}
	return &plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Frame{Frame: f}}, len(p.buf), len(p.buf), nil
}
