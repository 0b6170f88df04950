package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// askTime is how long a collector may take for an answer.
const askTime = 30 * time.Second

// remote is a running collector, asked by its API.
type remote struct{ url *url.URL }

// remoteAnswer is what a collector says when it cannot do what it was asked.
type remoteAnswer struct {
	status int
	text   string
}

func (a remoteAnswer) Error() string { return a.text }

// ask sends a request, with body as JSON if it is not nil, and reads the answer
// into to if that is not nil. An answer that is none, or that cannot be had, is
// an error that says what to do.
func (r remote) ask(ctx context.Context, method, path string, form url.Values, body, to any) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	u := r.url.JoinPath(path)
	u.RawQuery = form.Encode()
	var sent io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), sent)
	if err != nil {
		return usage(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err
		}
		return exitError{exitUnreachable, fmt.Errorf("no collector answers at %s: %w; start one, or name it with --url", r.url.Redacted(), err)}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", r.url.Redacted(), err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s wants to know who asks: give user and password in --url=http://user:password@…", r.url.Redacted())
	}
	if resp.StatusCode/100 != 2 {
		return remoteAnswer{resp.StatusCode, refusalText(data, resp.Status, r.url)}
	}
	if to == nil {
		return nil
	}
	if err := json.Unmarshal(data, to); err != nil {
		return r.stranger(resp.Status)
	}
	return nil
}

// askOurs asks an API of our own, whose answers are in an envelope.
func (r remote) askOurs(ctx context.Context, method, path string, form url.Values, body, to any) error {
	var envelope struct {
		Status string
		Data   json.RawMessage
	}
	if err := r.ask(ctx, method, path, form, body, &envelope); err != nil {
		return err
	}
	if envelope.Status != "success" || json.Unmarshal(envelope.Data, to) != nil {
		return r.stranger(envelope.Status)
	}
	return nil
}

func (r remote) stranger(status string) error {
	return fmt.Errorf("%s answered %s, which is not what a collector says; is --url right?", r.url.Redacted(), status)
}

// refusalText is why a request was refused: our envelope, Alertmanager's
// messages, or plain text.
func refusalText(data []byte, status string, from *url.URL) string {
	var ours struct{ Error string }
	if json.Unmarshal(data, &ours) == nil && ours.Error != "" {
		return ours.Error
	}
	var theirs struct{ Message string }
	if json.Unmarshal(data, &theirs) == nil && theirs.Message != "" {
		return theirs.Message
	}
	var text string
	if json.Unmarshal(data, &text) == nil && text != "" {
		return text
	}
	if len(data) > 0 && len(data) < 500 && data[0] != '<' {
		return string(bytes.TrimSpace(data))
	}
	return fmt.Sprintf("%s answered %s; is --url right?", from.Redacted(), status)
}
