package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/join"
	"github.com/plimsoll-io/plimsoll/internal/secretfile"
)

const (
	caFile = "ca.json"
	caLife = 10 * 365 * 24 * time.Hour
	// serverLife is short, since the key is in memory only and renewal is free.
	serverLife = 7 * 24 * time.Hour
)

// always is the beginning of what nodes judge by their clocks: one that is behind,
// as without a battery, is let in all the same, and its samples are put right.
var always = time.Unix(0, 0)

// ca signs what the collector and its nodes prove themselves with. At most one
// predecessor is still trusted.
type ca struct {
	key     *ecdsa.PrivateKey
	cert    *x509.Certificate
	retired *retired // nil if there is none
}

// retired is the predecessor of an authority: its key is gone, what it signed is
// good for a while.
type retired struct {
	cert  *x509.Certificate
	cross *x509.Certificate // of the successor's key, signed by this one
	until time.Time
}

// caOnDisk is the ca in its file. Certificates are in DER, the key in PKCS #8.
type caOnDisk struct {
	Key         []byte    `json:"key"`
	Certificate []byte    `json:"certificate"`
	Retired     []byte    `json:"retired,omitempty"`
	Cross       []byte    `json:"cross,omitempty"`
	Until       time.Time `json:"until,omitzero"`
}

// openCA reads the authority of a directory, or makes one.
func openCA(dir string) (*ca, error) {
	var d caOnDisk
	err := secretfile.Read(filepath.Join(dir, caFile), &d)
	if errors.Is(err, fs.ErrNotExist) {
		c, err := newCA()
		if err != nil {
			return nil, err
		}
		return c, c.save(dir)
	}
	if err != nil {
		return nil, err
	}
	c, err := d.parse()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, caFile), err)
	}
	return c, nil
}

func (d *caOnDisk) parse() (*ca, error) {
	key, err := x509.ParsePKCS8PrivateKey(d.Key)
	if err != nil {
		return nil, err
	}
	c := &ca{}
	var ok bool
	if c.key, ok = key.(*ecdsa.PrivateKey); !ok {
		return nil, fmt.Errorf("its key is a %T, want ECDSA", key)
	}
	if c.cert, err = x509.ParseCertificate(d.Certificate); err != nil {
		return nil, err
	}
	if !c.key.PublicKey.Equal(c.cert.PublicKey) {
		return nil, errors.New("its key does not go with its certificate")
	}
	if d.Retired == nil {
		return c, nil
	}
	r := &retired{until: d.Until}
	var err1, err2 error
	r.cert, err1 = x509.ParseCertificate(d.Retired)
	r.cross, err2 = x509.ParseCertificate(d.Cross)
	c.retired = r
	return c, errors.Join(err1, err2)
}

func (c *ca) save(dir string) error {
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return err
	}
	d := caOnDisk{Key: key, Certificate: c.cert.Raw}
	if r := c.retired; r != nil {
		d.Retired, d.Cross, d.Until = r.cert.Raw, r.cross.Raw, r.until
	}
	return secretfile.Write(filepath.Join(dir, caFile), d)
}

func newCA() (*ca, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &ca{key: key}
	template := c.template(fmt.Sprintf("Plimsoll %x", newSerial().Bytes()[:4]))
	c.cert, err = sign(template, template, key.Public(), key)
	return c, err
}

// template is the certificate of c's key, whoever signs it.
func (c *ca) template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: name},
		NotBefore: always, NotAfter: time.Now().Add(caLife),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true,
		IsCA: true, MaxPathLen: 1, // a successor stands between it and what that signs
	}
}

// succeed makes the authority that takes over from c, which is trusted until the
// given time.
func (c *ca) succeed(until time.Time) (*ca, error) {
	next, err := newCA()
	if err != nil {
		return nil, err
	}
	cross, err := sign(next.template(next.cert.Subject.CommonName), c.cert, next.key.Public(), c.key)
	if err != nil {
		return nil, err
	}
	next.retired = &retired{cert: c.cert, cross: cross, until: until}
	return next, nil
}

// trusted are the certificates of the authorities whose word counts, the one
// that signs first.
func (c *ca) trusted(now time.Time) []*x509.Certificate {
	if r := c.retired; r != nil && now.Before(r.until) {
		return []*x509.Certificate{c.cert, r.cert}
	}
	return []*x509.Certificate{c.cert}
}

// server makes a certificate for the collector, which also carries the given host
// names and IP addresses. Who trusts a retired authority, or pins it, finds a way
// to it in the chain.
func (c *ca) server(names []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: join.ServerName}, DNSNames: []string{join.ServerName},
		NotBefore: always, NotAfter: now.Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	leaf, err := sign(t, c.cert, key.Public(), c.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the collector, for %q: %w", names, err)
	}
	chain := [][]byte{leaf.Raw, c.cert.Raw}
	if r := c.retired; r != nil && now.Before(r.until) {
		chain = append(chain, r.cross.Raw, r.cert.Raw)
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}

// node makes a certificate for a node.
func (c *ca) node(name string, key crypto.PublicKey, life time.Duration) (*x509.Certificate, error) {
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: newSerial(), URIs: []*url.URL{join.NodeURI(name)},
		// Only this collector judges it, by the clock that it is made by now.
		NotBefore: now.Add(-clockSteps), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(name) <= 64 { // as X.520 bounds it; for people who look at the certificate
		t.Subject.CommonName = name
	}
	return sign(t, c.cert, key, c.key)
}

// clockSteps is by how much this clock may be set back without a certificate
// becoming one of the future.
const clockSteps = 5 * time.Minute

func sign(t, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial draws a serial number: positive, 127 random bits.
func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// serialText is how people and files name a certificate.
func serialText(n *big.Int) string { return fmt.Sprintf("%032x", n) }
