package identity

import (
	"net"
	"net/url"
	"os"
	"strings"
)

// Reach works out how a collector that listens at an address is reached: what
// join strings say, and the names for its certificate. What the operator has
// said comes first: the address to advertise, with or without a port, then the
// host of the external URL, then the address itself if it is that of one
// interface, then the name of the machine. A name that is not known is left out.
func Reach(listen, advertise string, external *url.URL) (address string, names []string) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		host, port = listen, ""
	}
	machine, err := os.Hostname()
	if err != nil {
		machine = ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = machine
	}
	at := host
	if external != nil && external.Hostname() != "" {
		at = external.Hostname()
	}
	if advertise != "" {
		at = advertise
		if h, p, err := net.SplitHostPort(advertise); err == nil {
			at, port = h, p
		}
	}
	seen := map[string]bool{}
	for _, name := range []string{at, host, machine, "localhost", "127.0.0.1", "::1"} {
		if name == "" || seen[name] || net.ParseIP(name) == nil && strings.ContainsAny(name, ":%") {
			continue
		}
		seen[name] = true
		names = append(names, name)
	}
	return net.JoinHostPort(at, port), names
}
