package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

const identityName = "identity"

// identity is what makes the numbers of a spool's batches unique. It is a file
// of three lines:
//
//	plimsoll-spool 1
//	0190b2a4-7f7c-4d0a-a3bd-6a1f2f0c9f11
//	open 7c0e1a52-…
//
// the format's version, the random UUID, and whether the spool was closed
// ("closed") or on which boot of the machine it is or was in use.
type identity struct {
	version int
	id      string
	state   string
}

func (i identity) closed() bool { return i.state == "closed" }

// lost tells whether the last second may have been lost with the machine: a
// process that is killed leaves what it wrote to the kernel, which forgets it
// only when the machine goes down.
func (i identity) lost(bootID string) bool {
	return !i.closed() && bootID != "" && i.state != "open "+bootID
}

// readIdentity returns the zero identity where there is none, or none that
// can be read.
func readIdentity(dir string) (identity, error) {
	data, err := os.ReadFile(filepath.Join(dir, identityName))
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, nil
	}
	if err != nil {
		return identity{}, err
	}
	var i identity
	if _, err := fmt.Sscanf(string(data), "plimsoll-spool %d\n", &i.version); err != nil {
		return identity{}, nil
	}
	lines := strings.Split(string(data), "\n")
	if i.version == formatVersion && len(lines) >= 3 && uuid.Validate(lines[1]) == nil {
		i.id, i.state = lines[1], lines[2]
	}
	return i, nil
}

// write puts the identity in place as a whole or not at all.
func (i identity) write(dir string) error {
	return durable.Replace(filepath.Join(dir, identityName), fmt.Appendf(nil, "plimsoll-spool %d\n%s\n%s\n", formatVersion, i.id, i.state), 0o600)
}
