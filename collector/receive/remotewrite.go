package receive

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/plimsoll-io/plimsoll/collector/gate"
)

// The protocols, as metrics name them.
const (
	remoteWrite1 = "remote_write_1"
	remoteWrite2 = "remote_write_2"
	otlp         = "otlp"
)

const protobuf = "application/x-protobuf"

// The messages of remote write, as the content type names them.
const (
	message1 = "prometheus.WriteRequest"
	message2 = "io.prometheus.write.v2.Request"
)

// RemoteWrite serves POST /api/v1/write, after
// https://prometheus.io/docs/specs/prw/remote_write_spec/ and
// https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/.
//
// It answers 204 once all is stored; 400 if some samples were refused, and then
// the others are stored and must not be sent again; 413 and 415 to what cannot
// be read; 503 with Retry-After if the same request may well succeed later.
func (r *Receiver) RemoteWrite() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		protocol, b, err := r.remoteWrite(w, req)
		if protocol == remoteWrite2 {
			stored := b
			if stored == nil {
				stored = &batch{}
			}
			w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(stored.samples))
			w.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", strconv.Itoa(stored.histograms))
			w.Header().Set("X-Prometheus-Remote-Write-Exemplars-Written", "0") // none are kept
		}
		if err == nil && len(b.refused) > 0 {
			err = mistaken(http.StatusBadRequest, "%s", b.why())
		}
		code := http.StatusNoContent
		if err != nil {
			code = status(err)
		}
		r.metrics.requests.WithLabelValues(protocol, strconv.Itoa(code)).Inc()
		if err == nil {
			w.WriteHeader(code)
			return
		}
		if code == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, err.Error(), code)
	})
}

func (r *Receiver) remoteWrite(w http.ResponseWriter, req *http.Request) (protocol string, _ *batch, err error) {
	protocol, err = messageOf(req)
	if err != nil {
		return protocol, nil, err
	}
	b, err := r.take(req.Context(), protocol, func() (*batch, error) { return r.readWrite(w, req, protocol) })
	return protocol, b, err
}

// messageOf tells which protocol a request says that it speaks.
func messageOf(req *http.Request) (string, error) {
	kind := req.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(kind)
	switch {
	case kind == "": // as Prometheus takes it
		return remoteWrite1, nil
	case err != nil || media != protobuf:
		return remoteWrite1, mistaken(http.StatusUnsupportedMediaType, "content type %q: remote write is %s", kind, protobuf)
	}
	switch message := params["proto"]; message {
	case "", message1:
		return remoteWrite1, nil
	case message2:
		return remoteWrite2, nil
	default:
		return remoteWrite1, mistaken(http.StatusUnsupportedMediaType, "protobuf message %q: %s and %s are understood", message, message1, message2)
	}
}

// readWrite reads a request into a batch.
func (r *Receiver) readWrite(w http.ResponseWriter, req *http.Request, protocol string) (*batch, error) {
	body, err := r.unsnap(w, req, protocol)
	if err != nil {
		return nil, err
	}
	b := r.newBatch()
	if protocol == remoteWrite1 {
		m := new(prompb.WriteRequest)
		if err := r.decode(body, r.shapes.write1, m.Unmarshal); err != nil {
			return nil, err
		}
		if b.fill1(m); b.room < 0 {
			return nil, tooHeavy(r.opts.MemoryBytes)
		}
		return b, nil
	}
	m := new(writev2.Request)
	if err := r.decode(body, r.shapes.write2, m.Unmarshal); err != nil {
		return nil, err
	}
	if len(m.Symbols) == 0 && len(body) > 0 {
		// Whatever it is, all of it would be skipped. promtool push metrics of
		// Prometheus 3.15 sends the other version under this one's name.
		return nil, mistaken(http.StatusBadRequest, "a message of %s has symbols, and this has none; is it a %s?", message2, message1)
	}
	if b.fill2(m); b.room < 0 {
		return nil, tooHeavy(r.opts.MemoryBytes)
	}
	return b, nil
}

// decode unmarshals a message unless it would become too much.
func (r *Receiver) decode(body []byte, kind *shape, unmarshal func([]byte) error) error {
	if err := weigh(body, kind, r.opts.MemoryBytes); err != nil {
		return err
	}
	if err := unmarshal(body); err != nil {
		return mistaken(http.StatusBadRequest, "read the protobuf message: %w", err)
	}
	return nil
}

// unsnap reads a body and decompresses it, within limits.
func (r *Receiver) unsnap(w http.ResponseWriter, req *http.Request, protocol string) ([]byte, error) {
	if encoding := req.Header.Get("Content-Encoding"); encoding != "" && encoding != "snappy" {
		return nil, mistaken(http.StatusUnsupportedMediaType, "content encoding %q: remote write is snappy", encoding)
	}
	compressed, err := r.read(w, req, protocol)
	if err != nil {
		return nil, err
	}
	switch size, err := snappy.DecodedLen(compressed); {
	case err != nil:
		return nil, mistaken(http.StatusBadRequest, "decompress with snappy: %w", err)
	case size > r.opts.RequestBytes:
		return nil, tooLarge(r.opts.RequestBytes)
	}
	body, err := snappy.Decode(nil, compressed)
	if err != nil {
		return nil, mistaken(http.StatusBadRequest, "decompress with snappy: %w", err)
	}
	return body, nil
}

// read reads a body as it came.
func (r *Receiver) read(w http.ResponseWriter, req *http.Request, protocol string) ([]byte, error) {
	// A server that cannot set it, as in a test, has no slow senders either.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(r.opts.ReadTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, int64(r.opts.RequestBytes)))
	r.metrics.bytes.WithLabelValues(protocol).Add(float64(len(body)))
	if long := new(http.MaxBytesError); errors.As(err, &long) {
		return nil, tooLarge(r.opts.RequestBytes)
	}
	if err != nil {
		return nil, mistaken(http.StatusBadRequest, "read the request: %w", err)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, nil
}

func tooLarge(limit int) error {
	return mistaken(http.StatusRequestEntityTooLarge, "the request has more than %d bytes; send smaller batches", limit)
}

// fill1 takes a request of remote write 1.0.
func (b *batch) fill1(m *prompb.WriteRequest) {
	scratch := labels.NewScratchBuilder(16)
	for i := range m.Timeseries {
		ts := &m.Timeseries[i]
		b.exemplars += len(ts.Exemplars)
		if !b.series(ts.ToLabels(&scratch, nil), len(ts.Samples)+len(ts.Histograms)) {
			continue
		}
		for _, s := range ts.Samples {
			b.point(point{t: s.Timestamp, v: s.Value})
		}
		for j := range ts.Histograms {
			h := &ts.Histograms[j]
			p := point{t: h.Timestamp}
			if h.IsFloatHistogram() {
				p.fh = h.ToFloatHistogram()
			} else {
				p.h = h.ToIntHistogram()
			}
			b.point(p)
		}
	}
	for _, of := range m.Metadata {
		b.known.learn(Metric{Name: of.MetricFamilyName, Type: string(metricType1(of.Type)), Help: of.Help, Unit: of.Unit})
	}
}

// fill2 takes a request of remote write 2.0, until there is no room for more.
func (b *batch) fill2(m *writev2.Request) {
	scratch := labels.NewScratchBuilder(16)
	for i := range m.Timeseries {
		if b.room < 0 {
			return
		}
		ts := &m.Timeseries[i]
		b.exemplars += len(ts.Exemplars)
		points := len(ts.Samples) + len(ts.Histograms)
		if why := affordable(ts.LabelsRefs, m.Symbols, b.limits); why != "" {
			b.refuse(why, points, labels.EmptyLabels())
			continue
		}
		ls, err := ts.ToLabels(&scratch, m.Symbols)
		if err != nil || points == 0 { // the specification wants one at least
			b.refuse(gate.Malformed, max(points, 1), ls)
			continue
		}
		if !b.series(ls, points) {
			continue
		}
		if meta, err := ts.ToMetadata(m.Symbols); err == nil { // to lose it is no reason to lose samples
			b.known.learn(Metric{Name: ls.Get(model.MetricNameLabel), Type: string(meta.Type), Help: meta.Help, Unit: meta.Unit})
		}
		for _, s := range ts.Samples {
			b.point(point{st: s.StartTimestamp, t: s.Timestamp, v: s.Value})
		}
		for j := range ts.Histograms {
			h := &ts.Histograms[j]
			p := point{st: h.StartTimestamp, t: h.Timestamp}
			if h.IsFloatHistogram() {
				p.fh = h.ToFloatHistogram()
			} else {
				p.h = h.ToIntHistogram()
			}
			b.point(p)
		}
	}
}

// affordable tells why labels are not wanted that are only references yet: a
// few bytes may stand for the longest symbol, over and over.
func affordable(refs []uint32, symbols []string, limits gate.Limits) gate.Reason {
	if len(refs) > 2*(int(limits.LabelsPerSeries)+1) {
		return gate.Labels
	}
	size := 0
	for _, ref := range refs {
		if int(ref) < len(symbols) {
			size += len(symbols[ref])
		}
	}
	if size > int(limits.SeriesBytes) {
		return gate.TooLong
	}
	return ""
}
