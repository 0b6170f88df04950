package receive

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const jsonText = "application/json"

// promoted are the attributes of a resource that become labels of its series;
// job and instance come from service.* anyway. The others are those of
// target_info, to be joined where they are needed.
func promoted() []string {
	return []string{"container.name", "host.name", "k8s.namespace.name", "k8s.pod.name", "k8s.container.name"}
}

// OTLP serves POST /v1/metrics as https://opentelemetry.io/docs/specs/otlp/#otlphttp
// has it, in protobuf and JSON. Names are translated as Prometheus does it by
// default: dots become underscores, units and _total are appended.
//
// It answers 200 once all that is wanted is stored, and says in partial_success
// what was refused and must not be sent again; 503 with Retry-After if the same
// request may well succeed later.
func (r *Receiver) OTLP() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		media, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
		if media != jsonText && media != protobuf {
			err := mistaken(http.StatusUnsupportedMediaType, "content type %q: OTLP is %s or %s", req.Header.Get("Content-Type"), protobuf, jsonText)
			r.failOTLP(w, protobuf, err)
			return
		}
		answer, err := r.otlp(w, req, media)
		if err != nil {
			r.failOTLP(w, media, err)
			return
		}
		var body []byte
		if media == jsonText {
			body, err = answer.MarshalJSON()
		} else {
			body, err = answer.MarshalProto()
		}
		if err != nil {
			r.failOTLP(w, media, err)
			return
		}
		r.reply(w, media, http.StatusOK, body)
	})
}

// failOTLP answers with a google.rpc.Status, as the specification wants it.
func (r *Receiver) failOTLP(w http.ResponseWriter, media string, err error) {
	code, kind := status(err), codes.InvalidArgument
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
		kind = codes.Unavailable
	}
	said := grpcstatus.New(kind, err.Error()).Proto()
	marshal := proto.Marshal
	if media == jsonText {
		marshal = protojson.Marshal
	}
	body, err := marshal(said)
	if err != nil {
		body = nil
	}
	r.reply(w, media, code, body)
}

func (r *Receiver) reply(w http.ResponseWriter, media string, code int, body []byte) {
	r.metrics.requests.WithLabelValues(otlp, strconv.Itoa(code)).Inc()
	w.Header().Set("Content-Type", media)
	w.WriteHeader(code)
	_, _ = w.Write(body) // a sender that has gone learns nothing
}

func (r *Receiver) otlp(w http.ResponseWriter, req *http.Request, media string) (pmetricotlp.ExportResponse, error) {
	answer := pmetricotlp.NewExportResponse()
	var x export
	_, err := r.take(req.Context(), otlp, func() (_ *batch, err error) {
		x, err = r.readOTLP(w, req, media)
		return x.batch, err
	})
	if err != nil {
		return answer, err
	}
	// A point may become many samples, and what is rejected is counted in points.
	rejected := min(x.batch.rejected(), x.points)
	var said []string
	if rejected > 0 {
		said = append(said, x.batch.why())
	}
	if x.untranslated != nil {
		rejected = max(rejected, min(1, x.points))
		said = append(said, "not translated: "+shorten(lastOf(x.untranslated).Error()))
	}
	if len(said) > 0 {
		answer.PartialSuccess().SetRejectedDataPoints(int64(rejected))
		answer.PartialSuccess().SetErrorMessage(strings.Join(said, "; "))
	}
	return answer, nil
}

// lastOf is the last of errors that were joined one by one: what all of them say
// together grows with the square of their number.
func lastOf(err error) error {
	for {
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok {
			return err
		}
		all := joined.Unwrap()
		err = all[len(all)-1]
	}
}

// export is what a request of OTLP comes to.
type export struct {
	batch        *batch
	points       int   // that came
	untranslated error // what the translator did not understand, which is no reason to refuse the rest
}

// readOTLP reads a request into a batch.
func (r *Receiver) readOTLP(w http.ResponseWriter, req *http.Request, media string) (export, error) {
	body, err := r.unzip(w, req)
	if err != nil {
		return export{}, err
	}
	m := pmetricotlp.NewExportRequest()
	if media == jsonText {
		err = r.decodeJSON(body, m)
	} else {
		err = r.decode(body, r.shapes.otlp, m.UnmarshalProto)
	}
	if err != nil {
		return export{}, err
	}
	x := export{batch: r.newBatch(), points: m.Metrics().DataPointCount()}
	prune(x.batch, m.Metrics())
	x.untranslated = r.translate(req.Context(), x.batch, m.Metrics())
	if x.batch.room < 0 {
		return export{}, tooHeavy(r.opts.MemoryBytes)
	}
	return x, nil
}

// decodeJSON unmarshals a message unless it would become too much. The reader
// itself bounds how deep it may nest.
func (r *Receiver) decodeJSON(body []byte, m pmetricotlp.ExportRequest) error {
	const elementBytes = 64 // of what a comma parts, at least
	if bytes.Count(body, []byte("{"))*messageBytes+bytes.Count(body, []byte(","))*elementBytes > r.opts.MemoryBytes {
		return tooHeavy(r.opts.MemoryBytes)
	}
	if err := m.UnmarshalJSON(body); err != nil {
		return mistaken(http.StatusBadRequest, "read the JSON: %w", err)
	}
	return nil
}

// unzip reads a body and decompresses it, within limits.
func (r *Receiver) unzip(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	encoding := req.Header.Get("Content-Encoding")
	if encoding != "" && encoding != "identity" && encoding != "gzip" {
		return nil, mistaken(http.StatusUnsupportedMediaType, "content encoding %q: gzip and none are understood", encoding)
	}
	body, err := r.read(w, req, otlp)
	if err != nil || encoding != "gzip" {
		return body, err
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, mistaken(http.StatusBadRequest, "decompress with gzip: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(unzipped, int64(r.opts.RequestBytes)+1))
	switch {
	case err != nil:
		return nil, mistaken(http.StatusBadRequest, "decompress with gzip: %w", err)
	case len(plain) > r.opts.RequestBytes:
		return nil, tooLarge(r.opts.RequestBytes)
	}
	return plain, nil
}

// translate has Prometheus' own translator add to a batch all that it
// understands, and returns what it did not.
func (r *Receiver) translate(ctx context.Context, b *batch, m pmetric.Metrics) error {
	_, err := prometheusremotewrite.NewPrometheusConverter(b).FromMetrics(ctx, m, prometheusremotewrite.Settings{
		AddMetricSuffixes:               true,
		PromoteResourceAttributes:       prometheusremotewrite.NewPromoteResourceAttributes(config.OTLPConfig{PromoteResourceAttributes: promoted()}),
		LabelNameUnderscoreSanitization: config.DefaultOTLPConfig.LabelNameUnderscoreSanitization,
		// A resource gets its target_info at its first and its last point. In the
		// steps between that Prometheus adds, a few bytes would become a thousand
		// samples.
		LookbackDelta: 4 * r.opts.Limits.MaxAge,
	})
	return err
}
