// Package chain seals lines of a log, so that one that was altered, removed,
// added or moved shows. A line is an object of JSON, and its seal the last of
// its fields:
//
//	{…,"seq":12,"prev":"5f0c…","hash":"e7a1…"}
//
// hash is the SHA-256 of all bytes of the line before `,"hash"`, prev the hash of
// the line before, and seq one more than its seq. The first line of a chain has
// seq 1 and a prev of zeros. With the line in a file, anyone can look:
//
//	head -c -76 line | sha256sum
//
// There is no key. Who can write the whole log can seal it anew: what is told of
// a chain elsewhere, a seq and its hash, is what holds it in place. And a chain
// does not know where it ends: whether the last lines are missing only such a
// witness tells.
package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What can be wrong with a line by itself.
var (
	ErrNoSeal  = errors.New("the line has no seal")
	ErrAltered = errors.New("the line does not match its own hash")
)

// Hash is that of a line.
type Hash [sha256.Size]byte

// String is the hash in hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Link is where a chain can be gone on with: the seq and the hash of its last
// line. The zero value is its beginning.
type Link struct {
	Seq  uint64
	Hash Hash
}

// String is the link as people write it down: "48213:e7a1…".
func (l Link) String() string { return strconv.FormatUint(l.Seq, 10) + ":" + l.Hash.String() }

// MarshalText is String.
func (l Link) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what String writes.
func (l *Link) UnmarshalText(text []byte) error {
	seq, hash, ok := strings.Cut(string(text), ":")
	n, err := strconv.ParseUint(seq, 10, 64)
	h, known := parseHash([]byte(hash))
	if !ok || err != nil || !known {
		return fmt.Errorf("%q is no link of a chain: want a number, a colon and 64 hexadecimal digits", text)
	}
	*l = Link{n, h}
	return nil
}

// Seal adds the seal to an object of JSON that has at least one field, and
// returns the link that goes on after it. The object is not parsed.
func (l Link) Seal(object []byte) (line []byte, next Link, err error) {
	body, ok := bytes.CutSuffix(object, []byte("}"))
	if !ok || len(body) < 2 || bytes.IndexByte(body, '\n') >= 0 {
		return nil, l, fmt.Errorf("seal %.40q: want an object of JSON on one line, with a field", object)
	}
	next.Seq = l.Seq + 1
	line = make([]byte, 0, len(body)+len(seqField)+20+len(prevField)+hexLen+len(hashField)+hexLen+2)
	line = append(line, body...)
	line = strconv.AppendUint(append(line, seqField...), next.Seq, 10)
	line = hex.AppendEncode(append(line, prevField...), l.Hash[:])
	line = append(line, '"')
	next.Hash = sha256.Sum256(line)
	line = hex.AppendEncode(append(line, hashField...), next.Hash[:])
	return append(line, `"}`...), next, nil
}

const (
	seqField  = `,"seq":`
	prevField = `,"prev":"`
	hashField = `,"hash":"`
	hexLen    = 2 * sha256.Size
)

// Seal is what a line says of its place in the chain.
type Seal struct {
	Link      // of the line itself
	Prev Hash // of the line before
}

// Follows tells whether a line is the one after l.
func (s Seal) Follows(l Link) bool { return s.Seq == l.Seq+1 && s.Prev == l.Hash }

// Read reads the seal of a line. With ErrAltered it returns what the line says
// nevertheless, for who wants to go on behind it.
func Read(line []byte) (Seal, error) {
	rest, ok := bytes.CutSuffix(line, []byte(`"}`))
	if !ok {
		return Seal{}, ErrNoSeal
	}
	var s Seal
	sealed, hash, ok := field(rest, hashField)
	if !ok {
		return Seal{}, ErrNoSeal
	}
	s.Hash = hash
	rest, ok = bytes.CutSuffix(sealed, []byte(`"`))
	if !ok {
		return Seal{}, ErrNoSeal
	}
	if rest, s.Prev, ok = field(rest, prevField); !ok {
		return Seal{}, ErrNoSeal
	}
	i := bytes.LastIndex(rest, []byte(seqField))
	if i < 0 {
		return Seal{}, ErrNoSeal
	}
	digits := string(rest[i+len(seqField):])
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != digits {
		return Seal{}, ErrNoSeal
	}
	s.Seq = n
	if sha256.Sum256(sealed) != s.Hash {
		return s, ErrAltered
	}
	return s, nil
}

// field cuts off a field whose value is a hash, without its closing quote.
func field(text []byte, name string) (before []byte, h Hash, ok bool) {
	at := len(text) - hexLen - len(name)
	if at < 0 || string(text[at:at+len(name)]) != name {
		return nil, Hash{}, false
	}
	h, ok = parseHash(text[at+len(name):])
	return text[:at], h, ok
}

// parseHash takes lower-case digits alone: a line has one way to be written.
func parseHash(digits []byte) (h Hash, ok bool) {
	if len(digits) != hexLen || bytes.ContainsAny(digits, "ABCDEF") {
		return Hash{}, false
	}
	_, err := hex.Decode(h[:], digits)
	return h, err == nil
}
