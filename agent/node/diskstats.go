package node

// SectorBytes is the size of a sector in /proc/diskstats, whatever the disk's own.
const SectorBytes = 512

// DiskCount is a column of /proc/diskstats after the device's name.
// See https://docs.kernel.org/admin-guide/iostats.html.
type DiskCount int

// What is counted of a disk. Times are in milliseconds.
const (
	ReadsCompleted DiskCount = iota
	ReadsMerged
	SectorsRead
	ReadTime
	WritesCompleted
	WritesMerged
	SectorsWritten
	WriteTime
	InFlight // a state, not a count
	BusyTime
	WeightedTime
	DiscardsCompleted // this and the next three since 4.18
	DiscardsMerged
	SectorsDiscarded
	DiscardTime
	FlushesCompleted // this and the next since 5.5
	FlushTime
	NumDiskCounts
)

// Disk is what a block device has done since boot.
type Disk struct {
	Major, Minor uint64
	Name         string
	Counts       [NumDiskCounts]uint64
	Known        DiskCount // how many of them this kernel counts
}

// Disks reads /proc/diskstats into disks, whose memory it reuses.
func (r *Reader) Disks(disks []Disk) ([]Disk, error) {
	data, err := r.read(&r.diskstats)
	if err != nil {
		return disks[:0], err
	}
	disks, err = parseDiskstats(data, disks)
	return disks, in(&r.diskstats, err)
}

// parseDiskstats reads lines such as
//
//	254       0 vda 92931 31329 4150018 18387 24602 204571 12700288 33090 0 12872 52836 10662 57 2202072 1299 1006 58
//
// of 14 columns, 18 since 4.18 and 20 since 5.5. Kernels before 2.6.25 gave
// partitions 7 columns of another meaning; such lines are left out.
func parseDiskstats(data []byte, disks []Disk) ([]Disk, error) {
	disks = disks[:0]
	for len(data) > 0 {
		line, rest, err := cutLine(data)
		if err != nil {
			return disks, err
		}
		data = rest
		var id [2]uint64
		if _, err := uints(line, id[:]); err != nil {
			return disks, err
		}
		_, line = cutField(line)
		_, line = cutField(line)
		name, counts := cutField(line)
		if len(name) == 0 {
			return disks, malformed("no device name", line)
		}
		var d *Disk
		disks, d = extend(disks)
		rename(&d.Name, name)
		d.Major, d.Minor = id[0], id[1]
		n, err := uints(counts, d.Counts[:])
		if err != nil {
			return disks, err
		}
		if d.Known = whole(DiskCount(n)); d.Known == 0 {
			disks = disks[:len(disks)-1]
		}
	}
	return disks, nil
}

// whole is how many of n columns make up whole sets: the kernel adds them by
// sets, so half a set means something we do not know.
func whole(n DiskCount) DiskCount {
	switch {
	case n >= NumDiskCounts:
		return NumDiskCounts
	case n >= FlushesCompleted:
		return FlushesCompleted
	case n >= DiscardsCompleted:
		return DiscardsCompleted
	}
	return 0
}
