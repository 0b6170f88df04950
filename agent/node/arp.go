package node

import "bytes"

// Neighbours is how many addresses a network interface knows the hardware of.
type Neighbours struct {
	Device  string
	Entries uint64
}

// Neighbours reads /proc/net/arp: IPv4 only, in the order in which the kernel
// first names the devices.
func (r Roots) Neighbours() ([]Neighbours, error) {
	path := r.net("arp")
	data, err := slurp(path)
	if err != nil {
		return nil, err
	}
	n, err := parseARP(data)
	if err != nil {
		return nil, malformedFile(path, err)
	}
	return n, nil
}

// parseARP reads a heading, then lines such as
//
//	192.0.2.1        0x1         0x2         02:fc:00:00:00:05     *        eth0
//
// Only the device, the last column, is wanted: hardware addresses have as many
// shapes as there is hardware.
func parseARP(data []byte) ([]Neighbours, error) {
	_, data, err := cutLine(data)
	if err != nil {
		return nil, err
	}
	var all []Neighbours
	at := make(map[string]int)
	for len(data) > 0 {
		line, rest, err := cutLine(data)
		if err != nil {
			return nil, err
		}
		data = rest
		columns := bytes.Fields(line)
		if len(columns) < 6 {
			return nil, malformed("too few columns", line)
		}
		device := string(columns[len(columns)-1])
		i, known := at[device]
		if !known {
			i = len(all)
			at[device] = i
			all = append(all, Neighbours{Device: device})
		}
		all[i].Entries++
	}
	return all, nil
}
