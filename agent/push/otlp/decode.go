package otlp

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	maxMessage = 4 << 20  // bytes, after decompression
	maxDecoded = 16 << 20 // bytes, about, that a message may become
	maxDepth   = 24       // of messages in messages; values may nest
)

var errTooLarge = errors.New("too large")

// decode unmarshals b, unless it would become too much: on the wire, two bytes
// are enough for a message that takes a hundred in memory.
func decode(b []byte, m proto.Message) error {
	if len(b) > maxMessage {
		return fmt.Errorf("%d bytes, allowed are %d: %w", len(b), maxMessage, errTooLarge)
	}
	room := maxDecoded
	if err := weigh(b, m.ProtoReflect().Descriptor(), &room, maxDepth); err != nil {
		return err
	}
	return proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 2 * maxDepth}.Unmarshal(b, m)
}

// messageBytes is about what a message takes in memory, without what is in it.
const messageBytes = 128

// weigh takes from room what a message of that kind would take.
func weigh(b []byte, kind protoreflect.MessageDescriptor, room *int, depth int) error {
	if depth == 0 {
		return fmt.Errorf("values in values, more than %d deep: %w", maxDepth, errTooLarge)
	}
	*room -= messageBytes
	for len(b) > 0 && *room >= 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
			return protowire.ParseError(n)
		}
		field := kind.Fields().ByNumber(number)
		switch {
		case field == nil:
		case wire != protowire.BytesType:
			*room -= 8
		case field.Kind() == protoreflect.MessageKind:
			inside, _ := protowire.ConsumeBytes(b[:n])
			if err := weigh(inside, field.Message(), room, depth-1); err != nil {
				return err
			}
		case field.Kind() == protoreflect.StringKind || field.Kind() == protoreflect.BytesKind:
			*room -= n
		default:
			*room -= 8 * n // packed numbers, of a byte at least
		}
		b = b[n:]
	}
	if *room < 0 {
		return fmt.Errorf("more points and attributes than fit in %d bytes: %w", maxDecoded, errTooLarge)
	}
	return nil
}
