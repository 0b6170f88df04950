// Package door opens ports the way a product should that guards a machine: what
// others can reach is protected or asked for by word, and a port in use is known
// before anything else happens.
package door

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen binds the address that a flag gives. Unless anywhere is set, it must be
// one that only this machine can reach. The errors say what to do.
func Listen(flag, address string, anywhere bool) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--%s=%s: %w; give host:port, as in 127.0.0.1:9900", flag, address, err)
	}
	if ip := net.ParseIP(host); !anywhere && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("--%s=%s can be reached from other machines, and nothing protects it; "+
			"listen on 127.0.0.1, give --web.config.file with TLS and users, or say --insecure if the network itself is trusted", flag, address)
	}
	l, err := net.Listen("tcp", address) //nolint:noctx // binding does not wait
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--%s=%s: the port is in use, probably by another Plimsoll; stop that one or choose another port", flag, address)
	}
	if err != nil {
		return nil, fmt.Errorf("--%s=%s: %w", flag, address, err)
	}
	return l, nil
}
