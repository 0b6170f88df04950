package node

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// NoHandler is the packets that came in on an interface and that nobody wanted,
// which /proc/net/dev does not tell.
type NoHandler struct {
	Device string
	Count  Number // since 4.6
}

// NoHandlers reads /sys/class/net/*/statistics/rx_nohandler.
func (r Roots) NoHandlers() ([]NoHandler, error) {
	entries, err := os.ReadDir(r.sys("class/net"))
	if err != nil {
		return nil, err
	}
	var all []NoHandler
	for _, e := range entries {
		n, err := attribute(r.sys("class/net", e.Name(), "statistics/rx_nohandler"))
		// The kernel says EINVAL or ENODEV of an interface that goes while it is read.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENODEV) {
			return nil, err
		}
		all = append(all, NoHandler{e.Name(), n})
	}
	return all, nil
}
