package main

import (
	"context"
	"io"
	"slices"
	"testing"
)

// tape is a tube that has some payloads, and keeps what is sent.
type tape struct {
	payloads []string
	sent     []string
}

func (t *tape) Send(payload []byte) error {
	t.sent = append(t.sent, string(payload))
	return nil
}

func (t *tape) Recv() ([]byte, error) {
	if len(t.payloads) == 0 {
		return nil, io.EOF
	}
	next := t.payloads[0]
	t.payloads = t.payloads[1:]
	return []byte(next), nil
}

func TestTheLineOfAPairHasTwoSpeakers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tube := &tape{payloads: []string{`{"leads":true}`, `{"acts":[1]}`, `{"acts":[2]}`, `{"leads":false,"acts":3}`}}
	f := fork(ctx, tube)
	var alerts []string
	for {
		payload, err := f.Recv()
		if err != nil {
			break
		}
		alerts = append(alerts, string(payload))
	}
	if want := []string{`{"leads":true}`, `{"leads":false,"acts":3}`}; !slices.Equal(alerts, want) {
		t.Errorf("alerting hears %q, want %q", alerts, want)
	}
	for _, want := range []string{`{"acts":[1]}`, `{"acts":[2]}`} {
		if payload, err := (actTube{f}).Recv(); err != nil || string(payload) != want {
			t.Errorf("the scaler hears %q %v, want %q", payload, err, want)
		}
	}
	if err := (actTube{f}).Send([]byte("x")); err != nil || !slices.Equal(tube.sent, []string{"x"}) {
		t.Errorf("sent %q %v", tube.sent, err)
	}
	cancel()
	if _, err := (actTube{f}).Recv(); err == nil {
		t.Error("the scaler's end outlives the conversation")
	}
}
