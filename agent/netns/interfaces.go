package netns

import (
	"bytes"
	"fmt"
	"math"
	"slices"
)

// MaxInterfaces is how many interfaces of a namespace are told of.
const MaxInterfaces = 64

// Count is what is counted of an interface.
type Count int

// The counts of an interface, in the order of net/dev.
const (
	ReceivedBytes Count = iota
	ReceivedPackets
	ReceiveErrors
	ReceivesDropped
	SentBytes
	SentPackets
	SendErrors
	SendsDropped
	NumCounts
)

// Interface is what a network interface has carried since it was made.
type Interface struct {
	Name   string // up to 15 bytes, of any value but '/', ':' and white space
	Counts [NumCounts]uint64
}

// Reading is what a namespace has carried by its own interfaces.
type Reading struct {
	Network    ID // that was read
	Interfaces []Interface
	// LeftOut is how many more there are than MaxInterfaces, as far as the
	// first 64 KiB of the file tell.
	LeftOut int
}

// columns are those of net/dev: eight of what was received, eight of what was
// sent. Of each the first four are bytes, packets, errs and drop.
const columns = 16

// parseDev reads two lines of headings, then lines such as
//
//	eth0:    1426      17    0    0    0     0          0         0        0       0    0    0    0     0       0          0
//
// with no space before a number that fills its column. What follows the last
// newline was cut off and is left out.
func parseDev(data []byte, into *Reading) error {
	into.Interfaces, into.LeftOut = into.Interfaces[:0], 0
	if len(data) == 0 {
		return fmt.Errorf("empty: %w", ErrFormat)
	}
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			into.LeftOut++
			break
		}
		line := data[:end]
		data = data[end+1:]
		colon := bytes.LastIndexByte(line, ':')
		if colon < 0 {
			continue // a heading
		}
		name := bytes.TrimLeft(line[:colon], " ")
		if len(name) == 0 {
			return fmt.Errorf("%q has no name: %w", abridged(line), ErrFormat)
		}
		if !counted(name) {
			continue
		}
		var n [columns]uint64
		if !numbers(line[colon+1:], n[:]) {
			return fmt.Errorf("%q: %w", abridged(line), ErrFormat)
		}
		if unused(name, &n) {
			continue
		}
		if len(into.Interfaces) == MaxInterfaces {
			into.LeftOut++
			continue
		}
		add(into, name, &n)
	}
	return nil
}

// add uses what an earlier reading has left in the same place, so that
// unchanged names need no new memory.
func add(into *Reading, name []byte, n *[columns]uint64) {
	at := len(into.Interfaces)
	if at < cap(into.Interfaces) {
		into.Interfaces = into.Interfaces[:at+1]
	} else {
		into.Interfaces = append(into.Interfaces, Interface{})
	}
	i := &into.Interfaces[at]
	if i.Name != string(name) {
		i.Name = string(name)
	}
	copy(i.Counts[ReceivedBytes:], n[:4])
	copy(i.Counts[SentBytes:], n[columns/2:columns/2+4])
}

// counted tells the interfaces by which a namespace speaks to others from those
// within: the loopback, and what an engine inside the container has made for
// containers of its own, whose traffic passes the container's own interfaces
// too. Of pairs called veth… only those with a number that engines and network
// plugins draw are such; "veth0" was made by a person and may be all there is.
func counted(name []byte) bool {
	if string(name) == "lo" {
		return false
	}
	for _, bridge := range [...]string{"docker", "nerdctl", "podman", "br-", "cni"} {
		if len(name) > len(bridge) && string(name[:len(bridge)]) == bridge {
			return false
		}
	}
	const pair = "veth"
	return len(name) < len(pair)+7 || string(name[:len(pair)]) != pair || !hexadecimal(name[len(pair):])
}

func hexadecimal(s []byte) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// unused tells of the devices that tunnel modules put into every namespace, and
// hardly ever anybody uses.
func unused(name []byte, n *[columns]uint64) bool {
	switch string(name) {
	case "tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0":
		return !slices.ContainsFunc(n[:], func(n uint64) bool { return n != 0 })
	}
	return false
}

// numbers reads numbers from line into n and tells whether there are enough.
// What follows them is a newer kernel's business.
func numbers(line []byte, n []uint64) bool {
	for i := range n {
		line = bytes.TrimLeft(line, " ")
		end := bytes.IndexByte(line, ' ')
		if end < 0 {
			end = len(line)
		}
		var ok bool
		if n[i], ok = number(line[:end]); !ok {
			return false
		}
		line = line[end:]
	}
	return true
}

// number reads decimal digits. It does not allocate, as strconv would for its
// string.
func number(digits []byte) (uint64, bool) {
	var n uint64
	for _, c := range digits {
		d := uint64(c - '0')
		if c < '0' || c > '9' || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(digits) > 0
}

// abridged is as much of a file as belongs into an error.
func abridged(data []byte) []byte { return data[:min(len(data), 64)] }
