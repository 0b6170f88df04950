package receive_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/collector/receive"
	"github.com/plimsoll-io/plimsoll/collector/store"
)

// Whatever comes, it is stored or refused, and the next request is served.
func FuzzRequests(f *testing.F) {
	now := time.Now()
	good := []entry{
		{labels: []string{"__name__", "m"}, samples: []prompb.Sample{float(now, 1)}},
		{labels: []string{"__name__", "h"}, histograms: []prompb.Histogram{native(now)}},
	}
	one, err := version1(good...).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	two, err := version2(good...).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	otlp, err := proto.Marshal(export(gauge("g", now)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), one)
	f.Add(uint8(1), two)
	f.Add(uint8(2), otlp)
	f.Add(uint8(3), []byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"g","gauge":{"dataPoints":[{"asDouble":1}]}}]}]}]}`))
	w := newWorld(f, receive.Options{RequestBytes: 1 << 20, MemoryBytes: 8 << 20}, func(s *store.Store) receive.Store {
		return spoilt{Store: s, sync: func() error { return nil }} // the disk would take most of the time
	})
	write, otlpHandler := w.receiver.RemoteWrite(), w.receiver.OTLP()
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		handler, media := write, type1
		switch kind % 4 {
		case 0:
			body = snappy.Encode(nil, body)
		case 1:
			body, media = snappy.Encode(nil, body), type2
		case 2:
			handler = otlpHandler
		default:
			handler, media = otlpHandler, "application/json"
		}
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", media)
		got := httptest.NewRecorder()
		handler.ServeHTTP(got, r)
		if !slices.Contains([]int{http.StatusOK, http.StatusNoContent, http.StatusBadRequest, http.StatusRequestEntityTooLarge}, got.Code) {
			t.Fatalf("answer %d %s", got.Code, got.Body)
		}
		if n := (&world{t: t, registry: w.registry}).total("panics_total"); n != 0 {
			t.Fatalf("a panic, answered with %d %s", got.Code, got.Body)
		}
	})
}
