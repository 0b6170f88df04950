package identity

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/join"
)

// commanded serves the commands of a site until the test ends.
func commanded(t *testing.T, s *site) *Client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.authority.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return NewClient(SocketIn(s.opts.Dir))
}

func TestCommandsReachTheCollectorThatRuns(t *testing.T) {
	s := newSite(t, 0)
	c := commanded(t, s)
	text, expires, err := c.CreateToken(t.Context(), TokenOptions{Node: "a", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	i, err := join.Parse(text)
	if err != nil || i.Address != "collector:9901" || i.Pin != join.PinOf(s.authority.ca.cert) {
		t.Fatalf("%v, error %v", i, err)
	}
	if in := time.Until(expires); in > time.Minute || in < 50*time.Second {
		t.Errorf("the token expires in %v", in)
	}
	m, err := s.try(i.Token, newKey(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	stream := m.pushes()

	list, err := c.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, error %v", list, err)
	}
	if l := list[0]; l.Node != "a" || l.State != Good || l.Streams != 1 || l.Serial != serialText(m.cert.SerialNumber) || !l.Expires.Equal(m.cert.NotAfter) {
		t.Errorf("%+v", l)
	}
	if node, n, err := c.Revoke(t.Context(), "a"); node != "a" || n != 1 || err != nil {
		t.Errorf("revoked %d of %s, error %v", n, node, err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream lives on")
	}
	if list, err = c.List(t.Context()); err != nil || len(list) != 1 || list[0].State != Revoked {
		t.Errorf("%v, error %v", list, err)
	}
	if until, err := c.Rotate(t.Context()); err != nil || time.Until(until) < lateRenewal {
		t.Errorf("until %v, error %v", until, err)
	}

	// What cannot be done says why.
	if _, _, err := c.Revoke(t.Context(), "b"); err == nil || !contains(err.Error(), `called "b"`) {
		t.Errorf("error %v", err)
	}
	if _, _, err := c.CreateToken(t.Context(), TokenOptions{TTL: 2 * time.Hour}); err == nil || !contains(err.Error(), "want 1s to 1h") {
		t.Errorf("error %v", err)
	}
	if err := c.call(t.Context(), http.MethodPost, tokensPath, map[string]any{"forever": true}, nil); err == nil || !contains(err.Error(), "forever") {
		t.Errorf("error %v", err)
	}
	if err := c.call(t.Context(), http.MethodPost, "/no-such", nil, nil); err == nil || !contains(err.Error(), "404") {
		t.Errorf("error %v", err)
	}
}

func TestACommandWithoutACollectorSaysSo(t *testing.T) {
	s := newSite(t, 0)
	s.close()
	defer s.open()
	_, err := NewClient(SocketIn(s.opts.Dir)).List(t.Context())
	if !errors.Is(err, ErrNotRunning) || !contains(err.Error(), "--data.path") {
		t.Errorf("error %v", err)
	}
}

func TestTheSocketOfOneThatWasKilledIsReplaced(t *testing.T) {
	s := newSite(t, 0)
	s.close()
	// A socket that nobody listens at any more.
	l, err := net.Listen("unix", SocketIn(s.opts.Dir))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	s.open()
	if _, err := commanded(t, s).List(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestASocketThatCannotBeIsToldWithTheRemedy(t *testing.T) {
	s := newSite(t, 0)
	dir := s.dir
	for name, tt := range map[string]struct {
		prepare func(path string) error
		path    string
	}{
		"somebody listens": {func(path string) error {
			l, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}, dir + "/a"},
		"a long path": {func(string) error { return nil }, dir + "/" + strings.Repeat("x", 120)},
		"a file":      {func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) }, dir + "/b"},
	} {
		if err := tt.prepare(tt.path); err != nil {
			t.Fatal(err)
		}
		if l, err := listenSocket(tt.path); err == nil {
			l.Close()
			t.Errorf("%s: it listens", name)
		} else if !contains(err.Error(), "--admin.socket") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := os.ReadFile(dir + "/b"); err != nil || string(data) != "mine" {
		t.Errorf("the file is %q, error %v", data, err)
	}
	if err := NewClient(dir).unreachable(&fs.PathError{Err: syscall.EACCES}); !contains(err.Error(), "as root") {
		t.Errorf("error %v", err)
	}
}

// Who connects before the mode is right is heard afterwards.
func TestTheSocketIsNeverOpenToOthers(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	dir, err := os.MkdirTemp("", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var l net.Listener
	modes := make(chan fs.FileMode, 1)
	go func() {
		for t.Context().Err() == nil { // until it is there
			if info, err := os.Stat(dir + "/s"); err == nil {
				modes <- info.Mode().Perm()
				return
			}
		}
	}()
	if l, err = listenSocket(dir + "/s"); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if mode := <-modes; mode != 0o600 {
		t.Errorf("mode %04o", mode)
	}
}
