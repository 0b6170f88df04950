package cgroup

import (
	"bytes"
	"errors"
)

// DeviceIO is what a group has read from and written to a block device.
type DeviceIO struct {
	Device     Device
	ReadBytes  Opt[uint64]
	WriteBytes Opt[uint64]
	Reads      Opt[uint64] // operations
	Writes     Opt[uint64]
}

// IO reads the account of each device the group has used and appends it to dst.
// In version 1 some kernels count a device only once a throttle limit is set
// for it, in the same group (6.1) or in any (6.18); until then it has none.
func (g *Group) IO(dst []DeviceIO) ([]DeviceIO, error) {
	if g.fs.at[ioBytes1] == nil {
		data, err := g.read(ioStat2)
		if err != nil {
			return dst, err
		}
		dst, ok := parseIOStat(dst, data)
		if !ok {
			err = g.malformed(ioStat2, data)
		}
		return dst, err
	}
	from := len(dst)
	dst, bytesErr := g.readBlkio(dst, from, ioBytes1, ioBytesFlat1)
	dst, opsErr := g.readBlkio(dst, from, ioOps1, ioOpsFlat1)
	return dst, errors.Join(bytesErr, opsErr)
}

// readBlkio reads one file of version 1, the one that includes groups below
// where the kernel has it, into the devices from an index on.
func (g *Group) readBlkio(dst []DeviceIO, from int, k, flat file) ([]DeviceIO, error) {
	data, err := g.read(k)
	if data == nil && err == nil {
		k = flat
		data, err = g.read(k)
	}
	if err != nil {
		return dst, err
	}
	dst, ok := parseBlkio(dst, from, data, k == ioOps1 || k == ioOpsFlat1)
	if !ok {
		err = g.malformed(k, data)
	}
	return dst, err
}

// parseBlkio reads a blkio.throttle file. It names each device by its numbers
// and ends with a sum that has none:
//
//	254:0 Read 147456
//	254:0 Write 196608
//	254:0 Sync 540672
//	Total 540672
func parseBlkio(dst []DeviceIO, from int, data []byte, operations bool) ([]DeviceIO, bool) {
	for len(data) > 0 {
		var name, rest []byte
		name, rest, data = cutPair(data)
		kind, value := cutField(rest)
		read := string(kind) == "Read"
		if !read && string(kind) != "Write" {
			continue
		}
		device, ok := parseDevice(name)
		n, okValue := parseUint(value)
		if !ok || !okValue {
			return dst, false
		}
		var io *DeviceIO
		dst, io = find(dst, from, device)
		switch {
		case operations && read:
			io.Reads = some(n)
		case operations:
			io.Writes = some(n)
		case read:
			io.ReadBytes = some(n)
		default:
			io.WriteBytes = some(n)
		}
	}
	return dst, true
}

// find returns the entry of a device, made if there is none.
func find(dst []DeviceIO, from int, d Device) ([]DeviceIO, *DeviceIO) {
	for i := from; i < len(dst); i++ {
		if dst[i].Device == d {
			return dst, &dst[i]
		}
	}
	dst = append(dst, DeviceIO{Device: d})
	return dst, &dst[len(dst)-1]
}

// parseIOStat reads io.stat:
//
//	254:0 rbytes=147456 wbytes=196608 rios=36 wios=3 dbytes=196608 dios=2
//
// A device without an account has no fields, and some kernels then do not end
// its line, so that any space may come before the next device.
func parseIOStat(dst []DeviceIO, data []byte) ([]DeviceIO, bool) {
	var device Device
	var account *DeviceIO // of device, once it has one
	known := false
	for len(data) > 0 {
		var field []byte
		field, data = cutSpace(data)
		if len(field) == 0 {
			continue
		}
		equals := bytes.IndexByte(field, '=')
		if equals < 0 {
			if device, known = parseDevice(field); !known {
				return dst, false
			}
			account = nil
			continue
		}
		place := ioStatField(field[:equals])
		if place == nil {
			continue // discards, io.cost, and what is to come
		}
		n, ok := parseUint(field[equals+1:])
		if !ok || !known {
			return dst, false
		}
		if account == nil {
			dst = append(dst, DeviceIO{Device: device})
			account = &dst[len(dst)-1]
		}
		*place(account) = some(n)
	}
	return dst, true
}

// ioStatField tells where a key of io.stat belongs, nil if nowhere.
func ioStatField(key []byte) func(*DeviceIO) *Opt[uint64] {
	switch string(key) {
	case "rbytes":
		return func(io *DeviceIO) *Opt[uint64] { return &io.ReadBytes }
	case "wbytes":
		return func(io *DeviceIO) *Opt[uint64] { return &io.WriteBytes }
	case "rios":
		return func(io *DeviceIO) *Opt[uint64] { return &io.Reads }
	case "wios":
		return func(io *DeviceIO) *Opt[uint64] { return &io.Writes }
	}
	return nil
}
