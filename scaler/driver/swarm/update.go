package swarm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
)

// errOutOfSequence is how a manager words a version that is no longer the
// latest (swarmkit, manager/state/store). It comes as 500, not as 409.
const errOutOfSequence = "update out of sequence"

// errNoReplicated is for a specification whose typed and raw forms disagree.
var errNoReplicated = errors.New("specification has no Mode.Replicated")

// setReplicas takes a service as the engine describes it,
//
//	{"ID":"…","Version":{"Index":12},"Spec":{"Name":"web","Mode":{"Replicated":{"Replicas":1}},…}}
//
// and returns its Spec with another count. Every other field keeps its value,
// whether this program knows it or not.
func setReplicas(service []byte, n int) (spec []byte, err error) {
	var top struct{ Spec json.RawMessage }
	if err := json.Unmarshal(service, &top); err != nil {
		return nil, fmt.Errorf("read specification: %w", err)
	}
	return edit(top.Spec, []string{"Mode", "Replicated"}, "Replicas", json.RawMessage(strconv.Itoa(n)))
}

// setLabel adds a label to a service's Spec, or replaces it.
func setLabel(spec []byte, name, value string) ([]byte, error) {
	var top struct{ Labels map[string]string }
	if err := json.Unmarshal(spec, &top); err != nil {
		return nil, fmt.Errorf("read specification: %w", err)
	}
	if top.Labels == nil {
		top.Labels = map[string]string{}
	}
	top.Labels[name] = value
	labels, err := json.Marshal(top.Labels)
	if err != nil {
		return nil, fmt.Errorf("write labels: %w", err)
	}
	return edit(spec, nil, "Labels", labels)
}

// edit sets key to value in the object that path leads to, all of which must
// exist.
func edit(object json.RawMessage, path []string, key string, value json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, fmt.Errorf("read specification: %w", err)
	}
	if fields == nil {
		return nil, errNoReplicated
	}
	if len(path) == 0 {
		fields[key] = value
		return json.Marshal(fields)
	}
	inner, ok := fields[path[0]]
	if !ok {
		return nil, errNoReplicated
	}
	inner, err := edit(inner, path[1:], key, value)
	if err != nil {
		return nil, err
	}
	fields[path[0]] = inner
	return json.Marshal(fields)
}

// update posts a specification, provided that version is still the latest.
// With registryAuthFrom=spec the engine keeps the pull secret it has.
func (s *Swarm) update(ctx context.Context, id string, version uint64, spec []byte) error {
	query := url.Values{
		"version":          {strconv.FormatUint(version, 10)},
		"registryAuthFrom": {"spec"},
	}
	engine, err := s.engine(ctx)
	if err != nil {
		return err
	}
	address := s.base + "/v" + engine.ClientVersion() + "/services/" + url.PathEscape(id) + "/update?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(spec))
	if err != nil {
		return fmt.Errorf("post specification: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("post specification: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the engine's answer: %w", err)
	}
	return answer(resp.StatusCode, body)
}

// answer turns the engine's reply to an update into an error. An engine words
// its errors as {"message":"rpc error: code = Unknown desc = update out of sequence"}.
func answer(status int, body []byte) error {
	if status/100 == 2 {
		return nil
	}
	var said struct{ Message string }
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said.Message = strings.TrimSpace(string(body))
	}
	switch {
	case strings.Contains(said.Message, errOutOfSequence):
		return fmt.Errorf("%w: %s", driver.ErrConflict, said.Message)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %s", driver.ErrNotFound, said.Message)
	case status == http.StatusBadRequest:
		return fmt.Errorf("%w: %s", driver.ErrRefused, said.Message)
	}
	return fmt.Errorf("engine answered %d: %s", status, said.Message)
}
