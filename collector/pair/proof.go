package pair

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
)

// The two ends of a call.
const (
	caller = "plimsoll pair caller"
	called = "plimsoll pair called"
)

// longestName is that of a collector, in bytes.
const longestName = 128

// proof shows that role, by that name, has the secret, on one connection.
func proof(secret []byte, role, name string, binding []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(role + "\x00" + name + "\x00"))
	mac.Write(binding)
	return mac.Sum(nil)
}

// prove returns what this end says of itself in the call of ctx.
func (p *Pair) prove(ctx context.Context, role string) ([]byte, error) {
	binding, err := p.binding(ctx)
	if err != nil {
		return nil, err
	}
	return proof(p.opts.Secret, role, p.opts.Name, binding), nil
}

// believe tells why the other end of the call of ctx is not believed, or nil.
func (p *Pair) believe(ctx context.Context, role, name string, got []byte) error {
	binding, err := p.binding(ctx)
	if err != nil {
		return err
	}
	switch {
	case !hmac.Equal(got, proof(p.opts.Secret, role, name, binding)):
		return errors.New("it does not have the secret of this pair; give both collectors the same file, and see that nothing between them ends TLS")
	case name == "" || len(name) > longestName:
		return fmt.Errorf("its name has %d bytes; 1 to %d are allowed", len(name), longestName)
	case name == p.opts.Name:
		return fmt.Errorf("it has the name of this one, %q; give each of the pair its own", name)
	}
	return nil
}

// binding belongs to the connection of a call. Without a secret nobody is
// believed whose call went over a network.
func (p *Pair) binding(ctx context.Context) (binding []byte, err error) {
	if p.opts.Bind != nil {
		binding, err = p.opts.Bind(ctx)
	}
	if err == nil && len(p.opts.Secret) == 0 && (p.opts.TLS || len(binding) > 0) {
		err = errors.New("this collector has no secret of a pair")
	}
	return binding, err
}
