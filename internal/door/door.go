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

// Loopback tells whether an address, host:port, is one that only this machine can
// reach, for certain.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// Listen binds the address that a flag gives. Unless anywhere is set, it must be
// one that only this machine can reach. The errors say what to do; otherwise is
// what there is besides 127.0.0.1, such as "or give --web.config.file".
func Listen(flag, address, otherwise string, anywhere bool) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("--%s=%s: %w; give host:port, as in 127.0.0.1:9900", flag, address, err)
	}
	if !anywhere && !Loopback(address) {
		return nil, fmt.Errorf("--%s=%s can be reached from other machines, and nothing protects it; "+
			"listen on 127.0.0.1, %s", flag, address, otherwise)
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
