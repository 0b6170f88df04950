package otlp

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

const protobuf = "application/x-protobuf"

func (s *Server) newHTTP() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/metrics", s.metrics)
	return &http.Server{
		// A page on another site must not write metrics.
		Handler:           http.NewCrossOriginProtection().Handler(mux),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// metrics serves POST /v1/metrics.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	release, ok := s.admit(s.http)
	if !ok {
		fail(w, http.StatusServiceUnavailable, codes.Unavailable, "too many requests at a time; try again")
		return
	}
	defer release()
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != protobuf {
		s.http.feed.Drop(push.Unsupported, 1)
		fail(w, http.StatusUnsupportedMediaType, codes.InvalidArgument, "send "+protobuf+": OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf")
		return
	}
	m := new(collectorpb.ExportMetricsServiceRequest)
	body, err := read(w, r)
	if err == nil {
		err = decode(body, m)
	}
	if counted(s.http.feed, err) != nil {
		code := http.StatusBadRequest
		if errors.Is(err, errTooLarge) {
			code = http.StatusRequestEntityTooLarge
		}
		fail(w, code, codes.InvalidArgument, err.Error())
		return
	}
	answer, err := s.export(s.http, m)
	switch {
	case errors.Is(err, errRate):
		fail(w, http.StatusTooManyRequests, codes.Unavailable, err.Error())
	case errors.Is(err, errPoints):
		fail(w, http.StatusRequestEntityTooLarge, codes.InvalidArgument, err.Error())
	case err != nil:
		fail(w, http.StatusInternalServerError, codes.Internal, err.Error())
	default:
		reply(w, http.StatusOK, answer)
	}
}

// read returns a request's body, decompressed.
func read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxMessage)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		defer unzipped.Close()
		body = unzipped
	default:
		return nil, fmt.Errorf("content encoding %q: gzip and none are understood", encoding)
	}
	b, err := io.ReadAll(io.LimitReader(body, maxMessage+1)) // what is longer decode refuses
	if long := new(http.MaxBytesError); errors.As(err, &long) {
		return nil, fmt.Errorf("%w: %w", err, errTooLarge)
	}
	return b, err
}

// fail answers with a status, as OTLP/HTTP wants errors to be.
func fail(w http.ResponseWriter, code int, c codes.Code, message string) {
	if code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	reply(w, code, status.New(c, message).Proto())
}

func reply(w http.ResponseWriter, code int, m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		code = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", protobuf)
	w.WriteHeader(code)
	_, _ = w.Write(b) // a client that has gone learns nothing
}
