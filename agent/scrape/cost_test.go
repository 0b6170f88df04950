package scrape

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

// No answer within the bounds of its length makes a parser take much more.
func TestAHostileAnswerTakesBoundedMemoryToParse(t *testing.T) {
	message := func(tag string, content string) string {
		return tag + string(binary.AppendUvarint(nil, uint64(len(content)))) + content
	}
	const family, gauge, histogram = "\x0a\x01x", "\x18\x01", "\x18\x04" // name, types
	protobufs := func(part string) string { return strings.Repeat(part, (maxProtobufBytes-100)/len(part)) }
	texts := func(part string) string { return strings.Repeat(part, (10<<20-100)/len(part)) }
	for name, answer := range map[string]struct{ contentType, body string }{
		"labels without end":        {textFormat, "x{" + texts(`a="",`) + "} 1\n"},
		"samples without end":       {textFormat, texts("x 1\n")},
		"types without end":         {textFormat, texts("# TYPE x gauge\n")},
		"helps without end":         {openMetrics, texts("# HELP x y\n") + "# EOF\n"},
		"long series without end":   {textFormat, texts("x{" + strings.Repeat(`a="",`, maxSeriesBytes/5-10) + "} 1\n")},
		"buckets without end":       {protobuf, message("", family+histogram+message("\x22", message("\x3a", protobufs("\x1a\x00"))))},
		"labels in protobuf":        {protobuf, message("", family+gauge+message("\x22", protobufs("\x0a\x00")))},
		"samples in protobuf":       {protobuf, message("", family+gauge+protobufs("\x22\x00"))},
		"families in protobuf":      {protobuf, protobufs(message("", family+"\x22\x00"))},
		"a length that is not true": {protobuf, "\xff\xff\xff\xff\x07" + protobufs("x")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			s.book.begin(s.now)
			body := append([]byte(answer.body), 0)[:len(answer.body)]
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = parse(exposition{body, answer.contentType}, s.now, time.Minute, s.book.put)
			runtime.ReadMemStats(&after)
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 80 {
				t.Errorf("%d MiB for %d KiB", took, len(body)>>10)
			} else {
				t.Logf("%d MiB for %d KiB", took, len(body)>>10)
			}
		})
	}
}

func BenchmarkEnteringANetworkAndConnecting(b *testing.B) {
	h := newHouse(b)
	l, port := h.listen("127.0.0.1:0")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	n := h.networks()
	for b.Loop() {
		ns, err := n.open("/house")
		if err != nil {
			b.Fatal(err)
		}
		conn, err := dial(b.Context(), ns, port, new(netip.Addr))
		if err != nil {
			b.Fatal(err)
		}
		conn.Close()
		ns.Close()
	}
}

func BenchmarkReadingAsManySeriesAsATargetMayHave(b *testing.B) {
	var text strings.Builder
	fmt.Fprintln(&text, "# TYPE http_requests_total counter")
	for i := range 5000 {
		fmt.Fprintf(&text, "http_requests_total{method=\"GET\",path=\"/api/v1/items/%d\",status=\"200\"} %d\n", i, i*7)
	}
	body := append([]byte(text.String()), 0)[:text.Len()]
	s := newShelf(b)
	b.ReportAllocs()
	for b.Loop() {
		s.book.begin(s.now)
		if err := parse(exposition{body, textFormat}, s.now, time.Minute, s.book.put); err != nil {
			b.Fatal(err)
		}
		s.book.finish()
	}
}
