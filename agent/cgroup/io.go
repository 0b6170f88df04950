package cgroup

import (
	"bytes"
	"errors"
)

// DeviceIO is what a group has read from and written to a block device.
type DeviceIO struct {
	Device       Device
	ReadBytes    Opt[uint64]
	WriteBytes   Opt[uint64]
	DiscardBytes Opt[uint64]
	Reads        Opt[uint64] // operations
	Writes       Opt[uint64]

	// The same bytes by another division, version 1 only.
	SyncBytes, AsyncBytes, TotalBytes Opt[uint64]

	Cost IOCost
}

// IOCost is device time as io.cost of version 2 accounts it, where that is on:
// what the group has used and, where blkcg_debug_stats is set, how long it
// waited for its share, was in debt, and was delayed for that.
type IOCost struct{ Usage, Wait, InDebt, InDelay Opt[Nanoseconds] }

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
//	254:0 Total 540672
//	Total 540672
func parseBlkio(dst []DeviceIO, from int, data []byte, operations bool) ([]DeviceIO, bool) {
	for len(data) > 0 {
		var name, rest []byte
		name, rest, data = cutPair(data)
		kind, value := cutField(rest)
		place := blkioField(kind, operations)
		if place == nil {
			continue
		}
		device, ok := parseDevice(name)
		n, okValue := parseUint(value)
		if !ok || !okValue {
			return dst, false
		}
		var io *DeviceIO
		dst, io = find(dst, from, device)
		*place(io) = some(n)
	}
	return dst, true
}

// blkioField tells where a kind of operations, or of their bytes, belongs; nil
// if nowhere.
func blkioField(kind []byte, operations bool) func(*DeviceIO) *Opt[uint64] {
	switch string(kind) {
	case "Read":
		if operations {
			return func(io *DeviceIO) *Opt[uint64] { return &io.Reads }
		}
		return func(io *DeviceIO) *Opt[uint64] { return &io.ReadBytes }
	case "Write":
		if operations {
			return func(io *DeviceIO) *Opt[uint64] { return &io.Writes }
		}
		return func(io *DeviceIO) *Opt[uint64] { return &io.WriteBytes }
	}
	if operations {
		return nil
	}
	switch string(kind) {
	case "Sync":
		return func(io *DeviceIO) *Opt[uint64] { return &io.SyncBytes }
	case "Async":
		return func(io *DeviceIO) *Opt[uint64] { return &io.AsyncBytes }
	case "Discard":
		return func(io *DeviceIO) *Opt[uint64] { return &io.DiscardBytes }
	case "Total":
		return func(io *DeviceIO) *Opt[uint64] { return &io.TotalBytes }
	}
	return nil
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
//	254:0 rbytes=147456 wbytes=196608 rios=36 wios=3 dbytes=196608 dios=2 cost.usage=5912
//
// A device without an account has no fields, and some kernels then do not end
// its line, so that any space may come before the next device.
func parseIOStat(dst []DeviceIO, data []byte) ([]DeviceIO, bool) {
	var io DeviceIO // of the device whose fields follow
	device, account := false, false
	for len(data) > 0 {
		var field []byte
		field, data = cutSpace(data)
		if len(field) == 0 {
			continue
		}
		if equals := bytes.IndexByte(field, '='); equals >= 0 {
			known, ok := io.set(field[:equals], field[equals+1:])
			if known && !(ok && device) {
				return dst, false
			}
			account = account || known
			continue
		}
		if account {
			dst = append(dst, io)
		}
		io, account = DeviceIO{}, false
		if io.Device, device = parseDevice(field); !device {
			return dst, false
		}
	}
	if account {
		dst = append(dst, io)
	}
	return dst, true
}

// set takes in a field of io.stat. It is not known if it tells what we do not
// ask for, such as cost.vrate=100.00, or what is to come.
func (io *DeviceIO) set(key, value []byte) (known, ok bool) {
	var count *Opt[uint64]
	var time *Opt[Nanoseconds]
	switch string(key) {
	case "rbytes":
		count = &io.ReadBytes
	case "wbytes":
		count = &io.WriteBytes
	case "dbytes":
		count = &io.DiscardBytes
	case "rios":
		count = &io.Reads
	case "wios":
		count = &io.Writes
	case "cost.usage":
		time = &io.Cost.Usage
	case "cost.wait":
		time = &io.Cost.Wait
	case "cost.indebt":
		time = &io.Cost.InDebt
	case "cost.indelay":
		time = &io.Cost.InDelay
	default:
		return false, false
	}
	if count != nil {
		count.V, count.OK = parseUint(value)
		return true, count.OK
	}
	time.V, time.OK = parseTime(value, microsecond)
	return true, time.OK
}
