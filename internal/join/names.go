package join

import (
	"errors"
	"fmt"
	"net/url"
)

// ServerName is a DNS name in the certificate of every collector. Agents check
// this name, not the one they dialled: the authority signs for nobody else, and
// a collector may be reached by addresses that it does not know.
const ServerName = "collector.plimsoll.internal"

// maxNode is how many bytes the name of a node may have, as that of a host.
const maxNode = 253

// CheckNode makes sure of the name of a node.
func CheckNode(name string) error {
	for _, r := range name {
		if r <= ' ' || r == 0x7f || r == '\uFFFD' {
			return fmt.Errorf("node name %.40q has a space or a control character, or is not UTF-8", name)
		}
	}
	if name == "" || len(name) > maxNode {
		return fmt.Errorf("node name %.40q has %d bytes, want 1 to %d", name, len(name), maxNode)
	}
	return nil
}

// NodeURI is what stands for a node in its certificate.
func NodeURI(name string) *url.URL {
	return &url.URL{Scheme: "plimsoll", Host: "node", Path: "/" + name}
}

// NodeOf is the node that a certificate, or a request for one, is for.
func NodeOf(uris []*url.URL) (string, error) {
	if len(uris) != 1 {
		return "", fmt.Errorf("%d URIs in it, want one of the form %s", len(uris), NodeURI("NAME"))
	}
	u := uris[0]
	if len(u.Path) < 2 {
		return "", errors.New("it names no node")
	}
	name := u.Path[1:]
	if u.String() != NodeURI(name).String() {
		return "", fmt.Errorf("the URI %.300q in it is not of the form %s", u, NodeURI("NAME"))
	}
	return name, CheckNode(name)
}
