// Package bounded keeps the answers of others from being longer than there is room
// for.
package bounded

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// ErrTooLarge is wrapped by what the body of a longer answer ends with.
var ErrTooLarge = errors.New("the answer is too large")

// Transport cuts off the bodies of answers that have more than Bytes.
type Transport struct {
	http.RoundTripper
	Bytes int
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &body{resp.Body, t.Bytes, t.Bytes}
	}
	return resp, err
}

type body struct {
	io.ReadCloser
	left, most int
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, b.most)
	}
	return n, err
}
