package node

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Files is how many files are open on the whole machine.
type Files struct {
	Allocated Number
	Maximum   Number
}

// Files reads /proc/sys/fs/file-nr.
func (r Roots) Files() (Files, error) {
	path := r.proc("sys/fs/file-nr")
	data, err := slurp(path)
	if err != nil {
		return Files{}, err
	}
	f, err := parseFileNr(data)
	if err != nil {
		return Files{}, malformedFile(path, err)
	}
	return f, nil
}

// parseFileNr reads a line such as
//
//	658	0	2466170
//
// whose second number is 0 since 2.6.
func parseFileNr(data []byte) (Files, error) {
	line, _, err := cutLine(data)
	if err != nil {
		return Files{}, err
	}
	var columns [3]uint64
	n, err := uints(line, columns[:])
	if err != nil {
		return Files{}, err
	}
	if n < len(columns) {
		return Files{}, malformed("too few columns", line)
	}
	return Files{Allocated: Number{columns[0], true}, Maximum: Number{columns[2], true}}, nil
}

// Conntrack is how many connections the firewall follows.
type Conntrack struct {
	Entries Number
	Limit   Number
}

// Conntrack reads /proc/sys/net/netfilter. Those files are about the network
// namespace of whoever opens them, so where that is not the machine's, there
// is nothing to read: the error wraps fs.ErrNotExist.
func (r Roots) Conntrack() (Conntrack, error) {
	if err := r.ownNetwork(); err != nil {
		return Conntrack{}, err
	}
	entries, err := attribute(r.proc("sys/net/netfilter/nf_conntrack_count"))
	if err != nil {
		return Conntrack{}, err
	}
	limit, err := attribute(r.proc("sys/net/netfilter/nf_conntrack_max"))
	return Conntrack{Entries: entries, Limit: limit}, err
}

// ownNetwork is nil if this process is in the machine's network namespace, as
// far as it can tell.
func (r Roots) ownNetwork() error {
	if filepath.Clean(r.proc()) == "/proc" {
		return nil
	}
	machine, err := os.Readlink(r.proc("1/ns/net"))
	if err != nil {
		return nil //nolint:nilerr // no such link, or none that may be read: nothing speaks against it
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err == nil && own != machine {
		return fmt.Errorf("the agent is not in the machine's network namespace, run it there to see connection tracking: %w", fs.ErrNotExist)
	}
	return nil
}

// Entropy is what the random number generator has, in bits.
type Entropy struct {
	Available Number
	PoolSize  Number
}

// Entropy reads /proc/sys/kernel/random.
func (r Roots) Entropy() (Entropy, error) {
	available, err := attribute(r.proc("sys/kernel/random/entropy_avail"))
	if err != nil {
		return Entropy{}, err
	}
	size, err := attribute(r.proc("sys/kernel/random/poolsize"))
	return Entropy{Available: available, PoolSize: size}, err
}
