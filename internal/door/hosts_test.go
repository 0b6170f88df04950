package door_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/internal/door"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask asks a server at an address for hosts, and returns the codes of its answers.
func ask(t *testing.T, opts door.HTTPOptions, hosts ...string) (codes []int, bodies []string) {
	t.Helper()
	port, err := door.ListenHTTP(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- port.Run(ctx, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) }()
	transport := &http.Transport{DisableKeepAlives: true}
	for _, host := range hosts {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, port.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		codes, bodies = append(codes, resp.StatusCode), append(bodies, string(body))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return codes, bodies
}

func TestANameThatAPageElsewhereMayHaveIsNotAnswered(t *testing.T) {
	tests := map[string]int{
		"127.0.0.1":                  http.StatusOK,
		"127.0.0.1:9900":             http.StatusOK,
		"[::1]:9900":                 http.StatusOK,
		"192.0.2.1":                  http.StatusOK, // a page there has this address and no other
		"localhost":                  http.StatusOK,
		"LocalHost.:9900":            http.StatusOK,
		"plimsoll.example":           http.StatusOK, // said to be the collector's
		"PLIMSOLL.example:443":       http.StatusOK,
		"evil.example":               http.StatusForbidden,
		"evil.example:9900":          http.StatusForbidden,
		"localhost.evil.example":     http.StatusForbidden,
		"127.0.0.1.evil.example":     http.StatusForbidden,
		"plimsoll.example.evil.test": http.StatusForbidden,
	}
	var hosts []string
	for host := range tests {
		hosts = append(hosts, host)
	}
	codes, bodies := ask(t, door.HTTPOptions{Address: "127.0.0.1:0", Names: []string{"plimsoll.example"}}, hosts...)
	for i, host := range hosts {
		if codes[i] != tests[host] {
			t.Errorf("%s: %d, want %d", host, codes[i], tests[host])
		}
		if refused := codes[i] != http.StatusOK; refused && (!strings.Contains(bodies[i], host) || !strings.Contains(bodies[i], "http://127.0.0.1:") || !strings.Contains(bodies[i], "--web.external-url")) {
			t.Errorf("%s: %q does not say what to do", host, bodies[i])
		}
	}
}

// Who can be reached by others has names that only others know.
func TestOffLoopbackEveryNameIsAnswered(t *testing.T) {
	if codes, _ := ask(t, door.HTTPOptions{Address: "0.0.0.0:0", Insecure: true}, "node7.example"); codes[0] != http.StatusOK {
		t.Errorf("%d", codes[0])
	}
}
