package node

// VM is what the memory management has done since boot.
type VM struct {
	OOMKills        Number // since 4.13
	PageFaults      Number
	MajorPageFaults Number // those that had to read a disk
	PagedIn         Number // KiB read from disks
	PagedOut        Number // KiB written to disks
	SwappedIn       Number // pages
	SwappedOut      Number // pages
}

// VM reads /proc/vmstat.
func (r *Reader) VM() (VM, error) {
	data, err := r.read(&r.vmstat)
	if err != nil {
		return VM{}, err
	}
	vm, err := parseVMStat(data)
	return vm, in(&r.vmstat, err)
}

// parseVMStat reads lines such as
//
//	pgfault 20850241
func parseVMStat(data []byte) (VM, error) {
	var vm VM
	if len(data) == 0 {
		return vm, malformed("empty", nil)
	}
	for len(data) > 0 {
		line, rest, err := cutLine(data)
		if err != nil {
			return VM{}, err
		}
		data = rest
		key, value := cutField(line)
		switch string(key) {
		case "oom_kill":
			vm.OOMKills, err = number(value)
		case "pgfault":
			vm.PageFaults, err = number(value)
		case "pgmajfault":
			vm.MajorPageFaults, err = number(value)
		case "pgpgin":
			vm.PagedIn, err = number(value)
		case "pgpgout":
			vm.PagedOut, err = number(value)
		case "pswpin":
			vm.SwappedIn, err = number(value)
		case "pswpout":
			vm.SwappedOut, err = number(value)
		}
		if err != nil {
			return VM{}, err
		}
	}
	return vm, nil
}
