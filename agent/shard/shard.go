// Package shard says which of several collectors a node belongs to: from its
// name alone, the same on every node, without anybody being asked.
//
// The choice is rendezvous hashing (Thaler and Ravishankar, 1998): of all
// collectors a node takes the one with the highest score. So a collector that
// comes or goes moves its own share of the nodes and no other, and neither the
// order in which collectors are named nor their number matters.
package shard

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Shard is a collector, or a pair that holds the same, which some of the nodes
// belong to.
type Shard struct {
	// Name is what nodes are dealt out by. It stays when addresses change.
	Name string
	// Addresses are host:port, one or two.
	Addresses []string
}

// maxShards is far beyond the number at which collectors should be larger.
const maxShards = 1000

// Parse reads a list like
//
//	east=c1.example:9901+c2.example:9901,west=c3.example:9901
//
// of names with one address, or two of a pair. A name may be left out where the
// address is to be the name.
func Parse(text string) ([]Shard, error) {
	var shards []Shard
	for part := range strings.SplitSeq(text, ",") {
		s, err := parseOne(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(shards, func(other Shard) bool { return other.Name == s.Name }) {
			return nil, fmt.Errorf("shard %q is there twice", s.Name)
		}
		shards = append(shards, s)
		if len(shards) > maxShards {
			return nil, fmt.Errorf("more than %d shards", maxShards)
		}
	}
	return shards, nil
}

func parseOne(part string) (Shard, error) {
	name, list, named := strings.Cut(part, "=")
	if !named {
		name, list = part, part
	}
	if name == "" {
		return Shard{}, errors.New("a shard has no name, write them like east=c1.example:9901,west=c2.example:9901")
	}
	if !named && strings.Contains(list, "+") {
		return Shard{}, fmt.Errorf("the pair %q needs a name, write it like east=c1.example:9901+c2.example:9901", list)
	}
	s := Shard{Name: name}
	for address := range strings.SplitSeq(list, "+") {
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "" {
			return Shard{}, fmt.Errorf("shard %q: %q is not an address, write it like c1.example:9901", name, address)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return Shard{}, fmt.Errorf("shard %q: %q has no port from 1 to 65535", name, address)
		}
		if slices.Contains(s.Addresses, address) {
			return Shard{}, fmt.Errorf("shard %q: %s is there twice", name, address)
		}
		s.Addresses = append(s.Addresses, address)
	}
	if len(s.Addresses) > 2 {
		return Shard{}, fmt.Errorf("shard %q has %d addresses: one, or two of a pair", name, len(s.Addresses))
	}
	return s, nil
}

// Of returns the shard that a node belongs to. It panics if there are none.
func Of(node string, shards []Shard) Shard {
	best, most := shards[0], score(node, shards[0].Name)
	for _, s := range shards[1:] {
		// Names differ, so that equal scores still have one winner.
		if n := score(node, s.Name); n > most || n == most && s.Name < best.Name {
			best, most = s, n
		}
	}
	return best
}

// score is the first eight bytes of SHA-256 over both names, each behind its
// length, so that another program can tell where a node is.
func score(node, name string) uint64 {
	text := binary.BigEndian.AppendUint64(nil, uint64(len(name)))
	text = append(text, name...)
	text = binary.BigEndian.AppendUint64(text, uint64(len(node)))
	sum := sha256.Sum256(append(text, node...))
	return binary.BigEndian.Uint64(sum[:])
}
