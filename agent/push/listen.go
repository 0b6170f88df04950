package push

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Local makes sure that an address, host:port as given by a flag, is one that only
// this machine can reach, unless anywhere is set.
func Local(flag, address string, anywhere bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--%s=%s: %w; give host:port, as in 127.0.0.1:8125", flag, address, err)
	}
	if ip := net.ParseIP(host); !anywhere && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--%s=%s can be reached from other machines, and whoever does can write metrics; "+
			"listen on 127.0.0.1, or say --insecure if the network itself is trusted", flag, address)
	}
	return nil
}

// Bound adds to an error of binding the address what to do about it.
func Bound(flag, address string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--%s=%s: the address is in use, probably by another agent for metrics; stop that one or choose another", flag, address)
	}
	return fmt.Errorf("--%s=%s: %w", flag, address, err)
}
