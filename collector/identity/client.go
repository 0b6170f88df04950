package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// ErrNotRunning is in the error when no collector takes commands.
var ErrNotRunning = errors.New("no collector that gives out certificates is running here")

// Client gives commands to the collector that runs on this machine.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient is a client of the collector that listens at a socket.
func NewClient(socket string) *Client {
	return &Client{socket: socket, http: &http.Client{Timeout: commandLimit, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}}
}

// CreateToken makes a token. It returns a join string with it.
func (c *Client) CreateToken(ctx context.Context, opts TokenOptions) (join string, expires time.Time, err error) {
	var got created
	err = c.call(ctx, http.MethodPost, tokensPath, opts, &got)
	return got.Join, got.Expires, err
}

// List returns the certificates that can still matter.
func (c *Client) List(ctx context.Context) (list []Certificate, err error) {
	err = c.call(ctx, http.MethodGet, certificatesPath, nil, &list)
	return list, err
}

// Revoke revokes the certificates of a node, or the one with a serial number.
func (c *Client) Revoke(ctx context.Context, what string) (node string, revoked int, err error) {
	var got revocation
	err = c.call(ctx, http.MethodPost, revokePath, revocation{What: what}, &got)
	return got.Node, got.Revoked, err
}

// Rotate makes a new authority. It returns until when the one before is trusted.
func (c *Client) Rotate(ctx context.Context) (until time.Time, err error) {
	var got rotation
	err = c.call(ctx, http.MethodPost, rotatePath, struct{}{}, &got)
	return got.Until, err
}

func (c *Client) call(ctx context.Context, method, path string, with, into any) error {
	body, err := json.Marshal(with)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://collector"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK {
		return json.Unmarshal(data, into)
	}
	var m mistake
	if err := json.Unmarshal(data, &m); err != nil || m.Error == "" {
		return fmt.Errorf("%s answered %s, which is not what a collector of this version says", c.socket, resp.Status)
	}
	return errors.New(m.Error)
}

// unreachable says what to do about a socket at which nobody answers.
func (c *Client) unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run this as root or as the user that runs the collector, not as uid %d", err, os.Getuid())
	}
	return fmt.Errorf("%w: %w; start one that other machines can reach, with --grpc.listen-address=0.0.0.0:9901, and say with --data.path where it keeps its data", ErrNotRunning, err)
}
