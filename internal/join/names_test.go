package join_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/internal/join"
)

func TestANodeIsNamedByOneURI(t *testing.T) {
	for _, name := range []string{"rack7-node3", "a", "ip-10-0-0-5.eu.internal", "ñandú", "a/b", "50%", "x?y#z", "..", strings.Repeat("n", 253)} {
		u, err := url.Parse(join.NodeURI(name).String())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := join.NodeOf([]*url.URL{u}); err != nil || got != name {
			t.Errorf("%q: read as %q, error %v", name, got, err)
		}
	}
	for _, bad := range []string{
		"plimsoll://node/", "plimsoll://node", "https://node/a", "plimsoll://host/a", "plimsoll://node/a?b", "plimsoll://node/a#b",
		"plimsoll://u@node/a", "plimsoll://node/a%20b", "plimsoll://node/%FF", "plimsoll:node/a", "plimsoll://node/%61",
		"plimsoll://node/" + strings.Repeat("n", 254),
	} {
		u, err := url.Parse(bad)
		if err != nil {
			t.Fatal(err)
		}
		if name, err := join.NodeOf([]*url.URL{u}); err == nil {
			t.Errorf("%s: read as %q", bad, name)
		}
	}
	a := join.NodeURI("a")
	for _, uris := range [][]*url.URL{nil, {a, a}} {
		if _, err := join.NodeOf(uris); err == nil {
			t.Errorf("%d URIs were taken for one", len(uris))
		}
	}
}
