package enroll

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/join"
	"github.com/plimsoll-io/plimsoll/internal/secretfile"
)

// held is what an agent holds of a collector.
type held struct {
	onDisk
	path        string // of its file
	node        string
	certificate tls.Certificate
	authorities []*x509.Certificate
}

// onDisk is that in its file: one, so that key and certificate always go
// together. The key is in PKCS #8, certificates are in DER.
type onDisk struct {
	Collector   string    `json:"collector"` // its address; the name of the file is for people
	Joined      string    `json:"joined"`    // SHA-256 of the join string that was used, in hex
	Renew       time.Time `json:"renew"`     // when, by this machine's clock
	Key         []byte    `json:"key"`
	Certificate []byte    `json:"certificate"`
	Authorities [][]byte  `json:"authorities"`
}

// fileFor is a file for a collector's address.
func fileFor(dir, address string) string {
	plain := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}
	return filepath.Join(dir, strings.Map(plain, address)+".json")
}

// loadAll reads all that is held in a directory.
func loadAll(dir string) ([]*held, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read this node's certificates: %w; let --data.path be a directory that the agent may read and write", err)
	}
	var all []*held
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".json" {
			continue // half of one, of a process that was killed
		}
		h, err := load(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, nil
}

func load(path string) (*held, error) {
	h := &held{path: path}
	err := secretfile.Read(path, &h.onDisk)
	if err != nil {
		return nil, fmt.Errorf("%w; or remove it and join again", err)
	}
	if err := h.parse(); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it and join again", path, err)
	}
	return h, nil
}

// parse makes of h's file what is used of it.
func (h *held) parse() error {
	key, err := x509.ParsePKCS8PrivateKey(h.Key)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(h.Certificate)
	if err != nil {
		return err
	}
	own, ok := key.(*ecdsa.PrivateKey)
	if !ok || !own.PublicKey.Equal(leaf.PublicKey) {
		return errors.New("the certificate is of another key")
	}
	h.certificate = tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: own, Leaf: leaf}
	if h.node, err = join.NodeOf(leaf.URIs); err != nil {
		return err
	}
	for _, der := range h.Authorities {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		h.authorities = append(h.authorities, c)
	}
	if len(h.authorities) == 0 {
		return errors.New("no authority to trust")
	}
	return nil
}

// trusts tells whether an authority is among those that are trusted.
func (h *held) trusts(p join.Pin) bool {
	for _, c := range h.authorities {
		if join.PinOf(c) == p {
			return true
		}
	}
	return false
}

func (h *held) save() error {
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return err
	}
	return secretfile.Write(h.path, h.onDisk)
}
