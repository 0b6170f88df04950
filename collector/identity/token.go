package identity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/plimsoll-io/plimsoll/internal/join"
)

// maxUses bounds how many nodes a token can let in.
const maxUses = 1000

// TokenOptions say whom a token lets in.
type TokenOptions struct {
	// Node is the only node that may use it, also in place of one that has the
	// name already. Without it any may whose name nobody has.
	Node string        `json:"node,omitempty"`
	TTL  time.Duration `json:"ttl,omitempty"`  // at most MaxTokenTTL, and by default
	Uses int           `json:"uses,omitempty"` // how many nodes it lets in; default 1
	// Address is the collector's in the join string; default Options.Advertise.
	Address string `json:"address,omitempty"`
}

// CreateToken makes a token, and an invitation with it. The secret is in the
// invitation only. Its errors are mistakes in opts, or of the disk.
func (a *Authority) CreateToken(_ context.Context, opts TokenOptions) (_ join.Invitation, expires time.Time, err error) {
	opts.TTL = cmp.Or(opts.TTL, MaxTokenTTL)
	opts.Uses = cmp.Or(opts.Uses, 1)
	opts.Address = cmp.Or(opts.Address, a.opts.Advertise)
	if err := opts.check(); err != nil {
		return join.Invitation{}, time.Time{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	expires = now.Add(opts.TTL)
	i := join.Invitation{Address: opts.Address, Token: join.NewToken(), Pin: join.PinOf(a.ca.cert)}
	err = a.change(now, func(s *state) error {
		if len(s.Tokens) >= maxTokens { // then none is kept to tell that it is late
			maps.DeleteFunc(s.Tokens, func(_ string, t tokenState) bool { return now.After(t.Expires) })
		}
		if len(s.Tokens) >= maxTokens {
			return fmt.Errorf("there are %d tokens already; wait until some have expired, or make one for many nodes with --uses", len(s.Tokens))
		}
		s.Tokens[hashOf(i.Token[:])] = tokenState{Node: opts.Node, Made: now, Expires: expires, Uses: opts.Uses}
		return nil
	})
	if err != nil {
		return join.Invitation{}, time.Time{}, err
	}
	a.metrics.tokens.Inc()
	a.log.Info("token created", "node", opts.Node, "uses", opts.Uses, "expires", expires)
	return i, expires, nil
}

func (o TokenOptions) check() error {
	if o.Node != "" {
		if err := join.CheckNode(o.Node); err != nil {
			return err
		}
		if o.Uses != 1 {
			return fmt.Errorf("a token for node %s alone has 1 use, not %d", o.Node, o.Uses)
		}
	}
	if o.TTL < time.Second || o.TTL > MaxTokenTTL {
		return fmt.Errorf("a token that is good for %v: want 1s to %v", o.TTL, MaxTokenTTL)
	}
	if o.Uses < 1 || o.Uses > maxUses {
		return fmt.Errorf("a token for %d nodes: want 1 to %d", o.Uses, maxUses)
	}
	return join.CheckAddress(o.Address)
}

func hashOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// admit tells whether a token lets the holder of a key in as a node, and makes a
// note that it did. An earlier bearer of the name loses its certificates.
func (s *state) admit(token []byte, node, key string, now time.Time) *refusal {
	t, n := s.Tokens[hashOf(token)], s.Nodes[node]
	holder, again := t.Used[key]
	if again && holder == node {
		return nil
	}
	switch {
	case again || len(t.Used) >= t.Uses:
		return unauthenticated("used", "the token was used already", node)
	case t.Node != "" && t.Node != node:
		return &refusal{"other_node", codes.PermissionDenied, "the token is for node " + t.Node + ", and this one is " + node +
			"; start the agent with --node.name=" + t.Node + ", or make a token for " + node}
	case !n.Revoked.IsZero() && (t.Node == "" || !t.Made.After(n.Revoked)):
		return &refusal{"revoked", codes.PermissionDenied, "node " + node + " was revoked; " + remedy(node)}
	case t.Node == "" && n.live(now) > 0:
		return &refusal{"name_taken", codes.PermissionDenied, "there is a node " + node + " already, and this token is for new ones; give this one another name with --node.name, or, if it takes the place of that one, " + remedy(node)}
	}
	n.revoke(now, func(certState) bool { return true })
	n.Revoked = time.Time{}
	s.Nodes[node] = n
	if t.Used == nil {
		t.Used = map[string]string{}
	}
	t.Used[key] = node
	s.Tokens[hashOf(token)] = t
	return nil
}

// forgo makes tokens that a node has used good for nothing more, not even for an
// answer that got lost.
func (s *state) forgo(node string) {
	for _, t := range s.Tokens {
		for key, holder := range t.Used {
			if holder == node {
				t.Used[key] = ""
			}
		}
	}
}

// known tells whether there is such a token, and whether its time has passed.
func (s *state) known(token []byte, now time.Time) *refusal {
	t, ok := s.Tokens[hashOf(token)]
	switch {
	case !ok:
		return unauthenticated("forged", "this collector knows no such token", "")
	case now.After(t.Expires):
		return unauthenticated("late", "the token expired at "+t.Expires.UTC().Format(time.RFC3339), t.Node)
	}
	return nil
}
