// Package join is what agents and collectors agree on before they trust each
// other: the names in their certificates, and the string by which an agent
// finds a collector, knows that it is the right one, and is let in:
//
//	plimsoll1.<token>.<pin>@<host>:<port>
//
// Save the brackets of an IPv6 address, it has no character that a shell or a
// YAML file would take for its own.
package join

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

const (
	version  = "plimsoll1"
	maxBytes = 512 // a host name has 253 at most
)

// text is how bytes are written: one way only, so that a string that was
// changed is refused.
var text = base64.RawURLEncoding.Strict()

// Token is a secret of 160 random bits. It does not show itself in logs.
type Token [20]byte

// NewToken draws one.
func NewToken() Token {
	var t Token
	_, _ = rand.Read(t[:]) // never fails, and ends the process if it did
	return t
}

// String hides the secret.
func (Token) String() string { return "<token>" }

// GoString hides the secret.
func (t Token) GoString() string { return t.String() }

// Pin is the SHA-256 of an authority's SubjectPublicKeyInfo, as kubeadm pins
// one: it outlives the authority's certificate, not its key.
type Pin [sha256.Size]byte

// PinOf is the pin of a certificate.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

func (p Pin) String() string { return text.EncodeToString(p[:]) }

// Invitation is what the string says.
type Invitation struct {
	Address string // of the collector, host:port
	Token   Token
	Pin     Pin
}

// Text is the string that Parse takes, with its secret.
func (i Invitation) Text() string {
	return version + "." + text.EncodeToString(i.Token[:]) + "." + i.Pin.String() + "@" + i.Address
}

// String is the string without its secret.
func (i Invitation) String() string {
	return version + "." + i.Token.String() + "." + i.Pin.String() + "@" + i.Address
}

// GoString is the string without its secret.
func (i Invitation) GoString() string { return i.String() }

// Parse reads a join string, with space around it. Its errors never repeat it.
func Parse(s string) (Invitation, error) {
	i, err := parse(strings.TrimSpace(s))
	if err != nil {
		return Invitation{}, fmt.Errorf("join string: %w; copy all of the line that plimsoll token create has printed", err)
	}
	return i, nil
}

func parse(s string) (i Invitation, err error) {
	if len(s) > maxBytes {
		return i, fmt.Errorf("it has %d bytes, %d at most", len(s), maxBytes)
	}
	secret, address, ok := strings.Cut(s, "@")
	parts := strings.Split(secret, ".")
	switch {
	case parts[0] != version:
		return i, fmt.Errorf("it does not begin with %s", version)
	case !ok || len(parts) != 3:
		return i, fmt.Errorf("it is not of the form %s.<token>.<pin>@<host>:<port>", version)
	case !decode(i.Token[:], parts[1]):
		return i, errors.New("its token is not whole")
	case !decode(i.Pin[:], parts[2]):
		return i, errors.New("its pin is not whole")
	}
	i.Address = address
	return i, CheckAddress(address)
}

func decode(into []byte, s string) bool {
	// The length first: line ends are skipped without a word.
	if len(s) != text.EncodedLen(len(into)) {
		return false
	}
	b, err := text.DecodeString(s)
	return err == nil && copy(into, b) == len(into)
}

// CheckAddress makes sure that an address can stand in a join string and be
// dialled.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q is not host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '+' {
		return fmt.Errorf("address %q has no port from 1 to 65535", address)
	}
	strange := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:%", r)
	}
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, strange) || address != net.JoinHostPort(host, port) {
		return fmt.Errorf("address %q has no host name or IP address", address)
	}
	return nil
}
