package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tokensPath       = "/tokens"
	certificatesPath = "/certificates"
	revokePath       = "/revoke"
	rotatePath       = "/rotate"

	// commandLimit is for one command, which is over in milliseconds.
	commandLimit = 10 * time.Second
)

// SocketIn is where the collector takes commands that keeps its authority in a
// directory.
func SocketIn(dir string) string { return filepath.Join(dir, "admin.sock") }

// listenSocket makes a socket that only the collector's user, and root, can
// connect to: it may do whatever its owner may.
func listenSocket(path string) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil { //nolint:noctx // the kernel answers at once
		return nil, errors.Join(fmt.Errorf("somebody listens at %s already; stop that one, or give another path with --admin.socket", path), c.Close())
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(path); err != nil { // of a collector that was killed
			return nil, err
		}
	}
	// The file gets the mode that the socket has before it is bound: whoever
	// connected before a chmod would be heard after it.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlled := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(controlled, err)
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket for commands: %w; give it a path of at most 107 bytes on a file system that has sockets, with --admin.socket", err)
	}
	return l, nil
}

// Run takes commands until ctx ends.
func (a *Authority) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler: a.handler(), ReadTimeout: commandLimit, WriteTimeout: commandLimit, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(a.commands) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandLimit)
	defer cancel()
	err := srv.Shutdown(last)
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// created is the answer to TokenOptions.
type created struct {
	Join    string    `json:"join"`
	Expires time.Time `json:"expires"`
}

// revocation asks for one, and answers it.
type revocation struct {
	What    string `json:"what,omitempty"` // a node or a serial number
	Node    string `json:"node,omitempty"`
	Revoked int    `json:"revoked"`
}

// rotation answers the wish for a new authority.
type rotation struct {
	Until time.Time `json:"until"`
}

// mistake is the answer to what cannot be done.
type mistake struct {
	Error string `json:"error"`
}

func (a *Authority) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+tokensPath, func(w http.ResponseWriter, r *http.Request) {
		command(w, r, func(opts TokenOptions) (created, error) {
			i, expires, err := a.CreateToken(r.Context(), opts)
			return created{i.Text(), expires}, err
		})
	})
	mux.HandleFunc("GET "+certificatesPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, a.List())
	})
	mux.HandleFunc("POST "+revokePath, func(w http.ResponseWriter, r *http.Request) {
		command(w, r, func(asked revocation) (revocation, error) {
			node, n, err := a.Revoke(r.Context(), asked.What)
			return revocation{Node: node, Revoked: n}, err
		})
	})
	mux.HandleFunc("POST "+rotatePath, func(w http.ResponseWriter, r *http.Request) {
		command(w, r, func(struct{}) (rotation, error) {
			until, err := a.Rotate(r.Context())
			return rotation{until}, err
		})
	})
	return mux
}

// command reads what is asked for, does it and answers.
func command[Q, A any](w http.ResponseWriter, r *http.Request, do func(Q) (A, error)) {
	var q Q
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields() // it would come from another version
	if err := d.Decode(&q); err != nil {
		answer(w, http.StatusBadRequest, mistake{err.Error()})
		return
	}
	a, err := do(q)
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, mistake{err.Error()})
		return
	}
	answer(w, http.StatusOK, a)
}

func answer(w http.ResponseWriter, code int, with any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(with) // whoever asked has gone
}
