package receive

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	maxDepth = 24 // of messages in messages; attributes may nest
	// messageBytes is about what a small message takes in memory.
	messageBytes = 128
	textBytes    = 16 // of a string besides its bytes
)

// shape is what a field of a message becomes in memory.
type shape struct {
	fixed  int // bytes of each, whatever it holds
	factor int // bytes for each byte on the wire, if it is no message
	fields map[protowire.Number]*shape
}

// shapes are those of all messages that are received.
type shapes struct{ write1, write2, otlp *shape }

type fields = map[protowire.Number]*shape

func message(fixed int, f fields) *shape { return &shape{fixed: fixed, fields: f} }

// newShapes has the fields of prometheus/prompb/{remote,types}.proto,
// prometheus/prompb/io/prometheus/write/v2/types.proto and
// opentelemetry/proto/{metrics,common}/v1 that may be many or nest.
func newShapes() shapes {
	text := &shape{fixed: textBytes, factor: 1}
	varints := &shape{factor: 8} // a byte at least becomes eight
	doubles := &shape{factor: 1}

	span := message(8, nil)
	native := message(350, fields{8: span, 9: varints, 10: doubles, 11: span, 12: varints, 13: doubles, 16: doubles})
	label := message(32, fields{1: text, 2: text})
	write1 := message(0, fields{
		1: message(256, fields{1: label, 2: message(72, nil), 3: message(64, fields{1: label}), 4: native}),
		3: message(messageBytes, fields{2: text, 4: text, 5: text}),
	})
	write2 := message(0, fields{
		4: text,
		5: message(256, fields{1: &shape{factor: 4}, 2: message(80, nil), 3: native, 4: message(64, fields{1: &shape{factor: 4}}), 5: message(24, nil)}),
	})

	value := message(messageBytes, nil)
	attribute := message(messageBytes, fields{1: text, 2: value})
	value.fields = fields{1: text, 5: message(messageBytes, fields{1: value}), 6: message(messageBytes, fields{1: attribute}), 7: text}
	exemplar := message(messageBytes, fields{7: attribute})
	number := message(messageBytes, fields{5: exemplar, 7: attribute})
	series := &shape{factor: 32} // eight bytes become a bucket with its labels
	classic := message(2*messageBytes, fields{6: series, 7: doubles, 8: exemplar, 9: attribute})
	buckets := message(messageBytes, fields{2: varints})
	exponential := message(2*messageBytes, fields{1: attribute, 8: buckets, 9: buckets, 11: exemplar})
	summary := message(messageBytes, fields{6: message(2*messageBytes, nil), 7: attribute})
	metric := message(messageBytes, fields{
		1: text, 2: text, 3: text, 12: attribute,
		5: message(messageBytes, fields{1: number}), 7: message(messageBytes, fields{1: number}),
		9: message(messageBytes, fields{1: classic}), 10: message(messageBytes, fields{1: exponential}), 11: message(messageBytes, fields{1: summary}),
	})
	scope := message(messageBytes, fields{1: text, 2: text, 3: attribute})
	otlp := message(0, fields{1: message(messageBytes, fields{
		1: message(messageBytes, fields{1: attribute}),
		2: message(messageBytes, fields{1: scope, 2: metric, 3: text}),
		3: text,
	})})
	return shapes{write1, write2, otlp}
}

// weigh tells by an error that a message would become more than so many bytes in
// memory, about, or nest too deep, before anything is made of it.
func weigh(b []byte, kind *shape, limit int) error {
	room := limit
	return kind.take(b, &room, limit, maxDepth)
}

func (s *shape) take(b []byte, room *int, limit, depth int) error {
	if depth == 0 {
		return mistaken(http.StatusBadRequest, "values in values, more than %d deep", maxDepth)
	}
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return mistaken(http.StatusBadRequest, "read the protobuf message: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
			return mistaken(http.StatusBadRequest, "read the protobuf message: %w", protowire.ParseError(n))
		}
		if wire == protowire.BytesType {
			if err := s.takeField(number, b[:n], room, limit, depth); err != nil {
				return err
			}
		} else {
			*room -= 8
		}
		if *room < 0 {
			return tooHeavy(limit)
		}
		b = b[n:]
	}
	return nil
}

// takeField takes one field, with its length before it.
func (s *shape) takeField(number protowire.Number, field []byte, room *int, limit, depth int) error {
	of := s.fields[number]
	if of == nil { // unknown, or one that stands once
		*room -= messageBytes + len(field)
		return nil
	}
	*room -= of.fixed + of.factor*len(field)
	if of.factor > 0 {
		return nil
	}
	inside, _ := protowire.ConsumeBytes(field)
	return of.take(inside, room, limit, depth-1)
}

func tooHeavy(limit int) error {
	return mistaken(http.StatusRequestEntityTooLarge, "the request has more samples and labels than fit in %d bytes of memory; send smaller batches", limit)
}
