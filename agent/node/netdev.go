package node

import (
	"bytes"
	"os"
	"path/filepath"
)

// NetCount is a column of /proc/net/dev.
type NetCount int

// What is counted of an interface. Drop includes what the hardware missed, and
// Frame and Carrier gather several kinds of errors, as net-procfs.c sums them.
const (
	ReceiveBytes NetCount = iota
	ReceivePackets
	ReceiveErrs
	ReceiveDrop
	ReceiveFIFO
	ReceiveFrame
	ReceiveCompressed
	ReceiveMulticast
	TransmitBytes
	TransmitPackets
	TransmitErrs
	TransmitDrop
	TransmitFIFO
	TransmitColls
	TransmitCarrier
	TransmitCompressed
	NumNetCounts
)

// Interface is what a network interface has carried since it was made.
type Interface struct {
	Name   string
	Counts [NumNetCounts]uint64
}

// Interfaces reads the net/dev file into ifs, whose memory it reuses.
func (r *Reader) Interfaces(ifs []Interface) ([]Interface, error) {
	data, err := r.read(&r.netdev)
	if err != nil {
		return ifs[:0], err
	}
	ifs, err = parseNetDev(data, ifs)
	return ifs, in(&r.netdev, err)
}

// netDevPath is the net/dev of the machine. /proc/net is the reader's own
// network namespace, which is the machine's unless the agent runs in a
// container and the machine's /proc is mounted elsewhere; then it is that of
// the machine's first process.
func netDevPath(proc string) string {
	if filepath.Clean(proc) == "/proc" {
		return "/proc/net/dev"
	}
	first := filepath.Join(proc, "1/net/dev")
	if _, err := os.Stat(first); err == nil {
		return first
	}
	return filepath.Join(proc, "net/dev")
}

// parseNetDev reads two lines of headings, then lines such as
//
//	 eth0: 653843640   47488    0    0    0     0          0         0  3960656   37231 …
//	wlan0:13 1 0 …
//
// A long number comes without a space before it.
func parseNetDev(data []byte, ifs []Interface) ([]Interface, error) {
	ifs = ifs[:0]
	if len(data) == 0 {
		return ifs, malformed("empty", nil)
	}
	for len(data) > 0 {
		line, rest, err := cutLine(data)
		if err != nil {
			return ifs, err
		}
		data = rest
		colon := bytes.LastIndexByte(line, ':')
		if colon < 0 {
			continue // a heading
		}
		name := bytes.TrimLeft(line[:colon], " ")
		if len(name) == 0 {
			return ifs, malformed("no interface name", line)
		}
		var dev *Interface
		ifs, dev = extend(ifs)
		rename(&dev.Name, name)
		n, err := uints(line[colon+1:], dev.Counts[:])
		if err != nil {
			return ifs, err
		}
		if n != int(NumNetCounts) {
			return ifs, malformed("too few columns", line)
		}
	}
	return ifs, nil
}
