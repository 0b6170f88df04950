package node

import (
	"os"

	"github.com/prometheus/procfs"
)

// Sockets reads /proc/net/sockstat by protocol and what is told of it, such as
// TCP_inuse, TCP_mem (pages) and TCP_mem_bytes; of all together, sockets_used.
func (r Roots) Sockets() (map[string]float64, error) {
	return r.sockstat(procfs.FS.NetSockstat)
}

// Sockets6 reads /proc/net/sockstat6, which is not there where IPv6 is off.
func (r Roots) Sockets6() (map[string]float64, error) {
	return r.sockstat(procfs.FS.NetSockstat6)
}

func (r Roots) sockstat(read func(procfs.FS) (*procfs.NetSockstat, error)) (map[string]float64, error) {
	fs, err := r.netfs()
	if err != nil {
		return nil, err
	}
	stat, err := read(fs)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]float64)
	put := func(name string, n *int) {
		if n != nil {
			counts[name] = float64(*n)
		}
	}
	put("sockets_used", stat.Used)
	for _, p := range stat.Protocols {
		put(p.Protocol+"_inuse", &p.InUse)
		put(p.Protocol+"_orphan", p.Orphan)
		put(p.Protocol+"_tw", p.TW)
		put(p.Protocol+"_alloc", p.Alloc)
		put(p.Protocol+"_mem", p.Mem)
		put(p.Protocol+"_memory", p.Memory)
		if p.Mem != nil {
			counts[p.Protocol+"_mem_bytes"] = float64(*p.Mem) * float64(os.Getpagesize())
		}
	}
	return counts, nil
}
