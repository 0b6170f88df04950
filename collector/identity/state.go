package identity

import (
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/secretfile"
)

const stateFile = "state.json"

// state is what the authority has to remember: whom it has given what. A
// certificate is good unless something here says otherwise, so that a copy that
// was put back locks nobody out.
type state struct {
	Nodes  map[string]nodeState  `json:"nodes"`
	Tokens map[string]tokenState `json:"tokens"` // by the SHA-256 of the token, in hex
}

// nodeState is a node that has, or had, a certificate.
type nodeState struct {
	// Revoked bars the node: none of its certificates counts, known or not,
	// until somebody makes a token for it.
	Revoked      time.Time   `json:"revoked,omitzero"`
	Certificates []certState `json:"certificates"` // as they were issued
}

type certState struct {
	Serial  string    `json:"serial"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	Revoked time.Time `json:"revoked,omitzero"`
	From    string    `json:"from"` // the address that asked for it
}

// tokenState is a token, without its secret.
type tokenState struct {
	Node    string    `json:"node,omitempty"` // the only one it is for
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	Uses    int       `json:"uses"`
	// Used are the keys, by their SHA-256, that have been certified, with the
	// nodes. One that asks again has not heard the answer, and gets another; one
	// without a node gets none, because what it had was revoked.
	Used map[string]string `json:"used,omitempty"`
}

// openState reads what is remembered in a directory.
func openState(dir string) (state, error) {
	var s state
	err := secretfile.Read(filepath.Join(dir, stateFile), &s)
	return s.clone(), err
}

func (s state) save(dir string) error { return secretfile.Write(filepath.Join(dir, stateFile), s) }

// clone copies s so that what is changed in one is not in the other.
func (s state) clone() state {
	next := state{Nodes: make(map[string]nodeState, len(s.Nodes)), Tokens: make(map[string]tokenState, len(s.Tokens))}
	for name, n := range s.Nodes {
		n.Certificates = slices.Clone(n.Certificates)
		next.Nodes[name] = n
	}
	for hash, t := range s.Tokens {
		t.Used = maps.Clone(t.Used)
		next.Tokens[hash] = t
	}
	return next
}

// prune forgets what can no longer matter.
func (s state) prune(now time.Time) {
	maps.DeleteFunc(s.Tokens, func(_ string, t tokenState) bool { return now.After(t.Expires.Add(rememberTokens)) })
	for name, n := range s.Nodes {
		last := len(n.Certificates) - lastOnes
		kept := n.Certificates[:0]
		for i, c := range n.Certificates {
			if now.Before(c.Expires) || i >= last && now.Before(c.Expires.Add(lateRenewal)) {
				kept = append(kept, c)
			}
		}
		n.Certificates = kept
		if len(kept) == 0 && now.After(n.Revoked.Add(lateRenewal)) {
			delete(s.Nodes, name)
		} else {
			s.Nodes[name] = n
		}
	}
}

// find returns a certificate of a node, and whether it is one of the last.
func (n nodeState) find(serial string) (c certState, last, ok bool) {
	for i, c := range n.Certificates {
		if c.Serial == serial {
			return c, i >= len(n.Certificates)-lastOnes, true
		}
	}
	return certState{}, false, false
}

// live counts the certificates that are good at a time.
func (n nodeState) live(now time.Time) int {
	if !n.Revoked.IsZero() {
		return 0
	}
	count := 0
	for _, c := range n.Certificates {
		if c.Revoked.IsZero() && now.Before(c.Expires) {
			count++
		}
	}
	return count
}

// revoke marks what is not marked yet.
func (n nodeState) revoke(now time.Time, which func(certState) bool) {
	for i, c := range n.Certificates {
		if c.Revoked.IsZero() && which(c) {
			n.Certificates[i].Revoked = now.UTC()
		}
	}
}
