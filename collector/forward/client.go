package forward

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage/remote"
)

// maxRetryAfter is how long a target may ask to be left alone at a time.
const maxRetryAfter = 10 * time.Minute

// version2 tells which version of remote write a target is spoken to in.
func version2(c *config.RemoteWriteConfig) bool {
	return c.ProtobufMessage == "io.prometheus.write.v2.Request"
}

// client sends requests by Prometheus' own client, which does not tell the
// status and the Retry-After of an answer: those are noted on the way.
type client struct {
	store remote.WriteClient
}

func newClient(name, version string, c *config.RemoteWriteConfig) (*client, error) {
	headers := map[string]string{"User-Agent": "plimsoll/" + version}
	maps.Copy(headers, c.Headers)
	store, err := remote.NewWriteClient(name, &remote.ClientConfig{
		URL: c.URL, Timeout: c.RemoteTimeout, HTTPClientConfig: c.HTTPClientConfig,
		SigV4Config: c.SigV4Config, AzureADConfig: c.AzureADConfig, GoogleIAMConfig: c.GoogleIAMConfig,
		Headers: headers, RetryOnRateLimit: true, WriteProtoMsg: c.ProtobufMessage, RoundRobinDNS: c.RoundRobinDNS,
	})
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", name, scrub(err))
	}
	rc, ok := store.(*remote.Client)
	if !ok {
		return nil, fmt.Errorf("make a client for %s: it is a %T", name, store)
	}
	rc.Client.Transport = witness{rc.Client.Transport}
	return &client{store}, nil
}

// close lets go of idle connections.
func (c *client) close() {
	if rc, ok := c.store.(*remote.Client); ok {
		rc.Client.CloseIdleConnections()
	}
}

// answer is what came of a request.
type answer struct {
	status     int           // 0 if there was no answer
	retryAfter time.Duration // 0 if the target names none
	stats      remote.WriteResponseStats
	err        error // nil if it was accepted
}

func (c *client) send(ctx context.Context, body []byte, try int) answer {
	var a answer
	a.stats, a.err = c.store.Store(context.WithValue(ctx, witnessKey{}, &a), body, try)
	a.err = scrub(a.err)
	return a
}

func (a answer) code() string {
	if a.status == 0 {
		return "none"
	}
	return strconv.Itoa(a.status)
}

// held tells whether the same request should be sent again. By the protocol
// that is so after 5xx and 429 and never after another 4xx; but an answer about
// the endpoint rather than the samples (wrong credentials, wrong path, wrong
// version) is a mistake that a person will correct, and the spool can wait.
func (a answer) held() bool {
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusUnsupportedMediaType,
		http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return a.status == 0 || a.status/100 == 3 || a.status/100 == 5
}

// divisible tells whether a part of the request might be accepted.
func (a answer) divisible() bool {
	switch a.status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return !a.stats.Confirmed
	}
	return false
}

type witnessKey struct{}

// witness notes the answer to a request for whoever waits for it.
type witness struct{ next http.RoundTripper }

func (w witness) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if a, ok := r.Context().Value(witnessKey{}).(*answer); ok && err == nil {
		a.status, a.retryAfter = resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	return resp, err
}

// CloseIdleConnections is what http.Client looks for in a transport.
func (w witness) CloseIdleConnections() {
	if c, ok := w.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// retryAfter reads the header, which is a number of seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	d := time.Duration(0)
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		d = time.Duration(s) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return max(0, min(d, maxRetryAfter))
}

// urls matches a URL: its scheme, user and password, host and path, and the rest.
var urls = regexp.MustCompile(`(https?://)(?:[^\s"/?#]*@)?([^\s"?#]*)(?:[?#][^\s"]*)?`)

// scrub takes out of an error what may be a secret, such as the query of a URL,
// and what does not fit on a line.
func scrub(err error) error {
	if err == nil {
		return nil
	}
	text := urls.ReplaceAllString(strings.Join(strings.Fields(err.Error()), " "), "$1$2")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return errors.New(text)
}
