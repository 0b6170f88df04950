package bounded_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/internal/bounded"
)

func TestAnAnswerOfMoreBytesEndsWithAnError(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
	}))
	defer s.Close()
	for most, whole := range map[int]bool{99: false, 100: true, 101: true} {
		client := http.Client{Transport: bounded.Transport{RoundTripper: http.DefaultTransport, Bytes: most}}
		resp, err := client.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if whole != (err == nil) || whole && len(data) != 100 || !whole && !errors.Is(err, bounded.ErrTooLarge) {
			t.Errorf("bounded by %d: %d bytes, error %v", most, len(data), err)
		}
	}
}
