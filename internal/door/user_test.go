package door_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/plimsoll-io/plimsoll/internal/door"
)

func TestNobodyIsProvenWhomNobodyAsked(t *testing.T) {
	const hash = "$2a$04$LLyLD4W2tCFXyqCA1ZO9C.nURubdwmfokVcQ4r1hsNqj1PCJU7S.O"
	for name, tt := range map[string]struct {
		config, user string
		proven       bool
	}{
		"a user of the file":               {"basic_auth_users: {alice: " + hash + "}", "alice", true},
		"a user with a dot":                {"basic_auth_users: {a.b: " + hash + "}", "a.b", true},
		"one who is not":                   {"basic_auth_users: {alice: " + hash + "}", "bob", false},
		"a part of one":                    {"basic_auth_users: {a.b: " + hash + "}", "a", false},
		"more than one":                    {"basic_auth_users: {a: " + hash + "}", "a.b", false},
		"nobody, where there are users":    {"basic_auth_users: {alice: " + hash + "}", "", false},
		"nobody, where there are none":     {"basic_auth_users: {}", "", false},
		"somebody, where there are none":   {"basic_auth_users: {}", "alice", false},
		"somebody, where it is about TLS":  {"http_server_config: {http2: false}", "alice", false},
		"somebody, where there is no file": {"", "alice", false},
	} {
		t.Run(name, func(t *testing.T) {
			opts := door.HTTPOptions{Address: "127.0.0.1:0"}
			if tt.config != "" {
				opts.ConfigFile = filepath.Join(t.TempDir(), "web.yml")
				if err := os.WriteFile(opts.ConfigFile, []byte(tt.config+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			h, err := door.ListenHTTP(opts)
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.SetBasicAuth(tt.user, "whatever") // Run has made sure of it
			who, proven := h.User(r)
			if proven != tt.proven || proven && who != tt.user {
				t.Errorf("%q, %v", who, proven)
			}
		})
	}
}
