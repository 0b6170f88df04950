package identity

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Certificate is one that a node has, or had.
type Certificate struct {
	Node    string    `json:"node"`
	Serial  string    `json:"serial"`
	State   State     `json:"state"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	From    string    `json:"from"` // the address that asked for it
	Streams int       `json:"streams"`
}

// State is what a certificate is good for.
type State string

// The states of certificates.
const (
	Good    State = "good"
	Expired State = "expired" // it may still be renewed, if it is one of the last
	Revoked State = "revoked"
)

// List returns the certificates that can still matter, by node and age.
func (a *Authority) List() []Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	streams := map[string]int{}
	for s := range a.streams {
		streams[serialText(s.cert.SerialNumber)]++
	}
	list := []Certificate{}
	for _, node := range slices.Sorted(maps.Keys(a.state.Nodes)) {
		n := a.state.Nodes[node]
		for _, c := range n.Certificates {
			is := Good
			switch {
			case !c.Revoked.IsZero() || !n.Revoked.IsZero():
				is = Revoked
			case now.After(c.Expires):
				is = Expired
			}
			list = append(list, Certificate{node, c.Serial, is, c.Issued, c.Expires, c.From, streams[c.Serial]})
		}
	}
	return list
}

// Revoke takes from a node all its certificates, or the one with a serial number,
// and ends the streams that were opened with them. A node stays out until a token
// is made for it by name. It returns the node, and how many certificates
// were good until then.
func (a *Authority) Revoke(_ context.Context, what string) (node string, revoked int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	serial := ""
	if _, known := a.state.Nodes[what]; known {
		node = what
	} else if node, serial = a.holder(what); node == "" {
		return "", 0, fmt.Errorf("no node and no certificate is called %.100q; plimsoll node certificates lists both", what)
	}
	err = a.change(now, func(s *state) error {
		n := s.Nodes[node]
		before := n.live(now)
		n.revoke(now, func(c certState) bool { return serial == "" || c.Serial == serial })
		s.forgo(node)
		if serial == "" {
			n.Revoked = now
		}
		s.Nodes[node] = n
		revoked = before - n.live(now)
		return nil
	})
	if err != nil {
		return "", 0, err
	}
	a.metrics.revoked.Inc()
	a.log.Info("certificates revoked", "node", node, "serial", serial, "certificates", revoked)
	a.cut()
	return node, revoked, nil
}

// holder finds the node that has a certificate.
func (a *Authority) holder(serial string) (node, exact string) {
	serial = strings.ToLower(strings.ReplaceAll(serial, ":", ""))
	for name, n := range a.state.Nodes {
		if c, _, ok := n.find(serial); ok {
			return name, c.Serial
		}
	}
	return "", ""
}
