package identity

import (
	"context"
	"crypto/tls"
	"errors"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// bindingBytes is how long a binding is.
const bindingBytes = 32

// Bind returns bytes that both ends of a call's TLS connection know, that differ
// from one connection to the next, and that nobody can choose; nil if the call
// goes in plain text. It is for either end.
func Bind(ctx context.Context) ([]byte, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, errors.New("the call has no connection yet")
	}
	var state tls.ConnectionState
	switch info := p.AuthInfo.(type) {
	case passed:
		state = info.State
	case credentials.TLSInfo:
		state = info.State
	default:
		return nil, nil
	}
	return state.ExportKeyingMaterial("EXPORTER-plimsoll-pair", nil, bindingBytes)
}

// Admit lets the connection of a call live on, which came without a certificate
// and proved itself otherwise.
func Admit(ctx context.Context) {
	if p, ok := peer.FromContext(ctx); ok {
		if auth, ok := p.AuthInfo.(passed); ok && auth.stranger != nil {
			auth.stranger.forget()
		}
	}
}
