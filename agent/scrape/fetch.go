package scrape

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxHeaderBytes of an answer.
const maxHeaderBytes = 64 << 10

// accept asks for text rather than for protobuf: what that has more, native
// histograms, no batch can carry. Names that are not Prometheus' habit come
// escaped.
const accept = "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6," +
	"application/openmetrics-text;version=0.0.1;q=0.5," +
	"text/plain;version=1.0.0;escaping=underscores;q=0.4," +
	"text/plain;version=0.0.4;q=0.3," +
	"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.2," +
	"*/*;q=0.1"

// ask asks a target once, over a connection that serves for nothing else. It
// follows no redirect, knows no proxy and keeps no cookie. The certificate of a
// target is not verified: who answers inside the container is whom to ask. If
// there is no error, the body is to be closed.
func ask(ctx context.Context, s Spec, over net.Conn) (*http.Response, error) {
	transport := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return over, nil },
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives:      true,
		DisableCompression:     true, // here it is bounded
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	question, err := request(ctx, s)
	if err != nil {
		return nil, err
	}
	answer, err := transport.RoundTrip(question)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	answer.Body.Close()
	reason := Status
	if answer.StatusCode/100 == 3 {
		reason = Redirect
	}
	return nil, failed(reason, fmt.Errorf("it answers with status %d", answer.StatusCode))
}

func request(ctx context.Context, s Spec) (*http.Request, error) {
	where := url.URL{Scheme: s.Scheme, Host: net.JoinHostPort("localhost", strconv.Itoa(int(s.Port))), Path: s.Path, RawQuery: s.Query}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("User-Agent", "Plimsoll")
	r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(s.Timeout.Seconds(), 'f', -1, 64))
	return r, nil
}

// exposition is what a target answered.
type exposition struct {
	body        []byte
	contentType string
}

func (e *exposition) isProtobuf() bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(e.contentType)), "application/vnd.google.protobuf")
}

// read reads an answer, as it was before it was compressed. Both forms are
// bounded: what is compressed may swell, or be long and come to nothing.
func read(answer *http.Response, limit int64) (e exposition, err error) {
	e.contentType = answer.Header.Get("Content-Type")
	if e.isProtobuf() {
		limit = min(limit, maxProtobufBytes)
	}
	var body io.Reader = &bounded{from: answer.Body, left: limit}
	switch encoding := answer.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return e, fmt.Errorf("unzip: %w", err)
		}
		body = &bounded{from: unzipped, left: limit}
	default:
		return e, failed(Encoding, fmt.Errorf("content encoding %.20q", encoding))
	}
	e.body, err = io.ReadAll(body)
	if len(e.body) == cap(e.body) {
		e.body = append(e.body, 0)[:len(e.body)] // the parser appends a newline, and would copy
	}
	return e, err
}

// errTooLarge is what a reader says at its bound.
var errTooLarge = failed(TooLarge, errors.New("the body is longer than allowed"))

// bounded reads so many bytes and fails at the next.
type bounded struct {
	from io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, errTooLarge
	}
	return n, err
}
